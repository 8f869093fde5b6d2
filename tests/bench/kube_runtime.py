"""What the Kubernetes runtime costs against a real API server: CPU a request, CPU a watch event, memory.

    .venv/bin/python tests/bench/kube_runtime.py KUBECONFIG [COUNT]

Makes and removes a namespace of its own. CPU is this process's (user and system), so it holds for any API server;
elapsed time is the server's. PSS is of the whole process with one informer of COUNT objects open.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

from isthmus.kube.builtin import CONFIG_MAPS, NAMESPACES
from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.informer import Informer

NAMESPACE = f"kube-runtime-bench-{os.getpid()}"


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory(field: str) -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


class Measure:
    """Prints CPU and elapsed milliseconds for each of `count` operations."""

    def __init__(self, label: str, count: int) -> None:
        self._label, self._count = label, count

    def __enter__(self) -> None:
        self._cpu, self._time = cpu(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent, elapsed = cpu() - self._cpu, time.perf_counter() - self._time
        print(
            f"{self._label:34} {1000 * spent / self._count:7.3f} ms CPU {1000 * elapsed / self._count:8.3f} ms elapsed"
        )


def manifest(number: int, value: str) -> dict[str, object]:
    labels = {"app.kubernetes.io/name": "bench", "number": str(number)}
    return {"metadata": {"name": f"c-{number}", "labels": labels}, "data": {"key": value}}


async def measure(kubeconfig: str, count: int) -> None:
    async with Client(load_kubeconfig(kubeconfig)) as client:
        print(await client.version())
        await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        try:
            await operations(client, count)
            await informing(client, count)
        finally:
            await client.delete(NAMESPACES, NAMESPACE)


async def operations(client: Client, count: int) -> None:
    with Measure("create, one after another", count):
        for i in range(count):
            await client.create(CONFIG_MAPS, manifest(i, "a"), NAMESPACE)
    with Measure("apply, one after another", count):
        for i in range(count):
            await client.apply(CONFIG_MAPS, manifest(i, "b"), NAMESPACE)
    with Measure("merge patch, one after another", count):
        for i in range(count):
            await client.patch(CONFIG_MAPS, f"c-{i}", {"data": {"key": "c"}}, NAMESPACE)
    with Measure("get, 16 at a time", count):
        await asyncio.gather(*(client.get(CONFIG_MAPS, f"c-{i}", NAMESPACE) for i in range(count)))
    with Measure("list, an object", count):
        await client.list(CONFIG_MAPS, NAMESPACE)


async def informing(client: Client, count: int) -> None:
    seen, expected = 0, 2 * count
    settled, complete = asyncio.Event(), asyncio.Event()

    def count_up(_old: object, _new: object) -> None:
        nonlocal seen
        seen += 1
        if seen == count + 20:  # The writer's start is not ours to count.
            settled.set()
        if seen == expected:
            complete.set()

    informer = Informer(client, CONFIG_MAPS, NAMESPACE)
    informer.add_handler(count_up)
    with Measure("informer's first list, an object", count):
        task = asyncio.create_task(informer.run())
        await informer.synced.wait()
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--touch",
        sys.argv[1],
        NAMESPACE,
        str(count),
        stdout=asyncio.subprocess.DEVNULL,
    )
    await settled.wait()
    with Measure("informer's event", count - 20):
        await complete.wait()
    await writer.wait()
    print(f"PSS {memory('Pss'):.1f} MB, anonymous {memory('Anonymous'):.1f} MB, traffic {client.traffic}")
    task.cancel()
    await asyncio.wait([task])


async def touch(kubeconfig: str, namespace: str, count: int) -> None:
    async with Client(load_kubeconfig(kubeconfig)) as client:
        for i in range(count):
            await client.patch(CONFIG_MAPS, f"c-{i}", {"data": {"key": "d"}}, namespace)


if __name__ == "__main__":
    if sys.argv[1] == "--touch":
        asyncio.run(touch(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    else:
        asyncio.run(measure(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300))

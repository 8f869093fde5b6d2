"""Use of a peering that goes on while something is done to it: pods come and go, streams run, and nothing may fail."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.support import TEST_IMAGE, Cluster, eventually, run


def counting(kind: str) -> str:
    """A program that counts a line a second until the file of its stream is there.

    One file a stream: the end of a container's first process kills what was executed in it.
    """
    return f"n=0; while [ ! -e /tmp/end-{kind} ]; do n=$((n+1)); echo $n; sleep 1; done"


def pod(namespace: str, name: str, command: str) -> dict[str, Any]:
    """A pod that runs at the provider."""
    container = {
        "name": "main",
        "image": TEST_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", command],
        "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"liqo.io/type": "virtual-node"},
        },
    }


class Load:
    """Pods that are made, talked to and deleted in turn, a followed log and a long exec, all through the node."""

    def __init__(self, rome: Cluster, milan: Cluster, namespace: str, folder: Path) -> None:
        self.rounds = 0
        self.failures: list[str] = []
        self._rome, self._milan, self._namespace = rome, milan, namespace
        self._files = {kind: folder / kind for kind in ("logs", "exec")}
        self._streams: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._began = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it until the block ends."""
        self._rome.apply(pod(self._namespace, "steady", counting("logs")))
        self._kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=60s")
        self._began = time.monotonic()
        self._stream("logs", "logs", "-f", "steady")
        self._stream("exec", "exec", "steady", "--", "sh", "-c", counting("exec"))
        turns = threading.Thread(target=self._take_turns)
        turns.start()
        try:
            yield
        finally:
            self._stop.set()
            turns.join(timeout=120)
            for stream in self._streams.values():
                stream.kill()
                stream.wait()

    def end_streams(self) -> dict[str, tuple[int, int]]:
        """End the streams in good order: by kind, the exit code, and how many lines came without a gap.

        A stream that was cut ended before, with fewer lines than seconds have gone by.
        """
        for kind, stream in self._streams.items():
            assert stream.poll() is None, f"{kind} was cut: {self._files[kind].read_text()[-200:]}"
        return {kind: self._end_stream(kind) for kind in ("exec", "logs")}

    def _end_stream(self, kind: str) -> tuple[int, int]:
        self._kubectl("exec", "steady", "--", "touch", f"/tmp/end-{kind}")
        code = self._streams[kind].wait(timeout=30)
        text = self._files[kind].read_text()
        lines = text.split()
        assert lines == [str(n + 1) for n in range(len(lines))], f"{kind} has gaps: …{text[-200:]}"
        return code, len(lines)

    @property
    def seconds(self) -> float:
        """How long it runs."""
        return time.monotonic() - self._began

    def _stream(self, kind: str, *arguments: str) -> None:
        command = [self._rome.kubectl_path, "--kubeconfig", str(self._rome.kubeconfig), "-n", self._namespace]
        with self._files[kind].open("wb") as file:
            self._streams[kind] = subprocess.Popen(
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def _take_turns(self) -> None:
        while not self._stop.is_set():
            try:
                self._take_turn(f"turn-{self.rounds}")
            except Exception as error:
                self.failures.append(f"turn {self.rounds} after {self.seconds:.0f} s: {error}")
            self.rounds += 1

    def _take_turn(self, name: str) -> None:
        twin = f"{self._namespace}-rome"
        self._rome.apply(
            pod(self._namespace, name, "echo hello; while :; do sleep 1; done"),
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": self._namespace},
                "data": {"turn": name},
            },
        )
        self._kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        assert self._kubectl("logs", name) == "hello\n"
        assert self._kubectl("exec", name, "--", "hostname") == f"{name}\n"
        eventually(lambda: self._milan.get("configmap", name, "-n", twin), within=60, what="the ConfigMap")
        self._kubectl("delete", "pod,configmap", name, "--timeout=60s")
        eventually(
            lambda: (
                self._milan.items("pods,configmaps", "-n", twin, "--field-selector", f"metadata.name={name}")
                == []
            ),
            within=60,
            what="the end of pod and ConfigMap",
        )

    def _kubectl(self, *arguments: str) -> str:
        command = [self._rome.kubectl_path, "--kubeconfig", str(self._rome.kubeconfig), "-n", self._namespace]
        return run([*command, *arguments], timeout=90).stdout

"""What the kubelet and Prometheus ask the process: /healthz, /readyz and /metrics over plain HTTP.

Owned by the role's manager. /healthz answers as long as the event loop turns; /readyz only once the process
leads and its modules are set up, so that the webhook Service never points at one that does not serve.
"""

from __future__ import annotations

import gc
import resource as process_limits
import time

from isthmus.kube.client import Client
from isthmus.kube.server import Answer, Request, Server


class Health:
    """The state behind the three paths."""

    def __init__(self, client: Client, port: int) -> None:
        self.ready = False
        self._client = client
        self._port = port

    async def run(self) -> None:
        """Serve until cancelled."""
        await Server(self._answer, port=self._port).run()

    async def _answer(self, request: Request) -> Answer:
        match request.path:
            case "/healthz":
                return Answer(body=b"ok", content_type="text/plain")
            case "/readyz" if self.ready:
                return Answer(body=b"ok", content_type="text/plain")
            case "/readyz":
                return Answer(status=503, body=b"waiting for the leader lease", content_type="text/plain")
            case "/metrics":
                return Answer(body=self._metrics().encode(), content_type="text/plain; version=0.0.4")
        return Answer(status=404, body=b"not found", content_type="text/plain")

    def _metrics(self) -> str:
        usage = process_limits.getrusage(process_limits.RUSAGE_SELF)
        sent, received = self._client.traffic
        return render_metrics(
            {
                ("process_cpu_seconds_total", "counter", "CPU time of this process."): usage.ru_utime
                + usage.ru_stime,
                (
                    "process_resident_memory_bytes",
                    "gauge",
                    "Resident memory of this process.",
                ): resident_bytes(),
                ("isthmus_home_sent_bytes_total", "counter", "Bytes sent to our own API server."): sent,
                ("isthmus_home_received_bytes_total", "counter", "Bytes received from it."): received,
                ("python_gc_objects", "gauge", "Objects the garbage collector tracks."): sum(gc.get_count()),
                ("isthmus_time_seconds", "gauge", "The clock of this process."): time.time(),
            }
        )


def resident_bytes() -> int:
    """Resident memory of this process in bytes, from /proc/self/statm."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * process_limits.getpagesize()


def render_metrics(values: dict[tuple[str, str, str], float]) -> str:
    """The Prometheus text format of (name, type, help) -> value."""
    lines: list[str] = []
    for (name, kind, text), value in values.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
    return "\n".join(lines) + "\n"

"""The control traffic between two clusters, counted on the lab's bridge: outside every process of ours.

Everything between the nodes and API servers of one cluster and those of the other counts, both directions added:
TLS, TCP and IP of the connections to the other API server, and what the gateways exchange (WireGuard's handshakes
and keepalives, liveness). The bench's pods send nothing, so no pod traffic is in it; the host's own connections
to the API servers are not between clusters. Segments that the kernel merged count with one header.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from types import TracebackType

from isthmus.lab.plan import API_PORT
from tests.switch import nft, node_range

TABLE = ("bridge", "isthmus_bench")
EVERY = 0.25
"""Seconds between two samples: a peak over a second is found wherever the second starts."""

Bytes = dict[str, int]


def render(one: str, other: str) -> str:
    """The nftables table with a counter for each kind of traffic and direction."""
    a, b = node_range(one), node_range(other)
    api_a, api_b = a[1], b[1]
    # The first that matches counts: each packet is in one counter.
    rules = {
        "provider_sent": f"ip saddr {a} ip daddr {api_b} tcp dport {API_PORT}",
        "provider_received": f"ip saddr {api_b} ip daddr {a} tcp sport {API_PORT}",
        "consumer_sent": f"ip saddr {b} ip daddr {api_a} tcp dport {API_PORT}",
        "consumer_received": f"ip saddr {api_a} ip daddr {b} tcp sport {API_PORT}",
        "tunnel_sent": f"ip saddr {a} ip daddr {b} ip protocol udp",
        "tunnel_received": f"ip saddr {b} ip daddr {a} ip protocol udp",
        "other_sent": f"ip saddr {a} ip daddr {b}",
        "other_received": f"ip saddr {b} ip daddr {a}",
    }
    counters = "\n".join(f"counter {name} {{}}" for name in rules)
    chain = "\n".join(f"{match} counter name {name} accept" for name, match in rules.items())
    return f"""table {" ".join(TABLE)} {{
        {counters}
        chain forward {{
            type filter hook forward priority 0;
            {chain}
        }}
    }}
    """


@dataclass(frozen=True)
class Sample:
    """What was counted until a moment (seconds of the monotonic clock), by counter."""

    at: float
    bytes: Bytes

    @property
    def total(self) -> int:
        """All counters added."""
        return sum(self.bytes.values())


def peak(samples: list[Sample], window: float = 1.0) -> float:
    """The highest kbit/s over any stretch of at least `window` seconds that the samples know; 0 with too few."""
    highest, first = 0.0, 0
    for last in samples:
        while first + 1 < len(samples) and last.at - samples[first + 1].at >= window:
            first += 1
        seconds = last.at - samples[first].at
        if seconds >= window:
            highest = max(highest, (last.total - samples[first].total) * 8 / seconds / 1000)
    return highest


def difference(before: Sample, after: Sample) -> Bytes:
    """Bytes between two samples, by counter."""
    return {name: after.bytes[name] - before.bytes[name] for name in after.bytes}


def rates(before: Sample, after: Sample) -> dict[str, float]:
    """kbit/s between two samples: of each kind, both directions added, and their `total`."""
    seconds = after.at - before.at
    found: dict[str, float] = {"total": 0.0}
    for name, count in difference(before, after).items():
        kind = name.rpartition("_")[0]
        found[kind] = found.get(kind, 0.0) + count * 8 / seconds / 1000
        found["total"] += count * 8 / seconds / 1000
    return found


@dataclass
class Traffic:
    """Counts, between `with` and its end, all that crosses between two clusters."""

    one: str
    other: str
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        self._remove()
        nft("-f", "-", rules=render(self.one, self.other))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        # Declared first, so that it is no error where none is left of an earlier run.
        nft("-f", "-", rules=f"table {' '.join(TABLE)} {{}}\ndelete table {' '.join(TABLE)}\n")

    def read(self) -> Sample:
        """What is counted so far."""
        listing = json.loads(nft("-j", "list", "counters", "table", *TABLE))
        counters = [entry["counter"] for entry in listing["nftables"] if "counter" in entry]
        return Sample(time.monotonic(), {counter["name"]: counter["bytes"] for counter in counters})

    async def sample(self) -> None:
        """Add to `samples` until cancelled."""
        while True:
            self.samples.append(await asyncio.to_thread(self.read))
            await asyncio.sleep(EVERY)

"""What is asked of a probe pod and what it answers: the JSON between the command and the agents in pods."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

PORT = 8207
"""Where the agents echo, TCP and UDP; unprivileged, and registered for nothing."""
CONTAINER = "probe"
CALL, REPLY = b"isthmus-probe?", b"isthmus-probe!"
"""What datagrams begin with: they differ, so that two agents can never answer each other's answers."""
WHO = CALL + b"who"
WHO_SIZE = 512
"""A question of who is there is at least as long as its answer: nobody is flooded through a forged source."""
SMALLEST, LARGEST = 64, 65000

Protocol = Literal["tcp", "udp", "icmp", "connect", "names"]


class Probe(Struct, frozen=True, omit_defaults=True):
    """One thing to try: `size` bytes there and back; with `replicas` until each of them (names of pods) has
    answered; `names` looks `address` up, for `count` addresses with the `expected` ones among them."""

    id: int
    protocol: Protocol
    address: str
    port: int = 0
    size: int = 0
    replicas: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    count: int = 0


class Work(Struct, frozen=True):
    """The probes for one pod; none is begun after `seconds`."""

    probes: list[Probe]
    seconds: float


class Result(Struct, frozen=True, omit_defaults=True):
    """How a probe ended; `detail` says what went wrong, or what was remarkable."""

    id: int
    ok: bool
    milliseconds: float = 0.0
    detail: str = ""


class Results(Struct, frozen=True):
    """The answer of an agent: one result for each probe."""

    results: list[Result]

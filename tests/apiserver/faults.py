"""What goes wrong on demand: requests that are refused, whose answers are lost, that hang."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.apiserver.errors import StatusError
from tests.apiserver.requests import Match, Request
from tests.kube.fake import Exchange

Handler = Callable[[Exchange], Awaitable[None]]


@dataclass(eq=False)
class Fault:
    """What happens to the next `times` requests that match, None for all to come; `hits` counts them."""

    match: Match
    times: int | None = 1
    error: StatusError | None = None
    """What is answered instead of doing anything."""
    lose: bool = False
    """Whether the answer is lost, once the request was done."""
    gate: asyncio.Event | None = None
    """What the request waits for before anything else."""
    handler: Handler | None = None
    """What answers instead."""
    hits: int = 0

    def take(self, request: Request) -> bool:
        """Whether this request is one of them."""
        if self.hits == self.times or not self.match(request):
            return False
        self.hits += 1
        return True


@dataclass
class Faults:
    """The faults of one server, the oldest first."""

    active: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        """Have it happen from now on."""
        self.active.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """Have it happen no longer; what waits at its gate goes on."""
        if fault.gate is not None:
            fault.gate.set()
        if fault in self.active:
            self.active.remove(fault)

    def before(self, request: Request) -> Fault | None:
        """What happens to a request before anything is done."""
        return next((one for one in self.active if not one.lose and one.take(request)), None)

    def loses(self, request: Request) -> bool:
        """Whether the answer to what was done is lost."""
        return any(one.lose and one.take(request) for one in self.active)

    @contextmanager
    def during(self, fault: Fault) -> Iterator[Fault]:
        """Have it happen until the end of the block."""
        self.add(fault)
        try:
            yield fault
        finally:
            self.end(fault)

"""Times as Kubernetes writes them, and when a condition last changed. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol


class Condition(Protocol):
    """What the conditions of all liqo.io kinds have in common."""

    @property
    def type(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def last_transition_time(self) -> str | None: ...


def timestamp(seconds: float | None = None) -> str:
    """RFC 3339 in UTC, whole seconds; now where no time since the epoch is given."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def transition_time(current: Iterable[Condition], type_: str, status: str, now: str) -> str:
    """When the condition took the status: the time it has now where the status stays, else `now`."""
    for condition in current:
        if condition.type == type_ and condition.status == status and condition.last_transition_time:
            return condition.last_transition_time
    return now

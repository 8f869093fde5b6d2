"""Why Networks have no range: what the controller of Networks found, for whoever waits for one. No I/O.

Nothing is kept by it that is state: after a restart the first look at each Network finds the same again. Owned by
the controller of Networks, which tells of each change.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from isthmus.kube.objects import Key


class Refusal(Struct, frozen=True):
    """A reason in CamelCase, and a message that names the ranges and the mend."""

    reason: str
    message: str


class Refusals:
    """The Networks that were refused a range, and why."""

    def __init__(self) -> None:
        self._found: dict[Key, Refusal] = {}
        self._handlers: list[Callable[[Key], None]] = []

    def add_handler(self, handler: Callable[[Key], None]) -> None:
        """Have the key of each Network told whose refusal comes or becomes another; its going is the Network's."""
        self._handlers.append(handler)

    def get(self, network: Key) -> Refusal | None:
        """Why the Network has no range, None where it has one or was not looked at yet."""
        return self._found.get(network)

    def note(self, network: Key, refusal: Refusal) -> None:
        """The Network was refused a range."""
        if self._found.get(network) == refusal:
            return
        self._found[network] = refusal
        for handler in self._handlers:
            handler(network)

    def forget(self, network: Key) -> None:
        """The Network has a range, or is gone."""
        self._found.pop(network, None)

"""How much of its quota each user of this provider has in use: exact, in memory, rebuilt at every start.

The ledger follows the informer of ShadowPods, whose objects it counts under the user in their creator label;
a pod that has finished counts no more. What admission lets through is reserved at once, in the same step as
the check, and stays so until the object is seen or `RESERVATION` seconds are over: no request outlives that
in the API server. Only one object can have a name, so what is reserved and seen under one name counts once,
each resource at its largest. Nothing here waits, so no two checks can pass on the same free amount.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from isthmus.api import labels
from isthmus.api.offloading import ShadowPod
from isthmus.kube.objects import Key
from isthmus.offloading.inplace import resized_spec
from isthmus.offloading.quota.requests import Amounts, largest, pod_requests, read_pod

RESERVATION = 70.0
"""Seconds a reservation lasts: the API server's request timeout is 60."""

FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True)
class _Slot:
    """What one name takes of one user's quota: seen in the cache, and let through but not seen yet."""

    seen: Amounts = field(default_factory=dict)
    reserved: Amounts = field(default_factory=dict)
    reserved_for: set[str] = field(default_factory=set)
    until: float = 0.0

    def amounts(self) -> Amounts:
        return largest(self.seen, self.reserved) if self.reserved else self.seen

    def release(self) -> None:
        self.reserved, self.until = {}, 0.0
        self.reserved_for.clear()


@dataclass(slots=True)
class _Account:
    """The slots of one user and their sum, kept as they change."""

    slots: dict[Key, _Slot] = field(default_factory=dict)
    total: Amounts = field(default_factory=dict)

    def change(self, key: Key, change: Callable[[_Slot], None]) -> None:
        slot = self.slots.setdefault(key, _Slot())
        before = slot.amounts()
        change(slot)
        after = slot.amounts()
        for name in before.keys() | after.keys():
            left = self.total.get(name, 0) - before.get(name, 0) + after.get(name, 0)
            if left:
                self.total[name] = left
            else:
                self.total.pop(name, None)
        if not after and not slot.reserved_for:
            del self.slots[key]


class Ledger:
    """The usage of every user."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._expiries: deque[tuple[float, str, Key]] = deque()

    def observe(self, old: ShadowPod | None, new: ShadowPod | None) -> None:
        """The informer's handler: count what is there, free what is gone or has finished."""
        if old is not None and (new is None or creator_of(new) != creator_of(old)):
            self._see(old, {})
        if new is not None:
            self._see(new, {} if new.status.phase in FINISHED else amounts_of(new))

    def usage(self, user: str) -> Amounts:
        """What the user has in use."""
        self._expire()
        account = self._accounts.get(user)
        return dict(account.total) if account else {}

    def shortage(self, user: str, key: Key, limits: Amounts, asked: Amounts) -> tuple[str, int] | None:
        """The first resource of which not enough is free for an object of that name, and how much is free.

        None where all fits. Resources without a limit always do.
        """
        self._expire()
        account = self._accounts.get(user, _Account())
        slot = account.slots.get(key)
        own = slot.amounts() if slot else {}
        for name, amount in sorted(asked.items()):
            free = limits.get(name, amount) - account.total.get(name, 0) + own.get(name, 0)
            if name in limits and amount > free:
                return name, max(free, 0)
        return None

    def reserve(self, user: str, key: Key, uid: str, asked: Amounts) -> None:
        """Count a request that was let through until its object is seen."""
        self._expire()
        until = self._clock() + RESERVATION

        def hold(slot: _Slot) -> None:
            slot.reserved = largest(slot.reserved, asked)
            slot.reserved_for.add(uid)
            slot.until = until

        self._accounts.setdefault(user, _Account()).change(key, hold)
        self._expiries.append((until, user, key))

    def _see(self, shadow: ShadowPod, amounts: Amounts) -> None:
        user = creator_of(shadow)
        if not user:
            return

        def settle(slot: _Slot) -> None:
            slot.seen = amounts
            slot.reserved_for.discard(shadow.metadata.uid)
            if not slot.reserved_for:
                slot.release()

        self._change(user, shadow.key, settle)

    def _expire(self) -> None:
        """End the reservations whose time is over."""
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            _, user, key = self._expiries.popleft()
            account = self._accounts.get(user)
            slot = account.slots.get(key) if account else None
            if slot is not None and slot.until <= now:
                self._change(user, key, _Slot.release)

    def _change(self, user: str, key: Key, change: Callable[[_Slot], None]) -> None:
        account = self._accounts.setdefault(user, _Account())
        account.change(key, change)
        if not account.slots:
            del self._accounts[user]


def creator_of(shadow: ShadowPod) -> str:
    """The user a ShadowPod counts for, as its label has it."""
    return shadow.metadata.labels.get(labels.CREATOR_USER, "")


def amounts_of(shadow: ShadowPod) -> Amounts:
    """What a ShadowPod takes; nothing where its spec cannot be read (no pod can come of it)."""
    try:
        return pod_requests(read_pod(resized_spec(shadow)))
    except (ValueError, msgspec.DecodeError):
        return {}

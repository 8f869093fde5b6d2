"""The ledger never lets more through than there is, nor less, whatever the order of events."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from isthmus.api import labels
from isthmus.api.offloading import ShadowPod
from isthmus.api.quantity import NANO
from isthmus.kube.objects import Key
from isthmus.offloading.quota.ledger import RESERVATION, Ledger

USER = "milan-a8a4c692b93b"
LIMITS = {"cpu": 10 * NANO}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def shadow(name: str, uid: str, cores: int, phase: str = "Running", user: str = USER) -> ShadowPod:
    manifest: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "demo", "uid": uid, "labels": {labels.CREATOR_USER: user}},
        "spec": {"pod": {"containers": [{"name": "c", "resources": {"requests": {"cpu": str(cores)}}}]}},
        "status": {"phase": phase},
    }
    return msgspec.json.decode(msgspec.json.encode(manifest), type=ShadowPod)


def admit(ledger: Ledger, name: str, uid: str, cores: int) -> bool:
    asked = {"cpu": cores * NANO, "pods": NANO}
    if ledger.shortage(USER, Key("demo", name), LIMITS, asked):
        return False
    ledger.reserve(USER, Key("demo", name), uid, asked)
    return True


def cores(ledger: Ledger) -> int:
    return ledger.usage(USER).get("cpu", 0) // NANO


def test_a_burst_stops_exactly_at_the_limit() -> None:
    ledger = Ledger()
    assert [admit(ledger, f"p{i}", f"u{i}", 3) for i in range(5)] == [True, True, True, False, False]
    assert admit(ledger, "small", "us", 1)
    assert ledger.shortage(USER, Key("demo", "x"), LIMITS, {"cpu": 1}) == ("cpu", 0)


def test_finished_pods_and_deleted_ones_are_free() -> None:
    ledger = Ledger()
    running, finished = shadow("a", "u", 4), shadow("a", "u", 4, "Succeeded")
    ledger.observe(None, running)
    assert cores(ledger) == 4
    ledger.observe(running, finished)
    assert ledger.usage(USER) == {}
    ledger.observe(None, shadow("b", "u2", 4))
    ledger.observe(shadow("b", "u2", 4), None)
    assert ledger.usage(USER) == {}


def test_what_was_let_through_but_never_came_is_free_again() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    assert admit(ledger, "a", "u", 10)
    clock.now += RESERVATION - 1
    assert not admit(ledger, "b", "v", 1)
    clock.now += 2
    assert admit(ledger, "b", "v", 10)


def test_trying_again_under_one_name_counts_once_at_its_largest() -> None:
    ledger = Ledger()
    assert admit(ledger, "a", "u1", 6)
    assert admit(ledger, "a", "u2", 2)
    assert cores(ledger) == 6
    ledger.observe(None, shadow("a", "u2", 2))
    assert cores(ledger) == 6  # the first may still come, until its time is over


def test_a_successor_of_the_same_name_takes_the_place_of_the_one_that_goes() -> None:
    ledger = Ledger()
    old = shadow("a", "u1", 8)
    ledger.observe(None, old)
    assert admit(ledger, "a", "u2", 8)
    ledger.observe(old, shadow("a", "u2", 8))
    assert cores(ledger) == 8


def test_users_do_not_share() -> None:
    ledger = Ledger()
    ledger.observe(None, shadow("a", "u", 9, user="other"))
    assert admit(ledger, "b", "v", 10)


class LedgerMachine(RuleBasedStateMachine):
    """Requests, arrivals, ends and lapses in any order against the plain sum of what may exist."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.ledger = Ledger(self.clock)
        self.flying: dict[str, dict[str, tuple[int, float]]] = {}
        self.present: dict[str, ShadowPod] = {}
        self.amounts: dict[str, int] = {}
        self.serial = 0

    names = st.sampled_from("abcd")

    @rule(name=names, amount=st.integers(0, 7))
    def ask(self, name: str, amount: int) -> None:
        self.serial += 1
        others = sum(self.taken(other) for other in "abcd" if other != name)
        admitted = admit(self.ledger, name, f"u{self.serial}", amount)
        assert admitted is (others + amount <= 10)
        if admitted:
            until = self.clock.now + RESERVATION
            flights = {
                uid: (a, until) for uid, (a, t) in self.flying.get(name, {}).items() if t > self.clock.now
            }
            self.flying[name] = {**flights, f"u{self.serial}": (amount, until)}

    @precondition(lambda self: any(self.flying.values()))
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(n for n, f in self.flying.items() if f)))
        uid = data.draw(st.sampled_from(sorted(self.flying[name])))
        amount, _ = self.flying[name].pop(uid)
        new = shadow(name, uid, amount)
        self.ledger.observe(self.present.get(name), new)
        self.present[name], self.amounts[name] = new, amount
        if not self.flying[name]:
            del self.flying[name]

    @precondition(lambda self: self.present)
    @rule(data=st.data(), deleted=st.booleans())
    def end(self, data: st.DataObject, deleted: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.present)))
        old = self.present.pop(name)
        self.amounts.pop(name)
        self.ledger.observe(old, None if deleted else shadow(name, old.metadata.uid, 5, "Failed"))

    @rule(seconds=st.sampled_from([1.0, 40.0, RESERVATION]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        for name in list(self.flying):
            if all(until <= self.clock.now for _, until in self.flying[name].values()):
                del self.flying[name]

    def taken(self, name: str) -> int:
        """Reservations of one name lapse together, with the last of them; the largest counts."""
        flights = [amount for amount, _ in self.flying.get(name, {}).values()]
        held = self.held(name) if flights else 0
        return max([self.amounts.get(name, 0), held, *flights])

    def held(self, name: str) -> int:
        slot = self.ledger._accounts[USER].slots[Key("demo", name)]
        return slot.reserved.get("cpu", 0) // NANO

    @invariant()
    def agrees(self) -> None:
        assert cores(self.ledger) == sum(self.taken(name) for name in "abcd")

    @invariant()
    def forgets(self) -> None:
        if not self.present and not self.flying:
            assert self.ledger.usage(USER) == {}
            assert not self.ledger._accounts


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLedger = LedgerMachine.TestCase

"""Addresses as the IP objects say: a life of IPs that come and go, caches that lag, restarts."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from isthmus.api.cidr import parse_address, parse_cidr
from isthmus.api.ipam import IP, IPStatus
from isthmus.network.ipam.address_ledger import AddressLedger, Range
from isthmus.network.ipam.addresses import AddressesExhaustedError
from tests.network.ipam.objects import ip

RANGES = [Range(parse_cidr("10.70.0.0/29"), 1), Range(parse_cidr("10.71.0.0/30"), 0)]


class AddressLedgerMachine(RuleBasedStateMachine):
    """An API server, a cache that lags behind it, and a controller that is killed at any moment."""

    names = st.sampled_from([f"ip{number}" for number in range(8)])
    ranges = st.sampled_from(RANGES)

    def __init__(self) -> None:
        super().__init__()
        self.server: dict[str, IP] = {}
        self.cache: dict[str, IP] = {}
        self.backlog: list[tuple[str, IP | None]] = []
        self.ages = itertools.count(1)
        self.ledger = AddressLedger(self.cached)

    def cached(self) -> list[IP]:
        return list(self.cache.values())

    @rule(name=names)
    def create(self, name: str) -> None:
        if name not in self.server:
            age = next(self.ages)
            made = ip(name, age=age)
            metadata = msgspec.structs.replace(made.metadata, uid=f"uid-{age}")
            self.change(name, msgspec.structs.replace(made, metadata=metadata))

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.server:
            self.change(name, None)

    def change(self, name: str, value: IP | None) -> None:
        if value is None:
            del self.server[name]
        else:
            self.server[name] = value
        self.backlog.append((name, value))

    @precondition(lambda self: self.backlog)
    @rule()
    def deliver(self) -> None:
        name, value = self.backlog.pop(0)
        old = self.cache.get(name)
        if value is None:
            self.cache.pop(name, None)
        else:
            self.cache[name] = value
        self.ledger.observe(old, value)

    @rule(name=names, range_=ranges, lost=st.booleans())
    def reconcile(self, name: str, range_: Range, lost: bool) -> None:
        """`lost`: the write fails after the address was chosen."""
        ours = self.cache.get(name)
        if ours is None or ours.status.ip or self.ledger.standing(ours, range_):
            return
        try:
            address = self.ledger.assign(ours, range_)
        except AddressesExhaustedError:
            return
        if not lost and self.server.get(name) is ours:  # The precondition on resourceVersion.
            status = IPStatus(ip=address, cidr=str(range_.cidr))
            self.change(name, msgspec.structs.replace(ours, status=status))

    @rule()
    def restart(self) -> None:
        """The new process lists what the server has."""
        self.cache = dict(self.server)
        self.backlog.clear()
        self.ledger = AddressLedger(self.cached)

    @invariant()
    def no_address_is_given_twice(self) -> None:
        given = [one.status.ip for one in self.server.values() if one.status.ip]
        assert len(given) == len(set(given))
        assert parse_address("10.70.0.0") not in [parse_address(one) for one in given]

    def teardown(self) -> None:
        """When all IPs are gone nothing of them is kept, and every address can be given again."""
        for name in list(self.server):
            self.change(name, None)
        while self.backlog:
            self.deliver()
        assert not self.ledger._books or all(book.empty for book in self.ledger._books.values())
        assert not self.ledger._unseen
        free = parse_cidr("10.71.0.0/30").size - 2
        assert len({self.ledger.assign(ip(f"again{n}"), RANGES[1]) for n in range(free)}) == free


AddressLedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAddressLedgerMachine = AddressLedgerMachine.TestCase


def test_a_range_that_nobody_has_an_address_of_any_more_is_forgotten() -> None:
    """Networks come and go over a life; their books must not stay."""
    ledger = AddressLedger(list)
    for number in range(100):
        one = ip("a")
        ledger.assign(one, Range(parse_cidr(f"10.{number}.0.0/24"), 0))
        ledger.observe(None, one)
        ledger.observe(one, None)
    assert not ledger._books

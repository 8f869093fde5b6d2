"""Ranges as the Network objects say: restarts, caches that lag, writes whose outcome is unknown."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isthmus.api.cidr import parse_cidr
from isthmus.api.ipam import Network, NetworkStatus
from isthmus.kube.builtin import Node
from isthmus.network.ipam.allocator import RangeRefusedError
from isthmus.network.ipam.installation import DEFAULT_POOLS
from isthmus.network.ipam.ledger import NetworkLedger
from tests.network.ipam.objects import network

POOLS = [parse_cidr(text) for text in DEFAULT_POOLS]


def ledger_of(*networks: Network) -> NetworkLedger:
    ledger = NetworkLedger(POOLS)
    for one in networks:
        ledger.observe(None, one)
    return ledger


def test_a_peer_with_our_own_range_is_seen_under_another() -> None:
    ledger = ledger_of(network("pods", "10.244.0.0/16", "10.244.0.0/16", immutable=True, shared=True))
    assert str(ledger.assign(network("peer", "10.244.0.0/16"))) == "10.0.0.0/16"


def node(*addresses: str) -> Node:
    found = [{"type": "InternalIP", "address": address} for address in addresses]
    return msgspec.convert({"metadata": {"name": "n"}, "status": {"addresses": found}}, Node)


def test_no_peer_is_seen_under_the_addresses_of_our_nodes() -> None:
    ledger = ledger_of(network("pods", "10.244.0.0/16", "10.244.0.0/16", immutable=True, shared=True))
    ledger.observe_node(None, node("10.0.0.7", "worker", "fd00::7", "172.26.1.2"))
    assert str(ledger.assign(network("announces", "172.26.0.0/16"))) == "10.1.0.0/16"
    assert str(ledger.assign(network("remapped", "10.244.0.0/16"))) == "10.2.0.0/16"
    ledger.observe_node(node("10.0.0.7", "172.26.1.2"), node("172.26.1.2"))
    assert str(ledger.assign(network("later", "10.244.0.0/16"))) == "10.0.0.0/16"
    ledger.observe_node(node("172.26.1.2"), None)
    assert str(ledger.assign(network("last", "172.26.0.0/16"))) == "172.26.0.0/16"


def test_a_node_that_comes_later_moves_nobody() -> None:
    peer = network("peer", "172.26.0.0/16", "172.26.0.0/16")
    ledger = ledger_of(peer)
    ledger.observe_node(None, node("172.26.1.2"))
    assert str(ledger.standing(peer)) == "172.26.0.0/16"


def test_what_is_asked_for_and_cannot_move_is_kept_free_whoever_comes_first() -> None:
    fixed = network("reserved", "10.9.0.0/16", immutable=True, shared=True)
    peer = network("peer", "10.9.0.0/16")
    assert str(ledger_of(peer, fixed).assign(peer)) == "10.0.0.0/16"
    assert str(ledger_of(fixed, peer).assign(fixed)) == "10.9.0.0/16"


def test_what_was_assigned_is_taken_before_the_cache_shows_it() -> None:
    ledger = ledger_of()
    first, second = network("a", "10.1.0.0/16"), network("b", "10.1.0.0/16")
    assert str(ledger.assign(first)) == "10.1.0.0/16"
    ledger.observe(first, first)  # A label changed before the status was written: still without a range.
    assert str(ledger.assign(second)) == "10.0.0.0/16"


def test_a_write_whose_outcome_is_unknown_is_repeated_alike() -> None:
    ledger = ledger_of(network("other", "10.1.0.0/16", "10.1.0.0/16"))
    ours = network("a", "10.1.0.0/16")
    first = ledger.assign(ours)
    ledger.observe(network("other", "10.1.0.0/16", "10.1.0.0/16"), None)
    assert ledger.assign(ours) == first


def test_a_network_made_anew_under_the_same_name_starts_anew() -> None:
    ledger = ledger_of(network("other", "10.1.0.0/16", "10.1.0.0/16"))
    ledger.assign(network("a", "10.1.0.0/16", uid="old"))
    ledger.observe(network("other", "10.1.0.0/16", "10.1.0.0/16"), None)
    assert str(ledger.assign(network("a", "10.1.0.0/16", uid="new"))) == "10.1.0.0/16"


def test_a_range_is_free_once_its_network_is_gone() -> None:
    held = network("a", "10.1.0.0/16", "10.1.0.0/16")
    ledger = ledger_of(held)
    ledger.observe(held, None)
    assert str(ledger.assign(network("b", "10.1.0.0/16"))) == "10.1.0.0/16"


def test_of_two_in_each_others_way_the_younger_moves() -> None:
    older = network("z", "10.1.0.0/16", "10.1.0.0/16", age=1)
    younger = network("a", "10.1.0.0/16", "10.1.0.0/16", age=2)
    ledger = ledger_of(younger, older)
    assert ledger.standing(older) == parse_cidr("10.1.0.0/16")
    assert ledger.standing(younger) is None
    assert str(ledger.assign(younger)) == "10.0.0.0/16"


def test_who_may_not_be_remapped_stays_even_when_younger() -> None:
    older = network("z", "10.1.0.0/16", "10.1.0.0/16", age=1)
    younger = network("a", "10.1.0.0/16", "10.1.0.0/16", age=2, immutable=True)
    ledger = ledger_of(older, younger)
    assert ledger.standing(younger) == parse_cidr("10.1.0.0/16")
    assert ledger.standing(older) is None


@pytest.mark.parametrize("status", ["nonsense", "10.5.0.0/24", "10.5.0.1/16"])
def test_a_status_that_fits_no_wish_is_assigned_anew(status: str) -> None:
    spoiled = network("a", "10.1.0.0/16", status)
    assert ledger_of(spoiled).standing(spoiled) is None


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        (network("a", "10.1.0.0"), "InvalidCIDR"),
        (network("a", "10.1.0.7/16"), "InvalidCIDR"),
        (network("a", "fd00::/64"), "InvalidCIDR"),
        (network("a", "10.1.0.0/30", pre_allocated=5), "InvalidPreAllocated"),
    ],
)
def test_a_malformed_network_is_refused_by_field_and_holds_nothing(spoiled: Network, reason: str) -> None:
    ledger = ledger_of(spoiled)
    with pytest.raises(RangeRefusedError, match=r"spec\.") as caught:
        ledger.assign(spoiled)
    assert caught.value.reason == reason
    assert str(ledger.assign(network("b", "10.1.0.0/16"))) == "10.1.0.0/16"


class LedgerMachine(RuleBasedStateMachine):
    """An API server, a cache that lags behind it, and a controller that is killed at any moment."""

    names = st.sampled_from([f"n{number}" for number in range(8)])
    wished = st.sampled_from(["10.0.0.0/10", "10.64.0.0/10", "10.0.0.0/11", "10.96.0.0/12", "10.128.0.0/9"])

    def __init__(self) -> None:
        super().__init__()
        self.server: dict[str, Network] = {}
        self.cache: dict[str, Network] = {}
        self.backlog: list[tuple[str, Network | None]] = []
        self.ages = itertools.count(1)

    @initialize()
    def start(self) -> None:
        self.ledger = NetworkLedger([parse_cidr("10.0.0.0/8")])

    def change(self, name: str, value: Network | None) -> None:
        if value is None:
            del self.server[name]
        else:
            self.server[name] = value
        self.backlog.append((name, value))

    @rule(name=names, cidr=wished)
    def create(self, name: str, cidr: str) -> None:
        if name not in self.server:
            age = next(self.ages)
            self.change(name, network(name, cidr, age=age, uid=f"uid-{age}"))

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.server:
            self.change(name, None)

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

    @rule(name=names, lost=st.booleans())
    def reconcile(self, name: str, lost: bool) -> None:
        """`lost`: the write fails after the range was chosen."""
        ours = self.cache.get(name)
        if ours is None or self.ledger.standing(ours) is not None:
            return
        try:
            cidr = str(self.ledger.assign(ours))
        except RangeRefusedError:
            return
        current = self.server.get(name)
        if not lost and current is ours:  # The precondition on resourceVersion.
            self.change(name, msgspec.structs.replace(ours, status=NetworkStatus(cidr=cidr)))

    @rule(random=st.randoms())
    def kill(self, random: object) -> None:
        """The next process lists everything, in any order."""
        self.backlog.clear()
        self.cache = dict(self.server)
        self.ledger = NetworkLedger([parse_cidr("10.0.0.0/8")])
        values = list(self.cache.values())
        random.shuffle(values)  # type: ignore[attr-defined]
        for value in values:
            self.ledger.observe(None, value)

    @invariant()
    def no_two_overlap(self) -> None:
        held = sorted(parse_cidr(one.status.cidr) for one in self.server.values() if one.status.cidr)
        assert all(one.last < other.first for one, other in itertools.pairwise(held))


LedgerMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase

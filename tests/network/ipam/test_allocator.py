"""Who gets which range, by examples and by a machine that holds and releases at random."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from isthmus.api.cidr import CIDR, parse_cidr
from isthmus.network.ipam.allocator import Allocator, RangeRefusedError, Wish

POOLS = [parse_cidr(text) for text in ("10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12")]


def wish(text: str, *, immutable: bool = False, shared: bool = False) -> Wish:
    return Wish(cidr=parse_cidr(text), immutable=immutable, shared=shared)


def allocator(**held: str) -> Allocator:
    result = Allocator(POOLS)
    for holder, text in held.items():
        result.hold(holder, parse_cidr(text))
    return result


def test_the_wished_range_is_given_where_it_is_free() -> None:
    assert str(allocator(a="10.1.0.0/16").choose(wish("10.2.0.0/16"))) == "10.2.0.0/16"


@pytest.mark.parametrize("held", ["10.244.0.0/16", "10.244.7.0/24", "10.240.0.0/12"])
def test_a_range_in_use_is_replaced_by_another_of_its_size(held: str) -> None:
    assert str(allocator(a=held).choose(wish("10.244.0.0/16"))) == "10.0.0.0/16"


def test_a_range_outside_the_pools_is_replaced() -> None:
    assert str(allocator().choose(wish("100.64.0.0/10"))) == "10.0.0.0/10"


def test_the_next_pool_is_used_when_one_is_full() -> None:
    assert str(allocator(a="10.0.0.0/8").choose(wish("10.5.0.0/24"))) == "192.168.0.0/24"


def test_a_gap_between_smaller_ranges_is_found() -> None:
    held = allocator(a="10.0.0.0/24", b="10.0.2.0/24", c="10.0.4.0/22")
    assert str(held.choose(wish("10.0.2.0/24"))) == "10.0.1.0/24"
    assert str(held.choose(wish("10.0.2.0/23"))) == "10.0.8.0/23"


def test_what_may_not_be_remapped_is_given_or_refused() -> None:
    assert str(allocator().choose(wish("10.1.0.0/16", immutable=True))) == "10.1.0.0/16"
    with pytest.raises(RangeRefusedError, match=r"10\.1\.0\.0/16 .* 10\.1\.2\.0/24 is held by Network peer"):
        allocator(peer="10.1.2.0/24").choose(wish("10.1.0.0/16", immutable=True))
    with pytest.raises(RangeRefusedError, match="none of the pools") as caught:
        allocator().choose(wish("100.64.0.0/16", immutable=True))
    assert caught.value.reason == "OutsidePools"


def test_shared_ranges_may_overlap_each_other_but_no_exclusive_one() -> None:
    held = Allocator(POOLS)
    held.hold("pods", parse_cidr("10.244.0.0/16"), shared=True)
    shared = wish("10.244.0.0/17", immutable=True, shared=True)
    assert held.choose(shared) == shared.cidr
    held.hold("peer", parse_cidr("10.244.0.0/24"))
    with pytest.raises(RangeRefusedError, match="held by Network peer"):
        held.choose(shared)


def test_a_shared_fixed_range_outside_the_pools_is_always_granted() -> None:
    fixed = wish("100.64.0.0/16", immutable=True, shared=True)
    assert allocator(a="100.64.0.0/16").choose(fixed) == fixed.cidr


def test_a_reserved_range_around_a_pool_closes_it() -> None:
    held = Allocator(POOLS)
    held.hold("reserved", parse_cidr("10.0.0.0/7"), shared=True)
    assert str(held.choose(wish("10.1.0.0/16"))) == "192.168.0.0/16"


def test_what_is_only_asked_for_is_left_free_for_who_can_have_nothing_else() -> None:
    held = Allocator(POOLS)
    held.hold("external", parse_cidr("10.70.0.0/16"), pending=True)
    assert str(held.choose(wish("10.70.0.0/16"))) == "10.0.0.0/16"
    assert str(held.choose(wish("10.70.0.0/16", immutable=True))) == "10.70.0.0/16"


def test_exhausted_pools_are_said_with_the_mend() -> None:
    full = allocator(a="10.0.0.0/8", b="192.168.0.0/16", c="172.16.0.0/12")
    with pytest.raises(
        RangeRefusedError, match=r"no other free /16: remove .* or add a range to ipam\.pools"
    ) as caught:
        full.choose(wish("10.5.0.0/16"))
    assert caught.value.reason == "PoolsExhausted"


def test_a_thousand_peers_with_the_same_two_ranges_get_disjoint_ones() -> None:
    held = Allocator(POOLS)
    given = []
    for peer in range(1000):
        for text in ("10.244.0.0/20", "10.70.0.0/22"):
            cidr = held.choose(wish(text))
            held.hold(f"{peer}/{text}", cidr)
            given.append(cidr)
    given.sort()
    assert all(one.last < other.first for one, other in itertools.pairwise(given))


SMALL_POOLS = [parse_cidr("10.0.0.0/26"), parse_cidr("10.0.1.0/27")]


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    prefix = draw(st.integers(24, 32))
    first = (draw(st.integers(0x0A000000, 0x0A0001FF))) >> (32 - prefix) << (32 - prefix)
    return Wish(cidr=CIDR(first, prefix), immutable=draw(st.booleans()), shared=draw(st.booleans()))


class AllocatorMachine(RuleBasedStateMachine):
    """Beside the allocator a model that knows every single address."""

    holders = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        self.allocator = Allocator(SMALL_POOLS)
        self.model: dict[str, tuple[CIDR, bool]] = {}
        self.number = 0

    @rule(target=holders, wished=wishes())
    def ask(self, wished: Wish) -> str:
        self.number += 1
        holder = str(self.number)
        try:
            cidr = self.allocator.choose(wished)
        except RangeRefusedError:
            assert not self.may_have(wished, wished.cidr)
            if not wished.immutable:
                assert not any(self.is_free(other) for other in self.alternatives(wished.cidr.prefix))
            return holder
        assert cidr.prefix == wished.cidr.prefix
        if cidr != wished.cidr:
            assert not wished.immutable
            assert not self.may_have(wished, wished.cidr)
            assert self.is_free(cidr)
        self.allocator.hold(holder, cidr, shared=wished.shared)
        self.model[holder] = (cidr, wished.shared)
        return holder

    @rule(holder=consumes(holders))
    def give_up(self, holder: str) -> None:
        self.allocator.release(holder)
        self.model.pop(holder, None)
        assert self.allocator.held(holder) is None

    @rule(wished=wishes(), random=st.randoms())
    def restart(self, wished: Wish, random: object) -> None:
        """A new allocator that reads the same holders in any order chooses the same."""
        again = Allocator(SMALL_POOLS)
        entries = list(self.model.items())
        random.shuffle(entries)  # type: ignore[attr-defined]
        for holder, (cidr, shared) in entries:
            again.hold(holder, cidr, shared=shared)
        assert self.outcome(again, wished) == self.outcome(self.allocator, wished)
        self.allocator = again

    @invariant()
    def exclusive_ones_are_alone(self) -> None:
        inside = [(cidr, shared) for cidr, shared in self.model.values() if self.in_pools(cidr)]
        for index, (cidr, shared) in enumerate(inside):
            for other, other_shared in inside[index + 1 :]:
                assert not cidr.overlaps(other) or (shared and other_shared)

    @invariant()
    def everyone_has_what_was_given(self) -> None:
        for holder, (cidr, _) in self.model.items():
            assert self.allocator.held(holder) == cidr

    def may_have(self, wished: Wish, cidr: CIDR) -> bool:
        if wished.immutable and wished.shared and not self.in_pools(cidr):
            return True
        return self.in_pools(cidr) and not any(
            cidr.overlaps(other) and not (wished.shared and shared) for other, shared in self.model.values()
        )

    def is_free(self, cidr: CIDR) -> bool:
        return self.in_pools(cidr) and not any(cidr.overlaps(other) for other, _ in self.model.values())

    def in_pools(self, cidr: CIDR) -> bool:
        return any(pool.contains(cidr) for pool in SMALL_POOLS)

    def alternatives(self, prefix: int) -> list[CIDR]:
        size = 1 << (32 - prefix)
        return [
            CIDR(first, prefix)
            for pool in SMALL_POOLS
            if prefix >= pool.prefix
            for first in range(pool.first, pool.last + 1, size)
        ]

    @staticmethod
    def outcome(allocator: Allocator, wished: Wish) -> CIDR | str:
        try:
            return allocator.choose(wished)
        except RangeRefusedError as error:
            return error.reason


AllocatorMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAllocatorMachine = AllocatorMachine.TestCase

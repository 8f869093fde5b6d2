"""Single addresses: of the external CIDR for IPs, of the internal one for nodes and gateways."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from isthmus.api.cidr import parse_address, parse_cidr
from isthmus.network.ipam import InternalAddresses
from isthmus.network.ipam.addresses import AddressBook, AddressesExhaustedError

EXTERNAL = parse_cidr("10.70.0.0/16")


def test_an_address_given_up_is_given_back_to_whom_it_was() -> None:
    book = AddressBook(EXTERNAL, reserved=1)
    first = book.acquire("a", "apps/web")
    book.release("a")
    assert book.acquire("b", "apps/web") == first
    assert book.acquire("c", "apps/web") != first


def test_reserved_addresses_and_the_last_are_never_given() -> None:
    book = AddressBook(parse_cidr("10.70.0.0/28"), reserved=4)
    given = {book.acquire(str(number), str(number)) for number in range(11)}
    assert given == set(range(parse_address("10.70.0.4"), parse_address("10.70.0.15")))
    with pytest.raises(AddressesExhaustedError, match=r"all 11 addresses of 10\.70\.0\.0/28"):
        book.choose("one more")


def test_the_network_address_is_nobodys_even_where_nothing_is_reserved() -> None:
    book = AddressBook(parse_cidr("10.80.0.0/30"))
    assert {book.acquire("a", "a"), book.acquire("b", "b")} == {
        parse_address("10.80.0.1"),
        parse_address("10.80.0.2"),
    }
    assert book.free == 0


def test_a_range_reserved_whole_gives_nothing() -> None:
    with pytest.raises(AddressesExhaustedError):
        AddressBook(parse_cidr("10.70.0.0/30"), reserved=4).choose("a")


class AddressMachine(RuleBasedStateMachine):
    """A small range that is filled and emptied at random, with a model of who has what."""

    names = st.sampled_from([f"pod-{number}" for number in range(20)])

    def __init__(self) -> None:
        super().__init__()
        self.book = AddressBook(parse_cidr("10.70.0.0/28"), reserved=1)
        self.model: dict[str, int] = {}

    @rule(name=names)
    def acquire(self, name: str) -> None:
        if name in self.model:
            assert self.book.acquire(name, name) == self.model[name]
        elif len(self.model) == 14:
            with pytest.raises(AddressesExhaustedError):
                self.book.acquire(name, name)
        else:
            self.model[name] = self.book.acquire(name, name)

    @rule(name=names)
    def release(self, name: str) -> None:
        self.book.release(name)
        self.model.pop(name, None)

    @rule(name=names)
    def restart(self, name: str) -> None:
        again = AddressBook(self.book.cidr, reserved=1)
        for holder in sorted(self.model, reverse=True):
            again.hold(holder, self.model[holder])
        if len(self.model) < 14:
            assert again.choose(name) == self.book.choose(name)
        self.book = again

    @invariant()
    def nobody_shares(self) -> None:
        assert len(set(self.model.values())) == len(self.model)
        assert self.book.free == 14 - len(self.model)


AddressMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestAddressMachine = AddressMachine.TestCase


def test_a_node_keeps_its_overlay_address_over_a_restart() -> None:
    range_ = parse_cidr("10.80.0.0/16")
    first = InternalAddresses().address("node/a", range_, {})
    assert InternalAddresses().address("node/a", range_, {"node/a": first}) == first


def test_an_address_just_given_is_not_given_again_before_its_object_shows_it() -> None:
    range_, addresses = parse_cidr("10.80.0.0/29"), InternalAddresses()
    given = {addresses.address(f"node/{number}", range_, {}) for number in range(6)}
    assert len(given) == 6
    with pytest.raises(AddressesExhaustedError):
        addresses.address("node/6", range_, {})
    addresses.release("node/3")
    assert addresses.address("node/6", range_, {}) in given


def test_an_object_that_went_gives_its_address_back_by_itself() -> None:
    range_, addresses = parse_cidr("10.80.0.0/30"), InternalAddresses()
    one = addresses.address("node/a", range_, {})
    other = addresses.address("node/b", range_, {"node/a": one})
    assert addresses.address("node/c", range_, {"node/b": other}) == one


def test_two_nodes_with_one_address_are_told_apart_the_first_keeps_it() -> None:
    range_, addresses = parse_cidr("10.80.0.0/16"), InternalAddresses()
    twice = {"node/a": "10.80.0.9", "node/b": "10.80.0.9"}
    assert addresses.address("node/a", range_, twice) == "10.80.0.9"
    assert addresses.address("node/b", range_, twice) != "10.80.0.9"


def test_an_address_outside_a_changed_range_is_replaced() -> None:
    range_ = parse_cidr("10.81.0.0/16")
    address = InternalAddresses().address("node/a", range_, {"node/a": "10.80.0.9"})
    assert range_.has(parse_address(address))

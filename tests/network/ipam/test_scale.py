"""A thousand peers through IPAM and Configurations, over restarts: quick, and nothing lost or left."""

from __future__ import annotations

import time
from itertools import pairwise

import msgspec

from isthmus.api.cidr import parse_cidr
from isthmus.api.ipam import Network, NetworkStatus
from isthmus.kube.objects import Key
from isthmus.network.ipam.installation import DEFAULT_POOLS
from isthmus.network.ipam.ledger import NetworkLedger
from tests.network.ipam.objects import network

POOLS = [parse_cidr(text) for text in DEFAULT_POOLS]
PEERS = 1000


def assigned(ledger: NetworkLedger, wished: Network) -> Network:
    result = msgspec.structs.replace(wished, status=NetworkStatus(cidr=str(ledger.assign(wished))))
    ledger.observe(wished, result)
    return result


def test_a_thousand_peers_come_restart_and_go_without_a_range_lost() -> None:
    started = time.process_time()
    ledger = NetworkLedger(POOLS)
    all_: dict[Key, Network] = {}
    for number in range(PEERS):
        for type_, cidr in (("pod", "10.244.0.0/20"), ("external", "10.70.0.0/22")):
            wished = network(f"peer{number}-{type_}", cidr, age=number)
            all_[wished.key] = assigned(ledger, wished)
    ranges = sorted(parse_cidr(one.status.cidr) for one in all_.values())
    assert all(one.last < other.first for one, other in pairwise(ranges))

    again = NetworkLedger(POOLS)
    for one in reversed(list(all_.values())):
        again.observe(None, one)
    assert all(again.standing(one) is not None for one in all_.values())

    gone = [one for index, one in enumerate(all_.values()) if index % 4 == 0]
    for one in gone:
        again.observe(one, None)
    back = [assigned(again, network(f"new-{one.metadata.name}", one.spec.cidr)) for one in gone]
    assert {one.status.cidr for one in back} == {one.status.cidr for one in gone}, "the gaps are filled"
    assert time.process_time() - started < 5.0

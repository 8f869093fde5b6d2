"""Which endpoints a provider is told of, and under which addresses."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert, to_builtins

from isthmus.api.cidr import parse_cidr
from isthmus.api.endpoints import Endpoint
from isthmus.api.peer_ranges import PeerRanges
from isthmus.reflection.endpoints import Surroundings, translate

NODES = {"worker": "", "milan": "milan", "naples": "naples", "turin": "turin"}
EXTERNAL = {"10.71.0.5": "10.70.0.9", "10.72.0.5": "10.70.0.10", "192.0.2.1": "10.70.0.11"}
SEEN = {"naples": "10.71.0.0/16", "turin": "10.72.0.0/16"}


def around(**settings: Any) -> Surroundings:
    """Rome, which tells milan; naples and turin are other providers, all three with the same pod CIDR."""
    pods = parse_cidr("10.244.0.0/16")
    facts: dict[str, Any] = {
        "home_id": "rome",
        "provider_id": "milan",
        "cluster_of": NODES.get,
        "pod_cidrs": (pods,),
        "external": lambda address: EXTERNAL.get(address, ""),
        "ranges_of": lambda id_: PeerRanges(((pods, parse_cidr(SEEN[id_])),), ()) if id_ in SEEN else None,
    }
    return Surroundings(**(facts | settings))


def endpoint(address: str, node: str | None = "worker", **fields: Any) -> Endpoint:
    return convert({"addresses": [address], "nodeName": node, **fields}, Endpoint)


def addresses(endpoints: list[Endpoint]) -> list[str]:
    return [address for one in endpoints for address in one.addresses]


def test_own_pods_go_out_as_they_are_and_others_under_their_external_address() -> None:
    told = translate(
        [
            endpoint("10.244.1.7"),
            endpoint("10.71.0.5", "naples"),
            endpoint("192.0.2.1", None),
            endpoint("10.73.0.5", "milan"),
            endpoint("10.244.1.8", "gone"),
        ],
        around(),
        direct=False,
    )
    assert addresses(told.endpoints) == ["10.244.1.7", "10.70.0.9", "10.70.0.11"]
    assert (told.direct, told.waiting) == ({}, [])


def test_an_endpoint_without_an_external_address_waits_alone() -> None:
    both = convert({"addresses": ["10.244.1.7", "198.51.100.1"]}, Endpoint)
    told = translate([endpoint("10.244.1.7"), both, endpoint("fd00::1")], around(), direct=False)
    assert addresses(told.endpoints) == ["10.244.1.7"]
    assert told.waiting == ["10.244.1.7", "198.51.100.1", "fd00::1"]


def test_what_is_kept_of_an_endpoint() -> None:
    local = endpoint(
        "10.244.1.7",
        hostname="web-0",
        zone="a",
        hints={"forZones": [{"name": "a"}]},
        conditions={"ready": False, "serving": True, "terminating": True},
        targetRef={"kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "u"},
    )
    [told] = translate([local], around(), direct=False).endpoints
    assert to_builtins(told) == {
        "addresses": ["10.244.1.7"],
        "conditions": {"ready": False, "serving": True, "terminating": True},
        "hostname": "web-0",
        "nodeName": "rome",
        "zone": "a",
        "hints": {"forZones": [{"name": "a"}]},
        "targetRef": {"kind": "RemotePod", "namespace": "shop", "name": "web-0", "uid": "u"},
    }


def test_direct_connections_tell_the_address_the_third_cluster_itself_knows() -> None:
    endpoints = [endpoint("10.244.1.7"), endpoint("10.71.0.5", "naples"), endpoint("10.71.9.9", "naples")]
    told = translate(endpoints, around(), direct=True)
    assert addresses(told.endpoints) == ["10.244.1.7", "10.244.0.5", "10.244.9.9"]
    assert told.direct == {"naples": ["10.244.0.5", "10.244.9.9"]}
    assert told.waiting == []


def test_an_address_two_clusters_use_is_not_told_directly() -> None:
    endpoints = [endpoint("10.71.0.5", "naples"), endpoint("10.72.0.5", "turin")]
    told = translate(endpoints, around(), direct=True)
    assert addresses(told.endpoints) == ["10.70.0.9", "10.70.0.10"]
    assert told.direct == {}
    told = translate([endpoint("10.244.0.5"), endpoint("10.71.0.5", "naples")], around(), direct=True)
    assert addresses(told.endpoints) == ["10.244.0.5", "10.70.0.9"]
    assert told.direct == {}


def test_a_written_endpoint_that_is_the_providers_own_pod_is_told_as_the_provider_knows_it() -> None:
    seen = SEEN | {"milan": "10.73.0.0/16"}
    pods = parse_cidr("10.244.0.0/16")
    ranges = {id_: PeerRanges(((pods, parse_cidr(range_)),), ()) for id_, range_ in seen.items()}
    written = [endpoint("10.73.1.20", None), endpoint("10.73.1.21", "milan"), endpoint("10.71.0.5", None)]
    told = translate(written, around(ranges_of=ranges.get, takes_own=True), direct=False)
    assert addresses(told.endpoints) == ["10.244.1.20", "10.70.0.9"]
    assert told.direct == {"milan": ["10.244.1.20"]}
    assert told.waiting == []
    stock = translate(written, around(ranges_of=ranges.get), direct=False)
    assert (stock.direct, stock.waiting) == ({}, ["10.73.1.20"])
    clashing = [endpoint("10.244.1.20"), endpoint("10.73.1.20", None)]
    told = translate(clashing, around(ranges_of=ranges.get, takes_own=True), direct=False)
    assert addresses(told.endpoints) == ["10.244.1.20"], "one address would mean two pods"
    assert told.waiting == ["10.73.1.20"]


def test_without_translation_addresses_stay() -> None:
    told = translate(
        [endpoint("198.51.100.1"), endpoint("10.73.0.5", "milan")], around(translate=False), direct=False
    )
    assert addresses(told.endpoints) == ["198.51.100.1"]


ENDPOINTS = st.builds(
    endpoint,
    st.sampled_from([*EXTERNAL, "10.244.0.5", "10.244.0.6", "10.71.0.6", "10.72.0.6", "198.51.100.1"]),
    st.sampled_from([*NODES, "gone", None]),
)


@given(st.lists(ENDPOINTS, max_size=8), st.booleans())
def test_nothing_is_lost_and_a_direct_address_is_one_endpoints(
    endpoints: list[Endpoint], direct: bool
) -> None:
    told = translate(endpoints, around(), direct=direct)
    left = [one for one in endpoints if one.node_name not in ("milan", "gone")]
    assert len(told.endpoints) + len(told.waiting) == len(left)
    everywhere = addresses(told.endpoints)
    for cluster, those in told.direct.items():
        assert direct
        assert cluster in SEEN
        assert all(everywhere.count(address) == 1 for address in those)
    assert {one.node_name for one in told.endpoints} <= {"rome"}

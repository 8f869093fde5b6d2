"""What becomes of a consumer's endpoints, whatever it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert, to_builtins

from isthmus.api import labels
from isthmus.api.cidr import parse_address, parse_cidr
from isthmus.api.core import ForeignCluster
from isthmus.api.endpoints import EndpointPort, EndpointSlice
from isthmus.api.offloading import ShadowEndpointSlice
from isthmus.api.peer_ranges import PeerRanges
from isthmus.offloading.shadowendpointslice.forge import forge_slice, has_surplus, is_current, owner_uid
from isthmus.offloading.shadowendpointslice.mapping import (
    Mapped,
    Peer,
    Policy,
    RefusedError,
    forge_ports,
    is_answering,
    is_connected,
    map_endpoints,
)

PODS = parse_cidr("10.244.0.0/16")
EXTERNAL = (parse_cidr("10.70.0.0/16"), parse_cidr("10.75.0.0/16"))
SEEN = {"rome": parse_cidr("10.71.0.0/16"), "naples": parse_cidr("10.72.0.0/16")}


def ranges(cluster: str) -> PeerRanges:
    return PeerRanges(((PODS, SEEN[cluster]),), (EXTERNAL,))


def peers(**changes: Peer | None) -> Callable[[str], Peer | None]:
    """Rome, whose endpoints they are, and naples, with which we have a network too."""
    known: dict[str, Peer | None] = {id_: Peer(ranges(id_), True, True) for id_ in SEEN}
    return (known | changes).get


def shadow(*endpoints: Any, direct: Any = None, **template: Any) -> ShadowEndpointSlice:
    annotations = {"note": "n"}
    if direct is not None:
        text = (
            direct if isinstance(direct, str) else msgspec.json.encode({"clusterAddresses": direct}).decode()
        )
        annotations[labels.DIRECT_CONNECTIONS_DATA] = text
    whole = [{"addresses": [one]} if isinstance(one, str) else one for one in endpoints]
    metadata = {
        "name": "web-1",
        "namespace": "shop-rome",
        "uid": "s1",
        "labels": {labels.ORIGIN: "rome", labels.SERVICE_NAME: "web"},
        "annotations": annotations,
    }
    spec = {"template": {"addressType": "IPv4", "endpoints": whole} | template}
    return convert({"metadata": metadata, "spec": spec}, ShadowEndpointSlice)


def mapped(
    slice_: ShadowEndpointSlice, known: Callable[[str], Peer | None] | None = None, **policy: bool
) -> Mapped:
    return map_endpoints(slice_, "rome", known or peers(), Policy(**policy))


def addresses(found: Mapped) -> list[str]:
    return [address for one in found.endpoints for address in one.addresses]


def test_addresses_are_those_this_cluster_sees() -> None:
    found = mapped(shadow("10.244.1.7", "10.70.0.9", "192.0.2.1", "10.71.1.7"))
    assert addresses(found) == ["10.71.1.7", "10.75.0.9"]
    assert found.dropped == ["192.0.2.1", "10.71.1.7"]


def test_an_endpoint_stands_or_falls_as_a_whole() -> None:
    found = mapped(shadow({"addresses": ["10.244.1.7", "10.96.0.1"]}, {"addresses": []}, "10.244.1.8"))
    assert addresses(found) == ["10.71.1.8"]
    assert found.dropped == ["10.244.1.7", "10.96.0.1"]


def test_what_is_kept_leads_to_nothing_of_this_cluster() -> None:
    endpoint = {
        "addresses": ["10.244.1.7"],
        "conditions": {"ready": True, "serving": True},
        "nodeName": "our-own-node",
        "targetRef": {"kind": "Pod", "name": "our-own-pod"},
        "zone": "a",
        "hostname": "web-0",
        "hints": {"forZones": [{"name": "a"}]},
        "later": 1,
    }
    assert to_builtins(mapped(shadow(endpoint)).endpoints[0]) == {
        "addresses": ["10.71.1.7"],
        "conditions": {"ready": True, "serving": True},
        "nodeName": "rome",
        "targetRef": {"kind": "RemotePod", "name": "our-own-pod"},
        "zone": "a",
        "hostname": "web-0",
        "hints": {"forZones": [{"name": "a"}]},
    }
    reference = {"addresses": ["10.244.1.7"], "targetRef": {"kind": "RemotePod", "name": "web-0"}}
    [kept] = mapped(shadow(reference)).endpoints
    assert kept.target_ref is not None
    assert kept.target_ref.kind == "RemotePod"


@pytest.mark.parametrize(
    ("rome", "ready"),
    [
        (Peer(ranges("rome"), connected=True, answering=True), [True, None, False]),
        (Peer(ranges("rome"), connected=False, answering=True), [False] * 3),
        (Peer(ranges("rome"), connected=True, answering=False), [False] * 3),
    ],
)
def test_nothing_is_ready_in_a_cluster_that_is_not(rome: Peer, ready: list[bool | None]) -> None:
    conditions = [{"ready": True}, {}, {"ready": False}]
    slice_ = shadow(*({"addresses": ["10.244.1.7"], "conditions": one} for one in conditions))
    assert [one.conditions.ready for one in mapped(slice_, peers(rome=rome)).endpoints] == ready


def test_direct_connections_go_through_the_third_clusters_ranges() -> None:
    slice_ = shadow("10.244.1.7", "10.244.0.5", direct={"naples": ["10.244.0.5"]})
    assert addresses(mapped(slice_)) == ["10.71.1.7", "10.72.0.5"]
    denied = mapped(slice_, deny_direct_connections=True)
    assert (addresses(denied), denied.dropped) == (["10.71.1.7"], [])
    away = peers(naples=Peer(ranges("naples"), connected=False, answering=True))
    assert [one.conditions.ready for one in mapped(slice_, away).endpoints] == [None, False]
    assert mapped(slice_, peers(naples=None)).dropped == ["10.244.0.5"]
    external = shadow("10.70.0.9", direct={"naples": ["10.70.0.9"]})
    assert mapped(external).endpoints == [], "only pods are reached directly"


def test_pods_that_end_serve_on_while_their_home_is_reached() -> None:
    ending = {
        "addresses": ["10.244.1.7"],
        "conditions": {"ready": False, "serving": True, "terminating": True},
    }
    [told] = mapped(shadow(ending)).endpoints
    assert (told.conditions.ready, told.conditions.serving, told.conditions.terminating) == (
        False,
        True,
        True,
    )
    [lost] = mapped(
        shadow(ending), peers(rome=Peer(ranges("rome"), connected=False, answering=True))
    ).endpoints
    assert (lost.conditions.ready, lost.conditions.serving, lost.conditions.terminating) == (
        False,
        False,
        True,
    )


def test_our_own_pods_are_endpoints_only_where_the_consumers_shadow_pods_made_them() -> None:
    slice_ = shadow(
        "10.244.1.7", "10.244.1.20", "10.244.1.21", direct={"milan": ["10.244.1.20", "10.244.1.21"]}
    )
    policy = Policy(own_id="milan", deny_direct_connections=True)
    found = map_endpoints(slice_, "rome", peers(), policy, {"10.244.1.20"}.__contains__)
    assert addresses(found) == ["10.71.1.7", "10.244.1.20"]
    assert [one.node_name for one in found.endpoints] == ["rome", None]
    assert found.dropped == ["10.244.1.21"]
    away = peers(rome=Peer(ranges("rome"), connected=False, answering=False))
    found = map_endpoints(slice_, "rome", away, policy, {"10.244.1.20"}.__contains__)
    assert [one.conditions.ready for one in found.endpoints] == [False, None], "it needs no network"


def test_without_a_configuration_there_is_no_endpoint_unless_addresses_need_none() -> None:
    bare = peers(rome=Peer(None, connected=True, answering=True), naples=Peer(None, True, True))
    slice_ = shadow("10.244.1.7", "127.0.0.1", "10.244.0.5", direct={"naples": ["10.244.0.5"]})
    assert mapped(slice_, bare).endpoints == []
    assert addresses(mapped(slice_, bare, unmapped=True)) == ["10.244.1.7"]


@pytest.mark.parametrize(
    ("slice_", "reason"),
    [
        (shadow(addressType="IPv6"), "addressType 'IPv6'"),
        (shadow(addressType="FQDN"), "addressType 'FQDN'"),
        (shadow(*["10.244.1.7"] * 1001), "1001 of them"),
        (shadow(ports=[{"port": port} for port in range(101)]), "101 of them"),
        (shadow(direct="nonsense"), "direct-connections-data"),
        (shadow(direct='{"clusterAddresses": {"naples": [1]}}'), "direct-connections-data"),
        (shadow(direct={"naples": ["10.244.0.5"], "rome": ["10.244.0.5"]}), "of two clusters"),
        (shadow(direct={str(number): [] for number in range(101)}), "101 clusters"),
    ],
)
def test_what_is_malformed_is_refused_with_the_reason(slice_: ShadowEndpointSlice, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        mapped(slice_)


TEXTS = (
    st.sampled_from(["10.244.0.1", "10.70.0.1", "10.71.0.1", "10.96.0.1", "127.0.0.1", "169.254.169.254"])
    | st.ip_addresses(v=4).map(str)
    | st.text(max_size=20)
)


@given(st.lists(st.lists(TEXTS, max_size=3), max_size=6), st.lists(TEXTS, max_size=4), st.booleans())
def test_no_address_leads_outside_of_what_configurations_map(
    endpoints: list[list[str]], direct: list[str], deny: bool
) -> None:
    slice_ = shadow(*({"addresses": one} for one in endpoints), direct={"naples": direct})
    found = mapped(slice_, deny_direct_connections=deny)
    allowed = [SEEN["rome"], EXTERNAL[1], *([] if deny else [SEEN["naples"]])]
    for address in addresses(found):
        assert any(cidr.has(parse_address(address)) for cidr in allowed)
    assert len(found.endpoints) <= len(endpoints)


@pytest.mark.parametrize(
    ("status", "connected", "answering"),
    [
        ({}, True, True),
        ({"modules": {"networking": {"enabled": True}}}, False, True),
        ({"conditions": [{"type": "APIServerStatus", "status": "Established"}]}, True, True),
        ({"conditions": [{"type": "APIServerStatus", "status": "Error"}]}, True, False),
    ],
)
def test_what_a_foreign_cluster_says(status: dict[str, Any], connected: bool, answering: bool) -> None:
    found = convert({"status": status}, ForeignCluster)
    assert (is_connected(found), is_answering(found)) == (connected, answering)


@pytest.mark.parametrize(
    ("value", "connected"), [("Established", True), ("Pending", False), ("Error", False)]
)
def test_the_tunnel_decides_where_there_is_one(value: str, connected: bool) -> None:
    conditions = [
        {"type": "NetworkGatewayPresence", "status": "Ready"},
        {"type": "NetworkConnectionStatus", "status": value},
    ]
    module = {"networking": {"enabled": True, "conditions": conditions}}
    assert is_connected(convert({"status": {"modules": module}}, ForeignCluster)) is connected


def made(slice_: ShadowEndpointSlice) -> tuple[dict[str, Any], EndpointSlice]:
    wished = forge_slice(slice_, mapped(slice_).endpoints)
    return wished, msgspec.json.decode(msgspec.json.encode(wished), type=EndpointSlice)


def test_the_slice_belongs_to_its_shadow_and_no_other_controller_claims_it() -> None:
    slice_ = shadow("10.244.1.7", direct={}, ports=[{"port": 80}])
    slice_.metadata.labels[labels.ENDPOINT_SLICE_MANAGED_BY] = "endpointslice-controller.k8s.io"
    _, found = made(slice_)
    assert owner_uid(found) == "s1"
    assert found.metadata.labels == {
        labels.ORIGIN: "rome",
        labels.SERVICE_NAME: "web",
        labels.MANAGED_BY: "shadowendpointslice",
        labels.ENDPOINT_SLICE_MANAGED_BY: "endpointslice.reflection.liqo.io",
    }
    assert found.metadata.annotations == {"note": "n"}
    assert to_builtins(found.ports) == [{"name": "", "protocol": "TCP", "port": 80}]
    assert forge_ports([EndpointPort(name="n", protocol="UDP")])[0].protocol == "UDP"


def test_a_slice_is_current_or_has_what_nobody_wished() -> None:
    wished, found = made(shadow("10.244.1.7", ports=[{"name": "", "port": 80}]))
    assert is_current(wished, found)
    assert not has_surplus(wished, found)
    other, _ = made(shadow("10.244.1.8", ports=[{"name": "", "port": 80}]))
    assert not is_current(other, found)
    found.metadata.labels["more"] = "x"
    assert is_current(wished, found)
    assert has_surplus(wished, found)
    found.metadata.labels[labels.SERVICE_NAME] = "other"
    assert not is_current(wished, found)

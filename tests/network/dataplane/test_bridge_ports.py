"""Which device leads to a pod behind a bridge: as iproute2 tells, and none where it is not sure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from isthmus.network.dataplane.bridge_ports import Port, find_ports, plain_bridges

MAC = "46:55:0b:16:92:86"


def bridge(name: str, vlan_filtering: int = 0) -> dict[str, Any]:
    info = {"info_kind": "bridge", "info_data": {"forward_delay": 1500, "vlan_filtering": vlan_filtering}}
    return {"ifname": name, "mtu": 1500, "linkinfo": info}


def neighbour(address: str = "10.244.2.4", device: str = "cni0", mac: str = MAC) -> dict[str, Any]:
    return {"dst": address, "dev": device, "lladdr": mac, "state": ["STALE"]}


def station(mac: str = MAC, port: str = "veth1", master: str = "cni0", state: str = "") -> dict[str, Any]:
    return {"mac": mac, "ifname": port, "flags": [], "master": master, "state": state}


def found(known: list[dict[str, Any]], seen: list[dict[str, Any]], *bridges: str) -> tuple[Port, ...]:
    return find_ports({"10.244.2.4"}, bridges or ("cni0",), json.dumps(known), json.dumps(seen))


def test_bridges_with_vlans_are_left_alone() -> None:
    shown = [bridge("cni0"), bridge("br1", vlan_filtering=1), {"ifname": "older", "linkinfo": {}}]
    assert plain_bridges(json.dumps(shown)) == {"cni0"}


@pytest.mark.parametrize("text", ["", "[]", "Object bridge is unknown", '[{"ifname": 7}]'])
def test_what_cannot_be_read_is_no_bridge_and_no_port(text: str) -> None:
    assert plain_bridges(text) == frozenset()
    assert find_ports({"10.244.2.4"}, {"cni0"}, text, json.dumps([station()])) == ()
    assert find_ports({"10.244.2.4"}, {"cni0"}, json.dumps([neighbour()]), text) == ()


def test_a_pod_is_where_the_bridge_saw_its_address() -> None:
    assert found([neighbour()], [station()]) == (Port("10.244.2.4", "veth1", MAC),)


@pytest.mark.parametrize(
    ("known", "seen"),
    [
        ([neighbour("10.244.2.5")], [station()]),
        ([neighbour(device="eth0")], [station()]),
        ([neighbour(mac="02:00:00:00:00:01")], [station()]),
        ([{"dst": "10.244.2.4", "dev": "cni0", "state": ["FAILED"]}], [station()]),
        ([neighbour()], [station(master="docker0")]),
        ([neighbour()], [station(state="permanent")]),
        ([neighbour()], [station(port="cni0")]),
        ([neighbour()], [{"mac": MAC, "ifname": "vxlan0", "dst": "10.1.1.1", "flags": ["self"]}]),
    ],
)
def test_a_pod_that_is_not_surely_behind_the_bridge_has_no_port(
    known: list[dict[str, Any]], seen: list[dict[str, Any]]
) -> None:
    assert found(known, seen) == ()

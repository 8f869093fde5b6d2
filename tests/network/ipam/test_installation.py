"""The Networks an installation begins with."""

from __future__ import annotations

import pytest

from isthmus.api import labels
from isthmus.network.ipam import InstalledRanges, forge_networks
from isthmus.network.ipam.rbac import CLUSTER_RULES

FIXED = {labels.NETWORK_NOT_REMAPPED: "true", labels.NETWORK_SHARED: "true"}


def test_every_range_in_use_has_its_network_under_the_name_that_stock_tools_look_for() -> None:
    ranges = InstalledRanges(
        pod_cidrs=["10.244.0.0/16", "10.245.0.0/16"],
        service_cidr="10.96.0.0/12",
        reserved_subnets=["192.168.1.0/24"],
    )
    networks = {one["metadata"]["name"]: one for one in forge_networks(ranges, "liqo")}
    assert {name: one["spec"] for name, one in networks.items()} == {
        "pod-cidr-10-244-0-0-16": {"cidr": "10.244.0.0/16"},
        "pod-cidr-10-245-0-0-16": {"cidr": "10.245.0.0/16"},
        "service-cidr": {"cidr": "10.96.0.0/12"},
        "reserved-192-168-1-0-24": {"cidr": "192.168.1.0/24"},
        "external-cidr": {"cidr": "10.70.0.0/16", "preAllocated": 1},
        "internal-cidr": {"cidr": "10.80.0.0/16"},
    }
    for name, one in networks.items():
        metadata = one["metadata"]
        assert metadata["namespace"] == "liqo"
        assert metadata["annotations"] == {labels.PREINSTALLED: "true"}
        movable = name in ("external-cidr", "internal-cidr")
        assert (FIXED.items() <= metadata["labels"].items()) != movable
    assert networks["reserved-192-168-1-0-24"]["metadata"]["labels"][labels.NETWORK_TYPE] == "reserved"


def test_a_range_chosen_by_the_administrator_is_not_moved() -> None:
    ranges = InstalledRanges(pod_cidrs=["10.244.0.0/16"], service_cidr="", external_cidr="10.111.0.0/16")
    networks = {one["metadata"]["name"]: one for one in forge_networks(ranges, "liqo")}
    assert networks["external-cidr"]["metadata"]["labels"][labels.NETWORK_NOT_REMAPPED] == "true"
    assert labels.NETWORK_NOT_REMAPPED not in networks["internal-cidr"]["metadata"]["labels"]


def test_a_value_that_is_no_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"'10\.244\.0\.0' is not a valid IPv4 CIDR"):
        forge_networks(InstalledRanges(pod_cidrs=["10.244.0.0"], service_cidr=""), "liqo")


def test_the_controller_may_not_write_the_wish_of_a_network_but_its_status() -> None:
    rules = {resource: set(rule["verbs"]) for rule in CLUSTER_RULES for resource in rule["resources"]}
    assert rules["networks/status"] == {"patch"}
    assert not rules["networks"] & {"create", "delete", "update"}

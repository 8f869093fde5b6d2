"""What users may set: names, precedence, types, and one clear error for everything else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isthmus.install.assignments import parse_assignments, parse_labels, parse_list
from isthmus.install.documents import read_values, to_yaml
from isthmus.install.errors import InstallError
from isthmus.install.validation import check_cluster_id, known_names
from isthmus.install.values import Tree, Values, merge, resolve, tree


def set_values(*texts: str) -> Values:
    return resolve([("--set", parse_assignments("--set", texts))])


def test_nothing_given_gives_the_documented_defaults() -> None:
    values = resolve([])
    assert values == Values()
    assert values.image == "localhost/isthmus:latest"
    assert values.networking.enabled
    assert values.lacks_ranges


def test_later_layers_win_and_maps_are_merged() -> None:
    values = resolve(
        [
            ("flags", {"tag": "v1", "common": {"globalLabels": {"team": "a"}}}),
            ("file", {"tag": "v2", "offloading": {"defaultNodeResources": {"cpu": 8}}}),
            ("--set", {"common": {"globalLabels": {"team": "b"}}}),
        ]
    )
    assert values.image == "localhost/isthmus:v2"
    assert values.common.global_labels == {"liqo.io/managed": "true", "team": "b"}
    assert values.offloading.default_node_resources["cpu"] == 8
    assert values.offloading.default_node_resources["memory"] == "8Gi"


def test_null_takes_a_key_of_a_map_away_and_a_value_back_to_its_default() -> None:
    assert set_values("common.globalLabels.liqo\\.io/managed=null").common.global_labels == {}
    layers: list[tuple[str, Tree]] = [("file", {"tag": "v1"}), ("--set", {"tag": None})]
    assert resolve(layers).tag == "latest"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("authentication.enabled=false", False),
        ("authentication.enabled=true", True),
    ],
)
def test_text_becomes_what_the_value_is(text: str, expected: bool) -> None:
    assert set_values(text).authentication.enabled is expected


def test_numbers_stay_text_where_text_is_wanted() -> None:
    assert set_values("tag=7").tag == "7"
    assert set_values("controllerManager.replicas=2").controller_manager.replicas == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("networking.enable=false", ["networking.enable", "did you mean networking.enabled"]),
        ("networking.genevePort=0", ["networking.genevePort", "1 to 65535"]),
        ("networking.fabric.config.healthProbeBindAddressPort=80", ["healthProbeBindAddressPort", "80"]),
        ("networking.fabric.config.routeConfigurationRulePriority=40000", ["RulePriority", "32765"]),
        ("networking.gatewayTemplates.replicas=0", ["networking.gatewayTemplates.replicas", "1 to 16"]),
        ("networking.gatewayTemplates.ping.lossThreshold=0", ["ping.lossThreshold", "1 to 1000"]),
        (
            "networking.gatewayTemplates.ping.interval=2",
            ["ping.interval", '"2" is not a valid duration', "500ms"],
        ),
        ("networking.gatewayTemplates.ping.updateStatusInterval=1ms", ["updateStatusInterval", "100ms"]),
        ("networking.gatewayTemplates.wireguard.implementation=boring", ["boring", "kernel, userspace"]),
        (
            "networking.gatewayTemplates.server.service.allocateLoadBalancerNodePorts=perhaps",
            ["allocateLoadBalancerNodePorts", "perhaps"],
        ),
        ("networking.fabric.pod.labels.x=no label!", ["networking.fabric.pod.labels", "x=no label!"]),
        ("ipam.pools={}", ["ipam.pools", "empty"]),
        ("ipam.pools={10.0.0.0/8,10.1.0.0/16}", ["ipam.pools", "10.1.0.0/16 overlaps 10.0.0.0/8"]),
        (
            "ipam.podCIDRs={10.96.0.0/12},ipam.serviceCIDR=10.100.0.0/16",
            ["--service-cidr", "10.100.0.0/16 overlaps 10.96.0.0/12", "--pod-cidr"],
        ),
        (
            "ipam.podCIDRs={10.244.0.0/16},ipam.reservedSubnets={10.244.3.0/24}",
            ["--reserved-subnets", "10.244.3.0/24 overlaps 10.244.0.0/16"],
        ),
        (
            "ipam.podCIDRs={10.244.0.0/16},ipam.externalCIDR=10.244.0.0/24",
            ["ipam.externalCIDR", "overlaps 10.244.0.0/16"],
        ),
        ("ipam.internalCIDR=100.64.0.0/16", ["ipam.internalCIDR", "none of the pools", "ipam.pools"]),
        ("ipam.externalCIDR=10.70.0.0/31", ["ipam.externalCIDR", "too few addresses"]),
        ("offloading=false", ["offloading is a group", "offloading.enabled"]),
        ("authentication.enabled=maybe", ["authentication.enabled", "expected bool"]),
        ("ipam.podCIDRs=10.0.0.0/8", ["ipam.podCIDRs", "{one,two}"]),
        ("ipam.podCIDRs={10.0.0.0/33}", ["10.0.0.0/33", "is not a valid IPv4 CIDR"]),
        ("ipam.serviceCIDR=10.96.0.1/16", ["10.96.0.1/16", "host bits"]),
        (
            "controllerManager.pod.extraArgs={--v=4}",
            ["controllerManager.pod.extraArgs", "--v=4", "ping-interval"],
        ),
        ("pullPolicy=Sometimes", ["pullPolicy", "Sometimes", "IfNotPresent"]),
        ("virtualKubelet.virtualNode.taintEffect=Evict", ["taintEffect", "Evict", "PreferNoSchedule"]),
        ("controllerManager.replicas=0", ["controllerManager.replicas", "below 1"]),
        ("controllerManager.config.defaultLimitsEnforcement=hard", ["Hard", "Soft", "None"]),
        ("apiServer.address=http://1.2.3.4", ["--api-server-url", "https"]),
        ("webhook.port=10250", ["webhook.port", "10250"]),
        ("tag=not a tag", ["--version", "not a tag"]),
        ("common.globalLabels.x=no label!", ["common.globalLabels", "x=no label!"]),
        ("discovery.config.clusterID=Rome", ["Rome", "lower-case"]),
        ("tag", ['"tag"', "name=value"]),
        ("a[0]=1", ["a[0]=1", "--values"]),
    ],
)
def test_wrong_values_are_one_error_that_names_them(text: str, parts: list[str]) -> None:
    with pytest.raises(InstallError) as caught:
        set_values(text)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


def test_default_ranges_of_our_own_may_be_taken_by_the_cluster() -> None:
    # They are moved aside when they are assigned.
    assert set_values("ipam.podCIDRs={10.70.0.0/16},ipam.serviceCIDR=10.80.0.0/16").ipam.pod_cidrs


def test_switching_every_module_off_is_an_error() -> None:
    with pytest.raises(InstallError, match="leave one of them on"):
        set_values("authentication.enabled=false,offloading.enabled=false,networking.enabled=false")


@pytest.mark.parametrize("text", ["rome", "a", "1", "a-b-c", "x" * 50])
def test_cluster_ids(text: str) -> None:
    check_cluster_id("--cluster-id", text)


@pytest.mark.parametrize("text", ["", "Rome", "-a", "a-", "a.b", "a_b", "ä", "x" * 51, "x" * 64, "a\n"])
def test_texts_that_are_no_cluster_id(text: str) -> None:
    with pytest.raises(InstallError, match="--cluster-id"):
        check_cluster_id("--cluster-id", text)


def test_every_known_value_can_be_set_by_its_name() -> None:
    for name, is_map in known_names().items():
        if not is_map:
            assert merge(tree(Values()), parse_assignments("--set", [f"{name}=null"])).keys()
            resolve([("--set", parse_assignments("--set", [f"{name}=null"]))])


def test_values_survive_being_written_and_read(tmp_path: Path) -> None:
    values = set_values(
        "discovery.config.clusterID=rome",
        r"discovery.config.clusterLabels.topology\.example/zone=a",
        "common.tolerations={}",
        "ipam.podCIDRs={10.1.0.0/16,10.2.0.0/16}",
    )
    file = tmp_path / "values.yaml"
    file.write_text(to_yaml(tree(values)))
    assert resolve([("--values", read_values(file))]) == values


@pytest.mark.parametrize(
    ("content", "part"),
    [("[1, 2]", "not a map"), ("a: [", "no YAML"), ("just text", "not a map")],
)
def test_files_that_hold_no_values(tmp_path: Path, content: str, part: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(content)
    with pytest.raises(InstallError, match=part):
        read_values(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="No such file"):
        read_values(tmp_path / "none.yaml")


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# nothing\n")
    assert read_values(file) == {}


def test_short_ways_of_giving_values() -> None:
    assert parse_labels("--cluster-labels", ["a=1,b=2", "c=3"]) == {"a": "1", "b": "2", "c": "3"}
    assert parse_list(["10.0.0.0/8, 10.1.0.0/16", "x"]) == ["10.0.0.0/8", "10.1.0.0/16", "x"]
    assert parse_assignments("--set", ["a.b=1,a.c={x,y}", r"d\.e=f\,g"]) == {
        "a": {"b": "1", "c": ["x", "y"]},
        "d.e": "f,g",
    }
    with pytest.raises(InstallError, match="--cluster-labels"):
        parse_labels("--cluster-labels", ["a"])


@given(st.recursive(st.none() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=20))
def test_merging_nothing_changes_nothing(data: object) -> None:
    base = {"x": data}
    assert merge(base, {}) == base


@given(st.text())
def test_no_text_breaks_the_parser_of_assignments(text: str) -> None:
    with suppress(InstallError):
        set_values(text)


def test_the_printed_values_are_plain_yaml() -> None:
    printed = to_yaml(tree(Values()))
    assert yaml.safe_load(printed) == msgspec.to_builtins(Values())
    assert "&id" not in printed


def test_every_value_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "install.md").read_text(encoding="utf-8")
    assert [name for name in known_names() if f"`{name}`" not in text] == []

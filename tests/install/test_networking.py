"""What the networking module installs, and when its agents count as ready."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from isthmus.install.assignments import parse_assignments
from isthmus.install.fabric import Agent, AgentSpec, DaemonSet, DaemonSetStatus, down_nodes, fabric_gap
from isthmus.install.networking import daemon_set, template_values
from isthmus.install.readiness import ContainerStatus, PodStatus
from isthmus.install.render import render
from isthmus.install.values import Values, resolve
from isthmus.kube.builtin import Node, NodeCondition, NodeStatus
from isthmus.kube.objects import Manifest, ObjectMeta
from isthmus.network.gateways.default_templates import default_templates
from isthmus.network.node.settings import Settings, read_settings


def values(*texts: str) -> Values:
    ranges = ("ipam.podCIDRs={10.244.0.0/16},ipam.serviceCIDR=10.96.0.0/16",)
    return resolve([("--set", parse_assignments("--set", [*ranges, *texts]))]).with_cluster_id("rome")


def pod_of(*texts: str) -> Any:
    return daemon_set(values(*texts), "liqo")["spec"]["template"]["spec"]


def kinds(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in manifests}


BROUGHT = {
    ("ServiceAccount", "liqo-fabric"),
    ("ClusterRole", "liqo-fabric"),
    ("ClusterRoleBinding", "liqo-fabric"),
    ("DaemonSet", "liqo-fabric"),
    ("ClusterRole", "liqo-gateway"),
    ("ClusterRole", "liqo-gateway-cluster"),
    ("Network", "pod-cidr-10-244-0-0-16"),
    ("Network", "service-cidr"),
    ("Network", "external-cidr"),
    ("Network", "internal-cidr"),
    ("WgGatewayServerTemplate", "wireguard-server"),
    ("WgGatewayClientTemplate", "wireguard-client"),
}


def test_the_module_brings_its_objects_and_only_when_on() -> None:
    on, off = render(values(), "liqo", "1"), render(values("networking.enabled=false"), "liqo", "1")
    assert kinds(on) - kinds(off) == BROUGHT
    assert "pod-security.kubernetes.io/enforce" not in off[0]["metadata"]["labels"]
    assert on[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    (role,) = (
        each for each in off if each["kind"] == "ClusterRole" and "controller" in each["metadata"]["name"]
    )
    assert "wggatewayservers" not in json.dumps(role["rules"])


def test_agents_start_with_what_the_values_say() -> None:
    (container,) = pod_of(
        "networking.genevePort=7000,networking.fabric.config.fullMasquerade=true",
        "networking.fabric.config.routeConfigurationRulePriority=77",
        "networking.fabric.config.healthProbeBindAddressPort=9999",
    )["containers"]
    variables = {entry["name"]: entry.get("value", "x") for entry in container["env"]}
    read = read_settings(variables)
    assert (read.overlay_port, read.rule_priority, read.full_masquerade, read.health_port) == (
        7000,
        77,
        True,
        9999,
    )
    for probe in ("readinessProbe", "livenessProbe"):
        # Not to be asked from other machines, nor to be found at the node's own address.
        assert container[probe]["httpGet"]["host"] == "127.0.0.1"
        assert container[probe]["httpGet"]["port"] == 9999
    (usual,) = pod_of()["containers"]
    assert read_settings({e["name"]: e.get("value", "x") for e in usual["env"]}) == Settings(
        node_name="x", node_ip="x", health_port=17683
    )


def test_agents_run_on_every_real_node_and_on_no_virtual_one() -> None:
    spec = pod_of()
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchExpressions"] == [
        {"key": "liqo.io/type", "operator": "NotIn", "values": ["virtual-node"]}
    ]
    assert {(one["operator"], one["effect"]) for one in spec["tolerations"]} == {
        ("Exists", "NoSchedule"),
        ("Exists", "NoExecute"),
    }
    assert spec["hostNetwork"]
    assert "hostPath" not in json.dumps(spec)
    assert spec["terminationGracePeriodSeconds"] == 15


def test_agents_read_and_say_how_it_went_on_their_node() -> None:
    (role,) = (
        m for m in render(values(), "liqo", "1") if m["metadata"]["name"] == "liqo-fabric" and "rules" in m
    )
    writes = [rule for rule in role["rules"] if {*rule["verbs"]} - {"get", "list", "watch"}]
    assert [(rule["verbs"], [name.partition("/")[2] for name in rule["resources"]]) for rule in writes] == [
        (["patch"], ["status", "status"])
    ]
    assert {group for rule in role["rules"] for group in rule["apiGroups"]} == {
        "ipam.liqo.io",
        "networking.liqo.io",
    }


def test_templates_are_made_from_the_values() -> None:
    chosen = values(
        "tag=v3,pullPolicy=Always,networking.genevePort=7000,networking.gateway.mssclamp.enabled=false",
        "networking.gatewayTemplates.replicas=2,networking.gatewayTemplates.ping.interval=500ms",
        "networking.gatewayTemplates.ping.updateStatusInterval=1m",
        "networking.gatewayTemplates.server.service.allocateLoadBalancerNodePorts=false",
        "networking.gatewayTemplates.wireguard.implementation=userspace",
        "metrics.enabled=true",
    )
    found = template_values(chosen, "elsewhere")
    assert (found.image, found.pull_policy, found.cluster_id) == ("localhost/isthmus:v3", "Always", "rome")
    assert (found.ping_interval, found.status_interval, found.replicas) == (0.5, 60.0, 2)
    assert found.allocate_load_balancer_node_ports is False
    assert (found.overlay_port, found.mss_clamp, found.implementation) == (7000, False, "userspace")
    assert (found.metrics, found.service_monitor) == (True, False)
    assert template_values(values(), "liqo").allocate_load_balancer_node_ports is None
    server, _ = default_templates(found)
    assert server["metadata"]["namespace"] == "elsewhere"
    (container,) = server["spec"]["template"]["spec"]["deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost/isthmus:v3"


def agent(node: str, *, ready: bool = True, deleting: bool = False) -> Agent:
    conditions = [{"type": "Ready", "status": "True"}] if ready else []
    waiting = ContainerStatus(state={"waiting": {"reason": "ErrImagePull", "message": "no such image"}})
    return Agent(
        metadata=ObjectMeta(name=f"liqo-fabric-{node}", deletion_timestamp="now" if deleting else None),
        spec=AgentSpec(node_name=node),
        status=PodStatus(conditions=conditions, container_statuses=[] if ready else [waiting]),
    )


def fabric(*, observed: int = 2, desired: int = 2, updated: int = 2, ready: int = 2) -> DaemonSet:
    return DaemonSet(
        metadata=ObjectMeta(name="liqo-fabric", generation=2),
        status=DaemonSetStatus(
            observed_generation=observed,
            desired_number_scheduled=desired,
            updated_number_scheduled=updated,
            number_ready=ready,
        ),
    )


@pytest.mark.parametrize(
    ("found", "agents", "down", "part"),
    [
        (fabric(), [agent("a"), agent("b")], set(), ""),
        (fabric(observed=1), [agent("a"), agent("b")], set(), "not begun"),
        (
            fabric(ready=1),
            [agent("a"), agent("b", ready=False)],
            set(),
            "node b: pod liqo-fabric-b: ErrImagePull",
        ),
        (fabric(ready=1), [agent("a"), agent("b", ready=False)], {"b"}, ""),
        (fabric(updated=1), [agent("a"), agent("b")], set(), "1 of 2 nodes have an agent that is up to date"),
        (fabric(updated=1, ready=1), [agent("a"), agent("b", ready=False, deleting=True)], set(), "1 of 2"),
        (fabric(ready=1), [agent("a")], set(), "1 of 2 nodes have a ready agent"),
        (fabric(desired=0, updated=0, ready=0), [], set(), ""),
    ],
)
def test_what_the_agents_still_lack(found: DaemonSet, agents: list[Agent], down: set[str], part: str) -> None:
    gap = fabric_gap(found, agents, down)
    assert part in gap
    assert bool(gap) == bool(part)


def test_nodes_that_nothing_can_be_awaited_of() -> None:
    def node(name: str, status: str) -> Node:
        conditions = [NodeCondition(type="Ready", status=status)]
        return Node(metadata=ObjectMeta(name=name), status=NodeStatus(conditions=conditions))

    silent = Node(metadata=ObjectMeta(name="new"))
    assert down_nodes([node("a", "True"), node("b", "Unknown"), silent]) == {"b", "new"}


def test_values_with_ranges_are_complete() -> None:
    assert values().lacks_ranges is False
    assert resolve([]).lacks_ranges
    assert resolve([]).with_ranges(["10.1.0.0/16"], "10.2.0.0/16").lacks_ranges is False
    assert values("networking.enabled=false").with_ranges([], "").lacks_ranges is False
    assert msgspec.to_builtins(values())["ipam"]["podCIDRs"] == ["10.244.0.0/16"]

"""Which namespaces are served: those wished for here and accepted there, and none the provider made up."""

from __future__ import annotations

from typing import Any

from isthmus.api.offloading import NamespaceMap, NamespaceMapSpec, NamespaceMapStatus, RemoteNamespace
from isthmus.kube.objects import ObjectMeta
from isthmus.offloading.virtualnode.namespaces import default_class, is_map_of, plan_namespaces


def make(desired: dict[str, str], current: dict[str, tuple[str, str]]) -> NamespaceMap:
    return NamespaceMap(
        metadata=ObjectMeta(name="milan"),
        spec=NamespaceMapSpec(desired_mapping=desired),
        status=NamespaceMapStatus(
            current_mapping={
                local: RemoteNamespace(remote_namespace=remote, phase=phase)
                for local, (remote, phase) in current.items()
            }
        ),
    )


def test_only_accepted_namespaces_are_served() -> None:
    desired = {"a": "a-rome", "b": "b-rome", "c": "c-rome"}
    plan = plan_namespaces(
        [make(desired, {"a": ("a-rome", "Accepted"), "b": ("b-rome", "CreationLoopBackOff")})]
    )
    assert plan.accepted == {"a": "a-rome"}
    assert plan.wished == desired


def test_a_provider_cannot_make_up_namespaces_or_names() -> None:
    desired = {"a": "x", "b": "y", "c": "z"}
    current = {
        "a": ("../../x", "Accepted"),
        "b": ("same", "Accepted"),
        "c": ("same", "Accepted"),
        "kube-system": ("kube-system", "Accepted"),
    }
    assert plan_namespaces([make(desired, current)]).accepted == {"b": "same"}


def test_the_copy_of_the_providers_own_wish_is_not_ours() -> None:
    labels = {
        "liqo.io/replication": "false",
        "liqo.io/remoteID": "rome",
        "liqo.io/remote-cluster-id": "milan",
    }
    copy = NamespaceMap(metadata=ObjectMeta(name="rome", namespace="liqo-tenant-milan", labels=labels))
    assert not is_map_of(copy, "liqo-tenant-milan", "milan")
    own = {**labels, "liqo.io/replication": "true", "liqo.io/remoteID": "milan"}
    ours = NamespaceMap(metadata=ObjectMeta(name="milan", namespace="liqo-tenant-milan", labels=own))
    assert is_map_of(ours, "liqo-tenant-milan", "milan")
    assert not is_map_of(ours, "elsewhere", "milan")


def test_the_default_class_of_load_balancers_is_the_one_marked_so() -> None:
    assert default_class([]) == ""
    assert default_class([{"loadBalancerClassName": "a"}]) == ""
    classes: list[dict[str, Any]] = [
        {"loadBalancerClassName": "a"},
        {"loadBalancerClassName": "b", "default": True},
    ]
    assert default_class(classes) == "b"
    assert default_class([{"loadBalancerClassName": 5, "default": True}]) == ""
    assert default_class([{"loadBalancerClassName": "x" * 400, "default": True}]) == ""

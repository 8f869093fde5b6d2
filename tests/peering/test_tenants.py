"""Whom a provider lets in (wire.md 4, 8)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isthmus.api import labels
from isthmus.api.authentication import Tenant
from isthmus.kube.builtin import Node
from isthmus.kube.objects import Object
from isthmus.peering.api_server import complete_url, pick_address
from isthmus.peering.bindings import forge_cluster_wide_binding, forge_control_plane_binding
from isthmus.peering.errors import RefusedError
from isthmus.peering.tenants import plan_answer, plan_marks, plan_namespace_labels, require_sound

from .objects import decode, params, tenant


def copy_of(original: Tenant, **metadata: Any) -> Tenant:
    changed = msgspec.to_builtins(original)
    changed["metadata"] |= metadata
    return decode(Tenant, changed)


def namespace(name: str, **marks: str) -> Object:
    return decode(
        Object, {"metadata": {"name": name, "labels": {f"liqo.io/{k}": v for k, v in marks.items()}}}
    )


def test_a_sound_tenant_is_let_on() -> None:
    require_sound(tenant(), "milan", [tenant(), tenant("turin")])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (tenant("milan"), "this cluster's own id"),
        (copy_of(tenant(), labels={labels.REMOTE_CLUSTER_ID: "turin"}), "is not 'rome'"),
        (tenant(proxyURL="http://" + "a" * 3000), "longer"),
    ],
)
def test_unsound_tenants(found: Tenant, said: str) -> None:
    with pytest.raises(RefusedError, match=said) as refused:
        require_sound(found, "milan", [found])
    assert refused.value.retry_after is None


def test_of_two_tenants_the_older_one_counts() -> None:
    older = tenant()
    for younger in (
        copy_of(tenant(), name="again", uid="b", creationTimestamp="2026-11-24T00:00:00Z"),
        copy_of(tenant("turin"), namespace="liqo-tenant-rome", creationTimestamp="2026-11-24T00:00:00Z"),
    ):
        require_sound(older, "milan", [older, younger])
        with pytest.raises(RefusedError, match="delete one of the two"):
            require_sound(younger, "milan", [older, younger])
        going = copy_of(older, deletionTimestamp="2026-11-24T00:00:00Z")
        require_sound(younger, "milan", [going, younger])


def test_namespaces() -> None:
    marks = {"tenant-namespace": "true", "remote-cluster-id": "rome"}
    assert plan_namespace_labels(namespace("anything", **marks), "rome") == {}
    adopted = plan_namespace_labels(namespace("liqo-tenant-rome"), "rome")
    assert adopted[labels.TENANT_NAMESPACE] == "true"
    assert adopted["pod-security.kubernetes.io/enforce"] == "privileged"
    for refused in (
        namespace("default"),
        namespace("liqo-tenant-rome", **{**marks, "remote-cluster-id": "turin"}),
        namespace("other", **{**marks, "tenant-namespace": "false"}),
    ):
        with pytest.raises(RefusedError, match="is not a tenant namespace of rome"):
            plan_namespace_labels(refused, "rome")


def test_finalizer_and_label_are_put_on_once() -> None:
    assert plan_marks(tenant()) is None
    patch = plan_marks(copy_of(tenant(), labels={}, finalizers=["a"]))
    assert patch is not None
    assert patch["metadata"]["finalizers"] == ["a", labels.FINALIZER_TENANT]
    assert patch["metadata"]["labels"] == {labels.REMOTE_CLUSTER_ID: "rome"}
    assert patch["metadata"]["resourceVersion"] == "7"


def test_the_answer_is_written_once_and_drops_what_is_old() -> None:
    patch = plan_answer(tenant(), params())
    assert patch is not None
    assert patch["status"]["authParams"]["proxyURL"] is None
    answered = decode(
        Tenant,
        msgspec.to_builtins(tenant())
        | {"status": {"tenantNamespace": "liqo-tenant-rome", "authParams": msgspec.to_builtins(params())}},
    )
    assert plan_answer(answered, params()) is None
    without = plan_answer(answered, None)
    assert without is not None
    assert without["status"]["authParams"] is None


def test_permissions_are_for_the_consumer_alone() -> None:
    binding = forge_control_plane_binding(tenant())
    assert binding["metadata"]["name"] == "liqo-binding-liqo-remote-controlplane"
    assert binding["roleRef"]["name"] == "liqo-remote-controlplane"
    assert [(s["kind"], s["name"]) for s in binding["subjects"]] == [("User", "rome")]
    wide = forge_cluster_wide_binding("rome")
    assert wide["metadata"]["name"] == "liqo-binding-liqo-virtual-kubelet-remote-clusterwide-rome"
    assert [(s["kind"], s["name"]) for s in wide["subjects"]] == [("Group", "rome")]


def node(name: str, *addresses: tuple[str, str]) -> Node:
    found = [{"type": type_, "address": address} for type_, address in addresses]
    return decode(Node, {"metadata": {"name": name}, "status": {"addresses": found}})


def test_the_api_servers_address() -> None:
    nodes = [node("b", ("InternalIP", "10.0.0.2")), node("a", ("Hostname", "a"), ("InternalIP", "10.0.0.1"))]
    assert pick_address(nodes) == "10.0.0.1"
    assert pick_address([node("a"), node("b", ("ExternalIP", "1.2.3.4"))]) == "1.2.3.4"
    assert pick_address([node("a", ("InternalIP", "fd00::1"))]) == "[fd00::1]"
    assert pick_address([]) == ""
    assert complete_url("10.0.0.1:6443") == "https://10.0.0.1:6443"
    assert complete_url("https://api.example") == "https://api.example"

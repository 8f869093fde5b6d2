"""What the webhooks refuse, and how they say it."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from isthmus.api import labels
from isthmus.api.authentication import ResourceSlice, Tenant
from isthmus.api.offloading import VirtualNodeSpec
from isthmus.kube.admission import AdmissionRequest, Review, Verdict, encode_review, set_label
from isthmus.kube.builtin import Secret
from isthmus.kube.objects import Object
from isthmus.kube.options import Options
from isthmus.kube.resource import Resource
from isthmus.offloading.admission import namespaceoffloadings
from isthmus.offloading.admission.certificates import (
    Material,
    WebhookConfiguration,
    bundle,
    forge_secret,
    plan_trust,
    read_secret,
)
from isthmus.offloading.admission.peering import (
    Binding,
    PeeringAdmission,
    namesake_problem,
    slice_problem,
    tenant_problem,
)
from isthmus.offloading.admission.shadowpods import fixed_part
from isthmus.offloading.admission.virtualnodes import TemplateSpec, plan_defaults, spec_problem


def request(object: Any, old: Any = None) -> AdmissionRequest:
    body = {
        "kind": "AdmissionReview",
        "request": {
            "uid": "r1",
            "operation": "UPDATE" if old else "CREATE",
            "namespace": "demo",
            "userInfo": {"username": "u"},
            "object": object,
            "oldObject": old,
        },
    }
    return msgspec.json.decode(msgspec.json.encode(body), type=Review).request


def offloading(name: str = "offloading", namespace: str = "demo", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_reviews_are_answered_as_the_api_server_expects() -> None:
    denied = msgspec.json.decode(encode_review("r1", Verdict(allowed=False, message="no", code=403)))
    assert denied["response"] == {"uid": "r1", "allowed": False, "status": {"code": 403, "message": "no"}}
    patch = [{"op": "add", "path": "/x", "value": 1}]
    patched = msgspec.json.decode(encode_review("r1", Verdict(patch=patch, warnings=["w"])))
    assert patched["response"]["patchType"] == "JSONPatch"
    assert msgspec.json.decode(base64.b64decode(patched["response"]["patch"])) == patch
    assert patched["response"]["warnings"] == ["w"]


def test_labels_are_set_whether_there_are_any_or_not() -> None:
    assert set_label({}, "a/b", "c") == [{"op": "add", "path": "/metadata/labels", "value": {"a/b": "c"}}]
    assert set_label({"x": "y"}, "a/b", "c") == [{"op": "add", "path": "/metadata/labels/a~1b", "value": "c"}]
    assert set_label({"a/b": "c"}, "a/b", "c") == []


@pytest.mark.parametrize(
    ("object", "part"),
    [
        (offloading("other"), "must be named 'offloading'"),
        (offloading(namespaceMappingStrategy="SelectedName"), "spec.remoteNamespaceName must be set"),
        (
            offloading(namespaceMappingStrategy="SelectedName", remoteNamespaceName="Not_Valid"),
            "'Not_Valid' is not a valid namespace name",
        ),
        (offloading(namespace="n" * 60), "use SelectedName"),
        (
            offloading(
                clusterSelector={
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]
                }
            ),
            "spec.clusterSelector.nodeSelectorTerms[0].matchExpressions[0]: operator 'Is'",
        ),
    ],
)
def test_bad_namespace_offloadings_are_refused_by_field(object: dict[str, Any], part: str) -> None:
    verdict = namespaceoffloadings.validate(request(object), "rome")
    assert not verdict.allowed
    assert part in verdict.message


def test_mappings_are_immutable_and_stricter_strategies_warn() -> None:
    def change(new: dict[str, Any], old: dict[str, Any]) -> Verdict:
        return namespaceoffloadings.validate(request(new, old), "rome")

    assert "immutable" in change(offloading(namespaceMappingStrategy="EnforceSameName"), offloading()).message
    named = {"namespaceMappingStrategy": "SelectedName"}
    renamed = change(
        offloading(remoteNamespaceName="b", **named), offloading(remoteNamespaceName="a", **named)
    )
    assert "spec.remoteNamespaceName is immutable" in renamed.message
    stricter = change(offloading(podOffloadingStrategy="Local"), offloading())
    assert stricter.allowed
    assert "stay where they are" in stricter.warnings[0]
    assert not change(offloading(), offloading(podOffloadingStrategy="Local")).warnings


def tenant(cluster_id: str, label: str | None = None) -> Tenant:
    metadata = {
        "name": cluster_id,
        "namespace": "t",
        "labels": {labels.REMOTE_CLUSTER_ID: label or cluster_id},
    }
    return msgspec.convert({"metadata": metadata, "spec": {"clusterID": cluster_id}}, Tenant)


def namespace(tenant: str = "true", cluster_id: str = "rome") -> Object:
    found = {labels.TENANT_NAMESPACE: tenant, labels.REMOTE_CLUSTER_ID: cluster_id}
    return msgspec.convert({"metadata": {"name": "t", "labels": found}}, Object)


@pytest.mark.parametrize(
    ("tenant", "namespace", "part"),
    [
        (tenant("milan"), namespace(), "this cluster's own id"),
        (tenant("Bad_Id"), namespace(), "must be a DNS label"),
        (tenant("rome", "paris"), namespace(), "they must agree"),
        (tenant("rome"), namespace(tenant="yes"), "is not a tenant namespace"),
        (tenant("rome"), None, "is not a tenant namespace"),
        (tenant("rome"), namespace(cluster_id="paris"), "tenant namespace of 'paris'"),
        (tenant("rome"), namespace(), ""),
    ],
)
def test_tenants(tenant: Tenant, namespace: Object | None, part: str) -> None:
    problem = tenant_problem(tenant, namespace, "milan")
    assert part in problem
    assert bool(problem) is bool(part)


@pytest.mark.parametrize(
    ("name", "namespace", "cluster_id", "part"),
    [
        ("too", "t", "rome", "namespace t already has the Tenant rome"),
        ("rome", "other", "rome", "a Tenant named rome already exists in namespace t"),
        ("too", "other", "rome", "cluster rome is already the Tenant rome in namespace t"),
        ("paris", "other", "paris", ""),
        ("rome", "t", "rome", ""),
    ],
)
def test_a_cluster_has_one_tenant(name: str, namespace: str, cluster_id: str, part: str) -> None:
    found = {labels.TENANT_NAMESPACE: "true", labels.REMOTE_CLUSTER_ID: cluster_id}

    class Client:
        async def find(self, *_: Any) -> Object:
            return msgspec.convert({"metadata": {"name": namespace, "labels": found}}, Object)

        async def list(self, resource: Resource[Any], *_: Any) -> Any:
            return SimpleNamespace(items=[tenant("rome")] if resource.kind == "Tenant" else [])

    manager: Any = SimpleNamespace(client=Client())
    admission = PeeringAdmission(manager, Options(cluster_id="milan"))
    metadata = {"name": name, "namespace": namespace, "labels": {labels.REMOTE_CLUSTER_ID: cluster_id}}
    asked = AdmissionRequest(
        operation="CREATE",
        name=name,
        namespace=namespace,
        object=msgspec.Raw(
            msgspec.json.encode({"metadata": {**metadata, "uid": "u"}, "spec": {"clusterID": cluster_id}})
        ),
    )
    verdict = asyncio.run(admission.validate_tenant(asked))
    assert (verdict.allowed, verdict.message) == (not part, part)


@pytest.mark.parametrize(
    ("kind", "subject", "marks", "refused"),
    [
        ("ClusterRoleBinding", {"kind": "Group", "name": "developers"}, {}, True),
        ("RoleBinding", {"kind": "User", "name": "developers"}, {}, True),
        ("RoleBinding", {"kind": "ServiceAccount", "name": "developers", "namespace": "x"}, {}, False),
        ("ClusterRoleBinding", {"kind": "Group", "name": "others"}, {}, False),
        (
            "ClusterRoleBinding",
            {"kind": "Group", "name": "developers"},
            {labels.REMOTE_CLUSTER_ID: "developers"},
            False,
        ),
        (
            "ClusterRoleBinding",
            {"kind": "Group", "name": "developers"},
            {labels.REMOTE_CLUSTER_ID: "rome"},
            True,
        ),
    ],
)
def test_a_consumer_does_not_get_the_rights_of_a_namesake(
    kind: str, subject: dict[str, str], marks: dict[str, str], refused: bool
) -> None:
    metadata = {"name": "edit", "labels": marks}
    binding = msgspec.convert({"metadata": metadata, "subjects": [subject]}, Binding)
    problem = namesake_problem("developers", kind, binding)
    assert bool(problem) is refused
    if refused:
        assert f"{kind} edit gives rights to the {subject['kind'].lower()} of that name" in problem
    assert not namesake_problem("developers", kind, msgspec.convert({"subjects": None}, Binding))


def slice_(resources: dict[str, Any] | None = None, name: str = "milan", **annotations: str) -> ResourceSlice:
    metadata = {
        "name": name,
        "annotations": {f"liqo.io/{k.replace('_', '-')}": v for k, v in annotations.items()},
    }
    return msgspec.convert({"metadata": metadata, "spec": {"resources": resources or {}}}, ResourceSlice)


@pytest.mark.parametrize(
    ("resources", "part"),
    [
        ({"cpu": "-1"}, "cpu is '-1'"),
        ({"memory": "99999999Ei"}, "memory is '99999999Ei'"),
        ({"cpu": "1e30"}, "cpu is '1e30'"),
        ({"memory": "10Ei"}, "memory is '10Ei'"),
        ({"cpu": "1e999"}, "out of the range"),
        ({"cpu": "9" * 70}, "is not a quantity"),
        ({"cpu": "many"}, "resource cpu: 'many' is not a quantity"),
        ({"cpu": "4", "nvidia.com/gpu": 1}, ""),
    ],
)
def test_absurd_resources_are_refused(resources: dict[str, Any], part: str) -> None:
    problem = slice_problem(slice_(resources), None, peer=True)
    assert part in problem
    assert bool(problem) is bool(part)


def test_a_slice_name_must_leave_room_for_its_user() -> None:
    assert "longer than 50" in slice_problem(slice_(name="m" * 51), None, peer=False)
    assert not slice_problem(slice_(name="m" * 50), None, peer=False)


def test_a_consumer_cannot_lift_a_cordon_but_the_provider_can() -> None:
    for cordon in ({"cordon": "true"}, {"cordon_tenant": "true"}):
        assert "cannot be changed" in slice_problem(slice_(), slice_(**cordon), peer=True)
        assert not slice_problem(slice_(), slice_(**cordon), peer=False)


def test_only_images_deadline_and_tolerations_may_change() -> None:
    old = {"containers": [{"name": "c", "image": "a"}], "volumes": []}
    same = {
        "containers": [{"name": "c", "image": "b"}],
        "volumes": [],
        "tolerations": [1],
        "activeDeadlineSeconds": 5,
    }
    assert fixed_part(old) == fixed_part(same)
    assert fixed_part(old) != fixed_part(
        {**old, "containers": [{"name": "c", "image": "a", "command": ["x"]}]}
    )
    assert fixed_part(old) != fixed_part({**old, "containers": []})


def test_virtual_nodes_take_what_they_leave_open_from_the_template() -> None:
    template = TemplateSpec(create_node=False, labels_not_reflected=["a", "b"])
    assert plan_defaults(VirtualNodeSpec(), template) == [
        {"op": "add", "path": "/spec/createNode", "value": False},
        {"op": "add", "path": "/spec/disableNetworkCheck", "value": False},
        {"op": "add", "path": "/spec/offloadingPatch", "value": {"labelsNotReflected": ["a", "b"]}},
    ]
    own = {"createNode": True, "disableNetworkCheck": True, "offloadingPatch": {"labelsNotReflected": ["b"]}}
    assert plan_defaults(msgspec.convert(own, VirtualNodeSpec), template) == [
        {"op": "add", "path": "/spec/offloadingPatch/labelsNotReflected", "value": ["b", "a"]}
    ]


def authority(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


def test_the_secret_keeps_its_shape_and_can_be_read_back() -> None:
    material = Material(authority=authority("A"), certificate=authority("C"), key="K")
    manifest = forge_secret("liqo", material)
    assert manifest["metadata"]["name"] == "liqo-webhook-certs"
    assert manifest["metadata"]["labels"]["liqo.io/webhook"] == "true"
    assert manifest["type"] == "opaque"
    assert set(manifest["data"]) == {"ca", "tls.crt", "tls.key"}
    assert read_secret(msgspec.convert(manifest, Secret)) == material
    broken = {**manifest, "data": {**manifest["data"], "tls.key": "%"}}
    assert read_secret(msgspec.convert(broken, Secret)) is None
    assert read_secret(Secret()) is None


def test_renewal_keeps_the_trust_in_the_last_authority_only() -> None:
    first = Material(authority=authority("A"), certificate="", key="")
    second = Material(authority=bundle(authority("B"), first), certificate="", key="")
    assert second.authority == authority("B") + authority("A")
    assert bundle(authority("C"), second) == authority("C") + authority("B")


def test_trust_is_patched_only_where_it_lacks() -> None:
    good = base64.b64encode(b"CA").decode()
    configuration = msgspec.convert(
        {
            "webhooks": [
                {"name": "a", "clientConfig": {"caBundle": good}},
                {"name": "b", "clientConfig": {"service": {}}},
            ]
        },
        WebhookConfiguration,
    )
    assert plan_trust(configuration, "CA") == [
        {"op": "test", "path": "/webhooks/1/name", "value": "b"},
        {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": good},
    ]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({"clusterID": "Milan"}, "spec.clusterID"),
        ({"resourceQuota": {"hard": {"cpu": "much"}}}, "spec.resourceQuota.hard: resource cpu"),
        ({"resourceQuota": {"hard": {"memory": "-1Gi"}}}, "memory is '-1Gi'"),
        (
            {
                "offloadingPatch": {
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]
                            }
                        }
                    }
                }
            },
            "nodeSelectorTerms[0].matchExpressions[0]: operator 'Is'",
        ),
    ],
)
def test_a_virtual_node_that_cannot_be_is_refused_by_field(spec: dict[str, Any], part: str) -> None:
    good = {"clusterID": "milan", "resourceQuota": {"hard": {"cpu": "4", "nvidia.com/gpu": 1}}}
    assert spec_problem(msgspec.convert(good, VirtualNodeSpec)) == ""
    assert part in spec_problem(msgspec.convert({**good, **spec}, VirtualNodeSpec))

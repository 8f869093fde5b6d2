"""What the API server itself holds peers to, beyond their roles: ValidatingAdmissionPolicies.

RBAC gives a consumer whole kinds in its namespaces, as peers that run stock Liqo expect (wire.md 7). What none of them
ever writes, but somebody with their credentials could, is refused here: in the API server, at no cost to the
controller and also while it is down. Only requests of peers are judged, never those of the cluster itself.

A tenant namespace holds the objects of both directions: without the first policy, a consumer could rewrite what this
cluster asks of it as a provider, and so choose which of our namespaces, Secrets included, are copied to it.
"""

from __future__ import annotations

from isthmus.api import labels, names
from isthmus.install.values import Values
from isthmus.kube.objects import Manifest

API = "admissionregistration.k8s.io/v1"
REPLICATED_OBJECTS = "liqo-consumers-replicated-objects"
TENANT_SECRETS = "liqo-peering-users-secrets"
TWIN_OBJECTS = "liqo-consumers-twin-namespaces"

_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 -- a type of Secret
_PVC_PROTECTION = "kubernetes.io/pvc-protection"
"""What the API server itself puts on every PersistentVolumeClaim."""

_GROUPS = "request.userInfo.?groups.orValue([])"
_IS_PEER = {"name": "peer", "expression": f"'{names.GROUP_CONTROL_PLANE}' in {_GROUPS}"}
_TENANT = {"matchExpressions": [{"key": labels.TENANT_NAMESPACE, "operator": "Exists"}]}
_TWIN = {
    "matchExpressions": [
        {"key": labels.REMOTE_CLUSTER_ID, "operator": "Exists"},
        {"key": labels.TENANT_NAMESPACE, "operator": "DoesNotExist"},
    ]
}


def _text(source: str, key: str) -> str:
    """CEL for the value of a label, "" where there is none."""
    return f"{source}[?'{key}'].orValue('')"


def _kept(field: str) -> str:
    """CEL for: a list of the metadata is as it was, or empty on a new object."""
    return (
        f"object.metadata.?{field}.orValue([]) == "
        f"(oldObject == null ? [] : oldObject.metadata.?{field}.orValue([]))"
    )


def _rule(group: str, resources: list[str], *operations: str) -> Manifest:
    return {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": resources,
        "operations": list(operations),
    }


def _validation(expression: str, message: str) -> Manifest:
    return {"expression": expression, "message": message}


def _policy(
    name: str,
    where: Manifest,
    rules: list[Manifest],
    validations: list[Manifest],
    *,
    variables: dict[str, str] | None = None,
    conditions: list[Manifest] | None = None,
) -> list[Manifest]:
    """A policy and the binding that puts it in force."""
    spec: Manifest = {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": where, "resourceRules": rules},
        "validations": validations,
    }
    if variables:
        spec["variables"] = [{"name": key, "expression": text} for key, text in variables.items()]
    if conditions:
        spec["matchConditions"] = conditions
    binding = {"policyName": name, "validationActions": ["Deny"]}
    return [
        {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": content}
        for kind, content in (
            ("ValidatingAdmissionPolicy", spec),
            ("ValidatingAdmissionPolicyBinding", binding),
        )
    ]


def _replicated_objects() -> list[Manifest]:
    """Of the kinds that are replicated, a consumer writes its own copies, and of these what it is to say."""
    kinds = {"authentication.liqo.io": ["resourceslices", "renews"], "offloading.liqo.io": ["namespacemaps"]}
    marks = (
        labels.REPLICATION,
        labels.REPLICATED,
        labels.ORIGIN_ID,
        labels.REMOTE_ID,
        labels.REMOTE_CLUSTER_ID,
    )
    own = " && ".join(
        (
            f"{_text('variables.before', labels.REPLICATED)} == 'true'",
            f"{_text('variables.before', labels.ORIGIN_ID)} == request.userInfo.username",
            f"{_text('variables.before', labels.REPLICATION)} in ['', 'false']",
        )
    )
    same = " && ".join(f"{_text('variables.now', key)} == {_text('variables.before', key)}" for key in marks)
    deletion = "object == null"
    return _policy(
        REPLICATED_OBJECTS,
        _TENANT,
        [
            _rule(group, [*plurals, *(f"{each}/status" for each in plurals)], "CREATE", "UPDATE", "DELETE")
            for group, plurals in kinds.items()
        ],
        [
            _validation(
                own,
                f"a consumer may write only its own copies, labelled {labels.REPLICATED}=true, "
                f"{labels.REPLICATION}=false and {labels.ORIGIN_ID} with its own id",
            ),
            _validation(same, f"the labels {', '.join(marks)} cannot be changed by the consumer"),
            _validation(
                f"{deletion} || ({_kept('finalizers')} && {_kept('ownerReferences')})",
                "finalizers and owners of copies are the provider's to set",
            ),
            _validation(
                f"{deletion} || request.?subResource.orValue('') != 'status' || "
                "object.?status.orValue({}) == oldObject.?status.orValue({})",
                "the status of copies is the provider's to write",
            ),
        ],
        variables={
            "now": "(object == null ? oldObject : object).metadata.?labels.orValue({})",
            "before": "(oldObject == null ? object : oldObject).metadata.?labels.orValue({})",
        },
        conditions=[_IS_PEER],
    )


def _tenant_secrets() -> list[Manifest]:
    """Who peers for a consumer makes a nonce of that consumer; no token, no identity, no signature of ours."""
    peer = _text("object.metadata.?labels.orValue({})", labels.REMOTE_CLUSTER_ID)
    namespace = _text("namespaceObject.metadata.?labels.orValue({})", labels.REMOTE_CLUSTER_ID)
    forbidden = f"['{labels.SIGNED_NONCE}', '{labels.IDENTITY_TYPE}', '{labels.GATEWAY_RESOURCE}']"
    return _policy(
        TENANT_SECRETS,
        _TENANT,
        [_rule("", ["secrets"], "CREATE", "UPDATE")],
        [
            _validation(
                f"object.?type.orValue('') != '{_TOKEN_TYPE}'",
                f"a peering user cannot have Secrets of type {_TOKEN_TYPE}",
            ),
            _validation(
                f"{peer} in ['', {namespace}]",
                f"the label {labels.REMOTE_CLUSTER_ID} must name the cluster the tenant namespace is of",
            ),
            _validation(
                f"!object.metadata.?labels.orValue({{}}).exists(key, key in {forbidden})",
                f"a peering user cannot set the labels {labels.SIGNED_NONCE}, {labels.IDENTITY_TYPE} and "
                f"{labels.GATEWAY_RESOURCE}",
            ),
            _validation(
                f"{_kept('finalizers')} && {_kept('ownerReferences')}",
                "finalizers and owners are the provider's to set",
            ),
        ],
        conditions=[_IS_PEER],
    )


def _twin_objects() -> list[Manifest]:
    """In its twin namespaces a consumer cannot block deletions, get tokens or take addresses of others."""
    claims = f"request.kind.kind == 'PersistentVolumeClaim' ? ['{_PVC_PROTECTION}'] : []"
    finalizers = (
        "(oldObject == null"
        f" ? object.metadata.?finalizers.orValue([]).all(each, each in ({claims}))"
        f" : {_kept('finalizers')})"
    )
    marks = (
        f"['{labels.NONCE}', '{labels.SIGNED_NONCE}', '{labels.IDENTITY_TYPE}', '{labels.REMOTE_CLUSTER_ID}']"
    )
    judged = {
        f"{finalizers} && {_kept('ownerReferences')}": (
            "finalizers and owners of objects in twin namespaces are the provider's to set"
        ),
        f"request.kind.kind != 'Secret' || object.?type.orValue('') != '{_TOKEN_TYPE}'": (
            f"a consumer cannot have Secrets of type {_TOKEN_TYPE}"
        ),
        f"request.kind.kind != 'Secret' || !object.metadata.?labels.orValue({{}}).exists(key, key in {marks})": (
            f"a consumer's Secret cannot carry the labels {labels.NONCE}, {labels.SIGNED_NONCE}, "
            f"{labels.IDENTITY_TYPE} and {labels.REMOTE_CLUSTER_ID}"
        ),
        "request.kind.kind != 'Service' || size(object.spec.?externalIPs.orValue([])) == 0": (
            "spec.externalIPs is not allowed for a consumer's Services: they would take addresses of others"
        ),
        f"request.kind.kind != 'ShadowPod' || !('{labels.SHADOW_POD}' in object.metadata.?labels.orValue({{}}))": (
            f"a ShadowPod cannot carry the label {labels.SHADOW_POD}: it marks pods of the provider that are offloaded"
        ),
    }
    return _policy(
        TWIN_OBJECTS,
        _TWIN,
        [
            _rule(
                "",
                ["configmaps", "persistentvolumeclaims", "secrets", "services", "events"],
                "CREATE",
                "UPDATE",
            ),
            _rule("networking.k8s.io", ["ingresses"], "CREATE", "UPDATE"),
            _rule("offloading.liqo.io", ["shadowpods", "shadowendpointslices"], "CREATE", "UPDATE"),
        ],
        [
            _validation(f"!variables.consumer || ({expression})", message)
            for expression, message in judged.items()
        ],
        # Not a match condition: these do not see the namespace.
        variables={"consumer": f"namespaceObject.metadata.labels['{labels.REMOTE_CLUSTER_ID}'] in {_GROUPS}"},
    )


def admission_policies(values: Values) -> list[Manifest]:
    """The policies of the modules that are switched on, each with its binding."""
    tenants = [*_replicated_objects(), *_tenant_secrets()] if values.authentication.enabled else []
    return [*tenants, *(_twin_objects() if values.offloading.enabled else [])]

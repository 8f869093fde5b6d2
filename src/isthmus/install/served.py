"""The kinds an installation applies, and how they are addressed; only metadata is read of what is applied."""

from __future__ import annotations

from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource

_RBAC = "rbac.authorization.k8s.io/v1"
_NETWORKING = "networking.liqo.io/v1beta1"
_ADMISSION = "admissionregistration.k8s.io/v1"

_KINDS: dict[tuple[str, str], tuple[str, bool]] = {
    ("v1", "Namespace"): ("namespaces", False),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): ("customresourcedefinitions", False),
    ("v1", "ConfigMap"): ("configmaps", True),
    (_RBAC, "ClusterRole"): ("clusterroles", False),
    (_RBAC, "Role"): ("roles", True),
    ("v1", "ServiceAccount"): ("serviceaccounts", True),
    (_RBAC, "ClusterRoleBinding"): ("clusterrolebindings", False),
    (_RBAC, "RoleBinding"): ("rolebindings", True),
    ("v1", "Service"): ("services", True),
    ("offloading.liqo.io/v1beta1", "VkOptionsTemplate"): ("vkoptionstemplates", True),
    ("node.k8s.io/v1", "RuntimeClass"): ("runtimeclasses", False),
    ("ipam.liqo.io/v1alpha1", "Network"): ("networks", True),
    (_NETWORKING, "WgGatewayServerTemplate"): ("wggatewayservertemplates", True),
    (_NETWORKING, "WgGatewayClientTemplate"): ("wggatewayclienttemplates", True),
    ("apps/v1", "DaemonSet"): ("daemonsets", True),
    ("apps/v1", "Deployment"): ("deployments", True),
    (_ADMISSION, "ValidatingAdmissionPolicy"): ("validatingadmissionpolicies", False),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): ("validatingadmissionpolicybindings", False),
    (_ADMISSION, "MutatingWebhookConfiguration"): ("mutatingwebhookconfigurations", False),
    (_ADMISSION, "ValidatingWebhookConfiguration"): ("validatingwebhookconfigurations", False),
}


def _resource(api_version: str, kind: str) -> Resource[Object]:
    group, _, version = api_version.rpartition("/")
    plural, namespaced = _KINDS[api_version, kind]
    return Resource(group, version, plural, kind, Object, namespaced=namespaced, metadata_only=True)


def resource_of(manifest: Manifest) -> Resource[Object]:
    """How the object of a manifest is addressed."""
    return _resource(manifest["apiVersion"], manifest["kind"])


def prunable_resources() -> list[Resource[Object]]:
    """Every kind of which objects that are no longer wanted are removed by an upgrade.

    Not the namespace, nor the kinds themselves: with those, data of users would go.
    """
    kept = ("Namespace", "CustomResourceDefinition")
    return [_resource(*key) for key in _KINDS if key[1] not in kept]

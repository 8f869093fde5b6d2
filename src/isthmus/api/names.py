"""The names of objects that users' scripts and peers rely on (wire.md 2), each formula once."""

from __future__ import annotations

import hashlib
import re

NAMESPACE = "liqo"
NONCE_SECRET = "liqo-nonce"  # noqa: S105 -- the name of a Secret
SIGNED_NONCE_SECRET = "liqo-signed-nonce"  # noqa: S105 -- the name of a Secret
AUTHENTICATION_KEYS = "authentication-keys"
REMOTE_CERTIFICATE_SECRET = "liqo-remote-certificate"  # noqa: S105 -- the name of a Secret
CLUSTER_ID_CONFIG_MAP = "liqo-clusterid-configmap"
CLUSTER_ID_KEY = "CLUSTER_ID"
NAMESPACE_OFFLOADING = "offloading"
WEBHOOK_SERVICE = "liqo-webhook"
MUTATING_WEBHOOKS = "liqo-mutating-webhook-configuration"
VALIDATING_WEBHOOKS = "liqo-validating-webhook-configuration"
PROXY_SERVICE = "liqo-proxy"
WEBHOOK_CERTIFICATES = "liqo-webhook-certs"
ROLE_REMOTE_CONTROL_PLANE = "liqo-remote-controlplane"
ROLE_BINDING_REMOTE_CONTROL_PLANE = "liqo-binding-liqo-remote-controlplane"
ROLE_VIRTUAL_KUBELET_REMOTE = "liqo-virtual-kubelet-remote"
ROLE_VIRTUAL_KUBELET_REMOTE_CLUSTERWIDE = "liqo-virtual-kubelet-remote-clusterwide"
GROUP_CONTROL_PLANE = "liqo.io"
DEFAULT_VK_OPTIONS_TEMPLATE = "virtual-kubelet-default"
CONTROLLER = "liqo-controller-manager"
NETWORK_TEST = "isthmus-test-network"
"""The namespace of `isthmus test network`, and what all its objects are labelled as managed by.

Not named after Liqo: a provider gives no consumer a twin whose name begins so.
"""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def is_dns_label(text: str) -> bool:
    """Whether the text is an RFC 1123 label: what a cluster id and a namespace must be."""
    return _DNS_LABEL.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    """Whether the text can be the value of a label: at most 63 letters, digits, dashes, dots and underscores."""
    return _LABEL_VALUE.fullmatch(text) is not None


def tenant_namespace(peer: str) -> str:
    """The default tenant namespace for a peer."""
    return f"liqo-tenant-{peer}"


def control_plane_identity(provider: str) -> str:
    """The Identity of the control plane towards a provider, and the Renew of the same name."""
    return f"controlplane-{provider}"


def resource_slice_identity(slice_: str) -> str:
    """The Identity of a ResourceSlice."""
    return f"resourceslice-{slice_}"


def kubeconfig_secret(identity: str) -> str:
    """The Secret holding an Identity's kubeconfig."""
    return f"kubeconfig-{identity}"


def resource_slice_user(slice_: str, consumer: str) -> str:
    """The common name of a slice's certificate and the name of its Quota: 12 hex digits of SHA-256 of the id."""
    return f"{slice_}-{hashlib.sha256(consumer.encode()).hexdigest()[:12]}"


def remote_certificate_secret(slice_: str = "") -> str:
    """The Secret on the provider that keeps a signed certificate: the control plane's, or a slice's."""
    return f"{REMOTE_CERTIFICATE_SECRET}-{slice_}" if slice_ else REMOTE_CERTIFICATE_SECRET


def cluster_wide_binding(consumer: str) -> str:
    """The ClusterRoleBinding of a consumer's slice identities on the provider."""
    return f"liqo-binding-{ROLE_VIRTUAL_KUBELET_REMOTE_CLUSTERWIDE}-{consumer}"


def twin_namespace(namespace: str, consumer: str) -> str:
    """The name a namespace gets on a provider under the mapping strategy DefaultName."""
    return f"{namespace}-{consumer}"


def root_ca_config_map(consumer: str) -> str:
    """What `kube-root-ca.crt` is called in a twin namespace (wire.md 2)."""
    name = f"kube-root-ca.crt.{consumer[:5]}"
    return name if name[-1].isalnum() else name + "a"


def creator_label(user: str) -> str:
    """A user name as the value of the creator label: characters a label refuses become dashes."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", user)


def token_secret(pod: str) -> str:
    """The Secret in a twin namespace that holds the service account tokens of one pod."""
    return f"{pod}-token"


NAMESPACE_KEY = "namespace"
"""The key in that Secret of the namespace its service account is in: no token has a key without a dash."""


def token_key(volume: str, path: str) -> str:
    """The key in that Secret of the token one projected volume has at `path`: 6 hex digits of SHA-256."""
    return f"{volume}-{hashlib.sha256(path.encode()).hexdigest()[:6]}"

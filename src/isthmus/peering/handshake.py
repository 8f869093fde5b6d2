"""The objects two clusters exchange to peer, as manifests (wire.md 1.1, 2, 3, 9).

Pure functions: the commands write what they return with the user's kubeconfigs, the controllers of this module
with the ServiceAccount. They own no task and fail only with ValueError, on a name no cluster would take.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Literal

import msgspec

from isthmus.api import labels, names
from isthmus.api.authentication import AuthParams
from isthmus.kube.objects import Manifest

IdentityType = Literal["ControlPlane", "ResourceSlice"]

CONTROL_PLANE: IdentityType = "ControlPlane"
RESOURCE_SLICE: IdentityType = "ResourceSlice"

NO_HANDSHAKE = "TolerateNoHandshake"
"""The policy of a Tenant whose consumer has no identity from us: the admin gives it one (wire.md 4)."""

MAXIMUM_SLICE_NAME = 50
"""A slice's certificate name, `<slice>-<12 hex>`, must fit a label's 63 characters (wire.md 2)."""

_NONCE = re.compile(rb"[A-Za-z0-9+/]{43,344}={0,2}")


def is_nonce(text: bytes) -> bool:
    """Whether the text is a nonce one may sign: standard base64 of 32 to 256 bytes (wire.md 3 has 64).

    The cluster key also signs TLS handshakes and certificate requests. Were any bytes signed, a provider could
    pass one of those off as its nonce and act as this cluster towards another provider; neither is base64.
    """
    return len(text) % 4 == 0 and _NONCE.fullmatch(text) is not None


def forge_tenant_namespace(peer: str, name: str = "") -> Manifest:
    """The namespace that holds every object of one peering; `name` "" takes the default one.

    Raises ValueError where the peer's id is not a valid DNS label.
    """
    _require_cluster_id(peer)
    return {
        "metadata": {
            "name": name or names.tenant_namespace(peer),
            "labels": {
                labels.TENANT_NAMESPACE: labels.TRUE,
                labels.REMOTE_CLUSTER_ID: peer,
                **dict.fromkeys(labels.POD_SECURITY, "privileged"),
            },
        }
    }


def forge_nonce_secret(consumer: str, namespace: str) -> Manifest:
    """On the provider: the empty Secret into which its controller puts the nonce (key `nonce`)."""
    return {
        "metadata": {
            "name": names.NONCE_SECRET,
            "namespace": namespace,
            "labels": {labels.NONCE: labels.TRUE, labels.REMOTE_CLUSTER_ID: consumer},
        },
        "type": "Opaque",
    }


def forge_signed_nonce_secret(provider: str, namespace: str, nonce: bytes) -> Manifest:
    """On the consumer: the provider's nonce, to which the controller adds its signature (key `signedNonce`).

    `nonce` is the text as the provider stores it, not decoded. Raises ValueError where it is no nonce.
    """
    if not is_nonce(nonce):
        raise ValueError(
            "the nonce is not standard base64 of 32 to 256 bytes: take key 'nonce' of Secret liqo-nonce"
        )
    return {
        "metadata": {
            "name": names.SIGNED_NONCE_SECRET,
            "namespace": namespace,
            "labels": {labels.SIGNED_NONCE: labels.TRUE, labels.REMOTE_CLUSTER_ID: provider},
        },
        "type": "Opaque",
        "data": {"nonce": _base64(nonce)},
    }


def forge_tenant(
    consumer: str, *, public_key: str, csr: str, signature: bytes, namespace: str = "", proxy_url: str = ""
) -> Manifest:
    """On the provider: who the consumer is and the proof of it.

    `public_key` (PKIX) and `csr` are PEM text, `signature` the raw signature over the nonce's text,
    `proxy_url` how the consumer reaches the provider's API server. The policy and the condition are left to
    their defaults, KeysExchange and Active. Raises ValueError where the id is not a valid DNS label.
    """
    _require_cluster_id(consumer)
    spec: Manifest = {
        "clusterID": consumer,
        "authzPolicy": "KeysExchange",
        "publicKey": _base64(public_key.encode()),
        "csr": _base64(csr.encode()),
        "signature": _base64(signature),
        "tenantCondition": "Active",
    }
    if proxy_url:
        spec["proxyURL"] = proxy_url
    metadata: Manifest = {"name": consumer, "labels": {labels.REMOTE_CLUSTER_ID: consumer}}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, "spec": spec}


def forge_identity(
    provider: str,
    auth_params: AuthParams,
    *,
    namespace: str = "",
    remote_namespace: str = "",
    slice_: str = "",
) -> Manifest:
    """On the consumer: credentials for a provider, of the control plane, or of the slice named `slice_`.

    `remote_namespace` is the consumer's tenant namespace on the provider (Tenant.status.tenantNamespace).
    Raises ValueError where the id is not a valid DNS label.
    """
    _require_cluster_id(provider)
    marks = {labels.REMOTE_CLUSTER_ID: provider}
    name = names.control_plane_identity(provider)
    if slice_:
        marks[labels.RESOURCE_SLICE_NAME] = slice_
        name = names.resource_slice_identity(slice_)
    metadata: Manifest = {"name": name, "labels": marks}
    if namespace:
        metadata["namespace"] = namespace
    spec: Manifest = {
        "clusterID": provider,
        "type": RESOURCE_SLICE if slice_ else CONTROL_PLANE,
        "authParams": msgspec.to_builtins(auth_params),
    }
    if remote_namespace:
        spec["namespace"] = remote_namespace
    return {"metadata": metadata, "spec": spec}


def forge_resource_slice(
    provider: str,
    namespace: str,
    *,
    name: str = "",
    class_: str = "default",
    resources: Mapping[str, str | int] | None = None,
    create_virtual_node: bool = True,
) -> Manifest:
    """On the consumer: a wish for resources of the provider; `name` "" takes the provider's id.

    Raises ValueError where the id is not a valid DNS label or the name is longer than `MAXIMUM_SLICE_NAME`.
    """
    _require_cluster_id(provider)
    name = name or provider
    if len(name) > MAXIMUM_SLICE_NAME:
        raise ValueError(
            f"resource slice name {name!r} is longer than {MAXIMUM_SLICE_NAME} characters: shorten it"
        )
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                labels.REPLICATION: labels.TRUE,
                labels.REMOTE_ID: provider,
                labels.REMOTE_CLUSTER_ID: provider,
            },
            "annotations": {labels.CREATE_VIRTUAL_NODE: labels.TRUE if create_virtual_node else labels.FALSE},
        },
        "spec": {"class": class_, "providerClusterID": provider, "resources": dict(resources or {})},
    }


def _require_cluster_id(text: str) -> None:
    if not names.is_dns_label(text):
        raise ValueError(
            f"cluster id {text!r} is not a valid DNS label: use 1 to 63 lower-case letters, digits and dashes, "
            "with a letter or digit first and last"
        )


def _base64(data: bytes) -> str:
    return b64encode(data).decode()

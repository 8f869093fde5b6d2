"""Objects as the API server would send them, for the tests of this module."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from isthmus.api import labels
from isthmus.api.authentication import AuthParams, Identity, ResourceSlice, Tenant
from isthmus.kube.objects import Object
from isthmus.peering.secret_data import encode

T = TypeVar("T", bound=Object)


def decode(type_: type[T], manifest: dict[str, Any]) -> T:
    """A manifest as the struct it is read into."""
    return msgspec.json.decode(msgspec.json.encode(manifest), type=type_)


def tenant(consumer: str = "rome", **spec: Any) -> Tenant:
    """An admitted Tenant in its default namespace."""
    namespace = f"liqo-tenant-{consumer}"
    return decode(
        Tenant,
        {
            "metadata": {
                "name": consumer,
                "namespace": namespace,
                "uid": f"uid-{consumer}",
                "resourceVersion": "7",
                "creationTimestamp": "2026-11-23T10:00:00Z",
                "labels": {labels.REMOTE_CLUSTER_ID: consumer},
                "finalizers": [labels.FINALIZER_TENANT],
            },
            "spec": {"clusterID": consumer, "publicKey": encode(b"k" * 32), **spec},
            "status": {"tenantNamespace": namespace},
        },
    )


def slice_(
    name: str = "milan",
    *,
    copy: bool = True,
    class_: str = "default",
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> ResourceSlice:
    """A slice of rome at milan: the copy on the provider, or the original on the consumer."""
    marks = {labels.REMOTE_ID: "milan", labels.REMOTE_CLUSTER_ID: "rome" if copy else "milan"}
    if copy:
        marks |= {labels.ORIGIN_ID: "rome", labels.REPLICATED: "true", labels.REPLICATION: "false"}
    else:
        marks[labels.REPLICATION] = "true"
    ids = {"consumerClusterID": "rome", "providerClusterID": "milan"} if copy else {}
    return decode(
        ResourceSlice,
        {
            "metadata": {
                "name": name,
                "namespace": "liqo-tenant-rome" if copy else "liqo-tenant-milan",
                "uid": f"uid-{name}",
                "resourceVersion": "3",
                "labels": marks,
            },
            "spec": {**ids, "class": class_, **spec},
            "status": status or {},
        },
    )


def identity(type_: str = "ControlPlane", **params: Any) -> Identity:
    """An Identity of rome towards milan."""
    auth = {"ca": encode(PEM), "signedCRT": encode(PEM), "apiServer": "https://172.29.2.1:6443", **params}
    return decode(
        Identity,
        {
            "metadata": {
                "name": "controlplane-milan" if type_ == "ControlPlane" else "resourceslice-milan",
                "namespace": "liqo-tenant-milan",
                "uid": "uid-identity",
                "resourceVersion": "5",
                "labels": {labels.REMOTE_CLUSTER_ID: "milan"},
            },
            "spec": {
                "clusterID": "milan",
                "type": type_,
                "namespace": "liqo-tenant-rome",
                "authParams": auth,
            },
        },
    )


def params(**fields: Any) -> AuthParams:
    """AuthParams with usable values."""
    usable = {"ca": encode(PEM), "signed_crt": encode(PEM), "api_server": "https://milan:6443"}
    return AuthParams(**{**usable, **fields})


PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

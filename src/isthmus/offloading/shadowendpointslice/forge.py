"""The EndpointSlice of a ShadowEndpointSlice, and whether one is as it should be. Pure functions (wire.md 8)."""

from __future__ import annotations

import msgspec

from isthmus.api import labels
from isthmus.api.endpoints import Endpoint, EndpointSlice
from isthmus.api.offloading import GROUP, VERSION, ShadowEndpointSlice
from isthmus.kube.objects import Manifest, Object
from isthmus.offloading.shadowendpointslice.mapping import forge_ports

KIND = "ShadowEndpointSlice"


def forge_slice(shadow: ShadowEndpointSlice, endpoints: list[Endpoint]) -> Manifest:
    """The EndpointSlice: kube-proxy finds it by the Service's label; two marks keep other controllers off."""
    metadata = shadow.metadata
    marks = {
        labels.MANAGED_BY: labels.MANAGED_BY_SHADOW_ENDPOINT_SLICE,
        labels.ENDPOINT_SLICE_MANAGED_BY: labels.ENDPOINT_SLICE_REFLECTION,
    }
    dropped = labels.DIRECT_CONNECTIONS_DATA
    return {
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": metadata.labels | marks,
            "annotations": {key: value for key, value in metadata.annotations.items() if key != dropped},
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": metadata.name,
                    "uid": metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": shadow.spec.template.address_type,
        "endpoints": msgspec.to_builtins(endpoints),
        "ports": msgspec.to_builtins(forge_ports(shadow.spec.template.ports)),
    }


def owner_uid(slice_: Object) -> str:
    """The uid of the ShadowEndpointSlice that controls the slice, "" where none does."""
    for owner in slice_.metadata.owner_references:
        if owner.controller and owner.kind == KIND and owner.api_version.startswith(f"{GROUP}/"):
            return owner.uid
    return ""


def is_current(wished: Manifest, found: EndpointSlice) -> bool:
    """Whether a slice says all that is wished, and of endpoints and ports nothing else."""
    metadata = wished["metadata"]
    here = found.metadata
    return bool(
        metadata["labels"].items() <= here.labels.items()
        and metadata["annotations"].items() <= here.annotations.items()
        and wished["addressType"] == found.address_type
        and wished["endpoints"] == msgspec.to_builtins(found.endpoints)
        and wished["ports"] == msgspec.to_builtins(found.ports)
    )


def has_surplus(wished: Manifest, found: EndpointSlice) -> bool:
    """Whether labels or annotations are there that are not wished: ours of earlier, or somebody else's."""
    metadata = wished["metadata"]
    return bool(
        found.metadata.labels.keys() - metadata["labels"].keys()
        or found.metadata.annotations.keys() - metadata["annotations"].keys()
    )

"""The labels and annotations an offloaded pod carries on the provider, and how later changes follow.

A ShadowPod's metadata is what its Pod gets. Keys that only mean something here (our own bookkeeping, the mark
on the local pod, keys the user keeps back) stay here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from isthmus.api import labels
from isthmus.kube.objects import Manifest, ObjectMeta
from isthmus.offloading.inplace import OWN_ANNOTATIONS

OWN_PREFIX = "isthmus.liqo.io/"
"""The prefix of our bookkeeping annotations; nothing under it is reflected, but for POD_UID and POD_NAMESPACE."""

POD_UID = OWN_PREFIX + "pod-uid"
"""On a ShadowPod: which local pod it stands for, so that a successor of the same name is told apart."""

POD_NAMESPACE = OWN_PREFIX + "pod-namespace"
"""On a ShadowPod whose volumes tell it by the downward API: the namespace of that pod."""

REMOTE_POD_UID = OWN_PREFIX + "remote-pod-uid"
"""On a local pod: the remote pod its status was last taken from."""

REMOTE_RECREATIONS = OWN_PREFIX + "remote-recreations"
"""On a local pod: how often the provider made its pod again."""

_LOCAL_LABELS = frozenset({labels.SHADOW_POD, labels.REMOTE_UNAVAILABLE})
_PROVIDER_LABELS = frozenset({labels.CREATOR_USER})


class Identity(Struct, frozen=True):
    """Who offloads through which virtual node to whom, and which keys the user keeps back."""

    home_id: str
    provider_id: str
    node_name: str
    labels_not_reflected: frozenset[str] = frozenset()
    annotations_not_reflected: frozenset[str] = frozenset()


class RemoteMetadata(Struct, frozen=True):
    """What the ShadowPod carries."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


def forge_metadata(pod: ObjectMeta, identity: Identity) -> RemoteMetadata:
    """The labels and annotations of a pod's ShadowPod (wire.md 8)."""
    kept_back = _LOCAL_LABELS | identity.labels_not_reflected
    remote_labels = {key: value for key, value in pod.labels.items() if key not in kept_back}
    remote_labels[labels.ORIGIN] = identity.home_id
    remote_labels[labels.DESTINATION] = identity.provider_id
    remote_labels[labels.NODE_NAME] = identity.node_name
    annotations = {
        key: value
        for key, value in pod.annotations.items()
        if key not in identity.annotations_not_reflected and not key.startswith(OWN_PREFIX)
    }
    annotations[POD_UID] = pod.uid
    return RemoteMetadata(remote_labels, annotations)


def plan_metadata_patch(
    present: ObjectMeta, wanted: RemoteMetadata, *, given_up: frozenset[str] = frozenset()
) -> Manifest:
    """The merge patch that brings a ShadowPod's metadata to what is wanted; {} where it is so already.

    Keys that vanished here are removed there, except the provider's own and those `given_up`: keys that
    somebody there puts back each time they are removed.
    """
    changes = {
        "labels": _differences(present.labels, wanted.labels, given_up | _PROVIDER_LABELS),
        "annotations": _differences(
            present.annotations, wanted.annotations, given_up | OWN_ANNOTATIONS | {POD_NAMESPACE}
        ),
    }
    changes = {name: change for name, change in changes.items() if change}
    return {"metadata": {"uid": present.uid, **changes}} if changes else {}


def removed_keys(patch: Mapping[str, Any]) -> frozenset[str]:
    """The label and annotation keys that a patch of `plan_metadata_patch` removes."""
    metadata = patch.get("metadata", {})
    return frozenset(
        key
        for name in ("labels", "annotations")
        for key, value in metadata.get(name, {}).items()
        if value is None
    )


def _differences(
    present: Mapping[str, str], wanted: Mapping[str, str], left_alone: frozenset[str]
) -> dict[str, str | None]:
    changes: dict[str, str | None] = {
        key: value for key, value in wanted.items() if present.get(key) != value
    }
    changes.update({key: None for key in present if key not in wanted and key not in left_alone})
    return changes

"""Which objects are reflected and what of their metadata: marks, filters and the users' own wishes.

Pure functions of the metadata; every kind follows the same rules (behaviour.md 4.3, wire.md 1.2).
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.kube.objects import Manifest, ObjectMeta
from isthmus.reflection.content import LAST_APPLIED
from isthmus.reflection.session import ReflectionSession, ReflectionType


def selector(session: ReflectionSession, narrower: str = "") -> str:
    """The label selector of what this cluster has reflected to the provider, or of a `narrower` part of it."""
    ours = f"{labels.ORIGIN}={session.home_id},{labels.DESTINATION}={session.provider_id}"
    return f"{ours},{narrower}" if narrower else ours


def is_ours(metadata: ObjectMeta, session: ReflectionSession) -> bool:
    """Whether an object on the provider carries both our marks; any other is never touched."""
    return (
        metadata.labels.get(labels.ORIGIN) == session.home_id
        and metadata.labels.get(labels.DESTINATION) == session.provider_id
    )


def forge_labels(metadata: ObjectMeta, session: ReflectionSession) -> dict[str, str]:
    """The labels of the copy: the original's without the filtered ones, and our marks."""
    kept = {key: value for key, value in metadata.labels.items() if key not in session.labels_not_reflected}
    return kept | {labels.ORIGIN: session.home_id, labels.DESTINATION: session.provider_id}


def forge_annotations(metadata: ObjectMeta, session: ReflectionSession) -> dict[str, str]:
    """The annotations of the copy: the original's without the filtered ones."""
    dropped = (*session.annotations_not_reflected, LAST_APPLIED)
    return {key: value for key, value in metadata.annotations.items() if key not in dropped}


def same_metadata(local: ObjectMeta, remote: ObjectMeta, session: ReflectionSession) -> bool:
    """Whether the copy's labels and annotations are exactly those that would be forged."""
    return remote.labels == forge_labels(local, session) and remote.annotations == forge_annotations(
        local, session
    )


def forge_metadata(local: ObjectMeta, session: ReflectionSession, namespace: str, name: str) -> Manifest:
    """The metadata of the copy; no owner references and no finalizers ever cross clusters."""
    return {
        "name": name,
        "namespace": namespace,
        "labels": forge_labels(local, session),
        "annotations": forge_annotations(local, session),
    }


def _wished(metadata: ObjectMeta, annotation: str) -> bool:
    return metadata.annotations.get(annotation, labels.FALSE).lower() != labels.FALSE


def is_wanted(metadata: ObjectMeta, type_: ReflectionType) -> bool:
    """Whether an object is to be reflected: all but the skipped, or only the let; skipping wins over letting."""
    if _wished(metadata, labels.SKIP_REFLECTION):
        return False
    return type_ == "DenyList" or _wished(metadata, labels.ALLOW_REFLECTION)

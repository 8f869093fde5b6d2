"""What Kubernetes lets change in a running pod, and how it travels to the pod at the provider (docs/architecture.md).

Images, activeDeadlineSeconds and tolerations are changed in the ShadowPod's spec, which every provider allows. What
no ShadowPod may change there, the resources of containers and ephemeral containers, travels in the annotation
CHANGES, which a provider of ours honours and stock copies to the pod without a meaning. REVISION on the ShadowPod
and APPLIED on the provider's Pod tell whether the Pod is as the consumer wants it. Pure; annotations come from a
peer, so those that cannot be read are refused by the webhook and ignored everywhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, field

from isthmus.api.offloading import ShadowPod
from isthmus.kube.objects import Base

REVISION = "isthmus.liqo.io/revision"
"""On a ShadowPod: a digest of what may change in the local pod, as it was last carried over."""

CHANGES = "isthmus.liqo.io/changes"
"""On a ShadowPod: what changed in place and its spec cannot say, as JSON of `Changes`."""

APPLIED = "isthmus.liqo.io/applied-revision"
"""On the provider's Pod: the REVISION it was last brought to."""

REFLECTED = "isthmus.liqo.io/reflected"
"""On the provider's Pod: which of its labels and annotations came from its ShadowPod."""

REWRITTEN = "isthmus.liqo.io/rewritten-images"
"""On the provider's Pod: which image, by container, its ShadowPod asked for where the API server made another of it."""

OWN_ANNOTATIONS = frozenset({REVISION, CHANGES, APPLIED, REFLECTED, REWRITTEN})
"""What the metadata that follows the local pod leaves alone."""

_RESIZABLE = ("requests", "limits")


class MutableContainer(Base, frozen=True, kw_only=True):
    """What may change in a container."""

    name: str = ""
    image: str = ""
    resources: dict[str, Any] = field(default_factory=dict)

    def amounts(self) -> dict[str, Any]:
        """Requests and limits, which a resize may change; not claims."""
        return {kind: self.resources[kind] for kind in _RESIZABLE if self.resources.get(kind)}


class MutablePart(Base, frozen=True, kw_only=True):
    """What may change in a pod's spec."""

    containers: list[MutableContainer] = field(default_factory=list)
    init_containers: list[MutableContainer] = field(default_factory=list)
    active_deadline_seconds: int | None = None
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    ephemeral_containers: list[dict[str, Any]] = field(default_factory=list)

    def each_container(self) -> list[MutableContainer]:
        """The containers that are made with the pod."""
        return [*self.init_containers, *self.containers]


class Changes(Base, frozen=True, kw_only=True):
    """What changed in place beside the ShadowPod's spec: resources by container, and ephemeral containers."""

    resources: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    ephemeral_containers: list[dict[str, Any]] = field(default_factory=list)


def images_of(part: MutablePart) -> dict[str, str]:
    """The image of each container that is made with the pod."""
    return {container.name: container.image for container in part.each_container()}


def rewritten_images(wanted: MutablePart, made: MutablePart) -> dict[str, str]:
    """What was asked for, by container, where a policy of the provider has made another image of it: a mirror's."""
    found = images_of(made)
    return {name: image for name, image in images_of(wanted).items() if found.get(name, image) != image}


def mutable_part(spec: Raw) -> MutablePart:
    """Decode what may change of a PodSpec. Raises msgspec.DecodeError where it is malformed."""
    return msgspec.json.decode(spec, type=MutablePart)


def revision_of(part: MutablePart) -> str:
    """The digest by which two states of a pod are told apart."""
    return hashlib.sha256(msgspec.json.encode(part)).hexdigest()[:16]


def first_revision(spec: Raw) -> str:
    """The revision of a pod whose ShadowPod is being made: all of its spec goes along but ephemeral containers."""
    return revision_of(msgspec.structs.replace(mutable_part(spec), ephemeral_containers=[]))


def parse_changes(annotations: Mapping[str, str]) -> Changes:
    """The changes an annotation tells of. Raises ValueError saying what is wrong with it."""
    text = annotations.get(CHANGES)
    if text is None:
        return Changes()
    try:
        changes = msgspec.json.decode(text, type=Changes)
    except msgspec.DecodeError as error:
        raise ValueError(f"annotation {CHANGES} cannot be read: {error}") from None
    for name, resources in changes.resources.items():
        unknown = resources.keys() - set(_RESIZABLE)
        if unknown:
            raise ValueError(
                f"annotation {CHANGES}: resources of container {name}: "
                f"{min(unknown)} cannot be changed, only requests and limits"
            )
    if not all(isinstance(each.get("name"), str) for each in changes.ephemeral_containers):
        raise ValueError(f"annotation {CHANGES}: an ephemeral container has no name")
    return changes


def read_changes(shadow: ShadowPod) -> Changes:
    """The changes of a ShadowPod; none where they cannot be read, as nobody applies or counts them then."""
    try:
        return parse_changes(shadow.metadata.annotations)
    except ValueError:
        return Changes()


def resized_spec(shadow: ShadowPod) -> Raw:
    """The PodSpec of a ShadowPod with the resources its containers were resized to."""
    if CHANGES not in shadow.metadata.annotations:
        return shadow.spec.pod
    resources = read_changes(shadow).resources
    if not resources:
        return shadow.spec.pod
    spec = msgspec.json.decode(shadow.spec.pod)
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or []:
            if container.get("name") in resources:
                kept = container.get("resources") or {}
                rest = {key: value for key, value in kept.items() if key not in _RESIZABLE}
                container["resources"] = {**rest, **resources[container["name"]]}
    return Raw(msgspec.json.encode(spec))

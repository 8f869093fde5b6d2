"""One offloaded namespace as its twin at the provider: the caches of its ShadowPods and pods.

Owned by the task that follows it (`PodReflection`), which gives the informers back when it ends. Only objects of
one virtual node are selected: several may share a twin namespace. Only what is used is kept: no spec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from msgspec import Raw, field

from isthmus.api import labels
from isthmus.api.offloading import SHADOW_PODS, ShadowPodStatus
from isthmus.kube.builtin import PODS
from isthmus.kube.informer import InformerSet
from isthmus.kube.objects import EMPTY_OBJECT, Key, Object
from isthmus.offloading.pods.metadata import Identity


class Shadow(Object, frozen=True, kw_only=True):
    """A ShadowPod as its watch tells of it: metadata only, for its spec is ours and its phase rarely asked."""


class ShadowPhase(Object, frozen=True, kw_only=True):
    """A ShadowPod of which the phase is asked."""

    status: ShadowPodStatus = field(default_factory=ShadowPodStatus)


class RemotePod(Object, frozen=True, kw_only=True):
    """A pod at the provider without its spec."""

    status: Raw = EMPTY_OBJECT


SHADOWS = replace(SHADOW_PODS.view(Shadow), metadata_only=True)
SHADOW_PHASES = SHADOW_PODS.view(ShadowPhase)
REMOTE_PODS = PODS.view(RemotePod)
WITHDRAWN_AFTER = 15.0
"""Seconds of refusal after which the provider is taken to have ended our access: one that restarts refuses for less."""
BOUND = "spec.nodeName!="
"""Which remote pods are watched: one that no node was found for is asked for (`unbound.py`)."""


def forge_selectors(identity: Identity) -> tuple[str, str]:
    """The label selectors of the ShadowPods and of the remote pods of one virtual node."""
    node = f"{labels.NODE_NAME}={identity.node_name}"
    origin = f"{labels.ORIGIN}={identity.home_id},{labels.DESTINATION}={identity.provider_id}"
    return f"{origin},{node}", f"{labels.MANAGED_BY}={labels.MANAGED_BY_SHADOW_POD},{node}"


class TwinNamespace:
    """The caches of one twin namespace.

    `ready` once both hold their first full list, `barred` when that takes longer than it should.
    """

    def __init__(self, local: str, remote: str, informers: InformerSet, identity: Identity) -> None:
        shadow_selector, pod_selector = forge_selectors(identity)
        self.local = local
        self.remote = remote
        self.ready = False
        self.barred = False
        self._informers = informers
        self._shadows = informers.get(SHADOWS, remote, label_selector=shadow_selector)
        self._pods = informers.get(REMOTE_PODS, remote, label_selector=pod_selector, field_selector=BOUND)

    def shadow(self, name: str) -> Shadow | None:
        """The ShadowPod of that name, as far as it is this virtual node's."""
        return self._shadows.get(Key(self.remote, name))

    def pod(self, name: str) -> RemotePod | None:
        """The remote pod of that name, as far as it was made for this virtual node and bound to a node there."""
        return self._pods.get(Key(self.remote, name))

    def names(self) -> set[str]:
        """The names of all ShadowPods."""
        return {shadow.metadata.name for shadow in self._shadows.list()}

    def left(self) -> int:
        """How many ShadowPods are still to be deleted here: none that we know of once we have no access any more."""
        return 0 if self.withdrawn else len(self.names())

    @property
    def withdrawn(self) -> bool:
        """Whether the provider has taken our access back, or never gave it."""
        return self._shadows.refused_for >= WITHDRAWN_AFTER

    def follow(self, changed: Callable[[str], None]) -> None:
        """From now on call `changed` with the name of what differs."""

        def shadow_changed(old: Shadow | None, new: Shadow | None) -> None:
            some = new or old
            if some is not None:
                changed(some.metadata.name)

        def pod_changed(old: RemotePod | None, new: RemotePod | None) -> None:
            if old is not None and new is not None and _same_to_us(old, new):
                return
            some = new or old
            if some is not None:
                changed(some.metadata.name)

        self._shadows.add_handler(shadow_changed)
        self._pods.add_handler(pod_changed)

    async def synced(self) -> None:
        """Wait until both caches hold their first full list."""
        await self._shadows.synced.wait()
        await self._pods.synced.wait()

    def close(self) -> None:
        """Give the informers back."""
        self.ready = False
        self._informers.release(self._shadows)
        self._informers.release(self._pods)


def _same_to_us(old: RemotePod, new: RemotePod) -> bool:
    """Whether a change of the remote pod (its binding, its annotations) says nothing new about its state."""
    return (
        old.metadata.uid == new.metadata.uid
        and old.deleting == new.deleting
        and bytes(old.status) == bytes(new.status)
    )

"""Where a pod finds the API server of its home: the address it was given, as this cluster sees it (wire.md 8).

A consumer's pod may bring an alias of `kubernetes.default` with an address of the consumer's external CIDR, which has
to be mapped by our Configuration of the consumer. No pod is made before that can be done: its aliases never change.
Without the networking module aliases pass as they are.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, field

from isthmus.api import labels
from isthmus.api.networking import CONFIGURATIONS
from isthmus.api.offloading import ShadowPod
from isthmus.api.peer_ranges import PeerRanges, configuration_of, read_ranges, seen_address
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Base, Key
from isthmus.kube.reconcile import Controller

API_SERVER = "kubernetes.default"
INDEX = "shadowpod/peer"


class NetworkPendingError(Exception):
    """The network to the consumer is not configured yet; the text says what is missing, for people."""


class _Alias(Base, frozen=True, kw_only=True):
    hostnames: list[str] = field(default_factory=list)


class _Aliases(Base, frozen=True, kw_only=True):
    host_aliases: list[_Alias] = field(default_factory=list)


def names_api_server(spec: Raw) -> bool:
    """Whether a PodSpec has an alias of the API server; malformed ones are the API server's to refuse."""
    if API_SERVER.encode() not in bytes(spec):
        return False
    try:
        aliases = msgspec.json.decode(spec, type=_Aliases).host_aliases
    except msgspec.ValidationError:
        return False
    return any(API_SERVER in alias.hostnames for alias in aliases)


def map_host_aliases(spec: Raw, ranges: PeerRanges) -> dict[str, Any]:
    """The PodSpec with the API server's address as this cluster sees it; one that is not the peer's is left."""
    result: dict[str, Any] = msgspec.json.decode(spec)
    pairs = ranges.external + ranges.pods
    result["hostAliases"] = [
        {**alias, "ip": seen_address(str(alias.get("ip", "")), pairs) or alias.get("ip", "")}
        if API_SERVER in (alias.get("hostnames") or [])
        else alias
        for alias in result.get("hostAliases") or []
    ]
    return result


class HomeNetwork:
    """The Configurations of consumers, for the pods that need one."""

    def __init__(self, manager: Manager) -> None:
        self._configurations = manager.informers.get(CONFIGURATIONS)
        self._namespaces = manager.informers.get(
            NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID
        )
        self._configurations.add_index(
            INDEX, lambda one: [peer] if (peer := one.metadata.labels.get(labels.REMOTE_CLUSTER_ID)) else []
        )
        self._waiting: set[Key] = set()

    def feed(self, controller: Controller) -> None:
        """Have the ShadowPods looked at again that wait for a Configuration, when one changes."""
        controller.watch(self._configurations, lambda _: list(self._waiting))
        controller.watch(self._namespaces, lambda _: list(self._waiting))

    def adapt(self, shadow: ShadowPod, spec: Raw) -> Raw | dict[str, Any]:
        """The PodSpec for this cluster. Raises NetworkPendingError."""
        self._waiting.discard(shadow.key)
        if not names_api_server(spec):
            return spec
        consumer = shadow.metadata.labels.get(labels.ORIGIN, "")
        candidates = self._configurations.by_index(INDEX, consumer)
        found = configuration_of(consumer, candidates, lambda name: self._namespaces.get(Key("", name)))
        ranges = None if found is None else read_ranges(found)
        if ranges is None:
            self._waiting.add(shadow.key)
            missing = "there is no Configuration" if found is None else "the Configuration has no ranges yet"
            raise NetworkPendingError(
                f"it reaches the API server of {consumer[:64]} through the network, but {missing} of that cluster"
            )
        return map_host_aliases(spec, ranges)

    def forget(self, key: Key) -> None:
        """The ShadowPod is gone."""
        self._waiting.discard(key)

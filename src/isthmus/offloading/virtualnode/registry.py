"""Which virtual nodes run in this process, and through which client each of their pods is reached.

The registry is filled by the tasks of `virtualnode.task` and read by the kubelet API (logs, exec, port-forward)
and by whatever else must find an offloaded pod. It is memory only: after a restart it fills up again as the
virtual nodes' tasks start. A lookup never waits and never fails; what is not (yet) known is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, field

from isthmus.kube.builtin import Pod
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer, InformerSet
from isthmus.kube.objects import Key
from isthmus.offloading.pods.provider import ProviderHealth

__all__ = ["Location", "OffloadedPods", "ProviderSession"]


class Location(Struct, frozen=True):
    """Where an offloaded pod really runs: under its own name in `remote_namespace`, reached through `client`."""

    client: Client
    """The provider's API server, as the slice identity; do not close it."""
    remote_namespace: str
    node: str
    """The virtual node the pod is bound to."""
    pod_uid: str
    """The UID of the pod on this cluster."""


class ProviderSession(Struct, eq=False):
    """One running virtual node: its clients and caches, alive as long as its task."""

    node_name: str
    provider_id: str
    home_id: str
    client: Client
    """Towards the provider, as the slice identity."""
    informers: InformerSet
    """Of the provider's objects."""
    pods: Informer[Pod]
    """The pods of this cluster that are bound to the virtual node."""
    namespaces: dict[str, str] = field(default_factory=dict)
    """Offloaded namespaces that the provider accepted: local name to remote name."""
    health: ProviderHealth = field(default_factory=ProviderHealth)
    """Whether the provider answers."""
    leftovers: Callable[[], int] = lambda: 0
    """How many ShadowPods of the virtual node are known to be at the provider, and ours to delete."""
    shut_out: Callable[[], bool] = lambda: False
    """Whether the provider lets the virtual node into none of its namespaces any more."""
    node_refused: str = ""
    """Why this cluster's API server does not take the Node as it is wished for, "" where it does."""


class OffloadedPods:
    """The virtual nodes of this process and the pods on them."""

    def __init__(self) -> None:
        self._sessions: dict[str, ProviderSession] = {}
        self._listeners: list[Callable[[], None]] = []

    def locate(self, namespace: str, pod: str) -> Location | None:
        """Where the pod of that local namespace and name runs; None when it is on no virtual node of ours,
        or its namespace is not offloaded (yet)."""
        for session in self._sessions.values():
            local = session.pods.get(Key(namespace, pod))
            if local is None:
                continue
            remote_namespace = session.namespaces.get(namespace)
            if remote_namespace is None:
                return None
            return Location(session.client, remote_namespace, session.node_name, local.metadata.uid)
        return None

    def pods_on(self, node: str) -> list[Pod]:
        """The local pods bound to a virtual node; none when its task does not run."""
        session = self._sessions.get(node)
        return [] if session is None else list(session.pods.list())

    def nodes(self) -> list[str]:
        """The names of the virtual nodes whose tasks run."""
        return sorted(self._sessions)

    def session(self, node: str) -> ProviderSession | None:
        """The running virtual node of that name."""
        return self._sessions.get(node)

    def sessions_towards(self, provider_id: str) -> list[ProviderSession]:
        """The running virtual nodes of one provider, by name: the first reflects what is not tied to a node."""
        found: Iterable[ProviderSession] = (
            s for s in self._sessions.values() if s.provider_id == provider_id
        )
        return sorted(found, key=lambda session: session.node_name)

    def add(self, session: ProviderSession) -> None:
        """Make a virtual node known; for its own task only."""
        self._sessions[session.node_name] = session
        self._notify()

    def remove(self, session: ProviderSession) -> None:
        """Forget a virtual node; harmless when another task took over its name."""
        if self._sessions.get(session.node_name) is session:
            del self._sessions[session.node_name]
            self._notify()

    def tell(self) -> None:
        """A session says something else than before."""
        self._notify()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` whenever a virtual node comes or goes; the result removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _notify(self) -> None:
        for listener in list(self._listeners):
            listener()

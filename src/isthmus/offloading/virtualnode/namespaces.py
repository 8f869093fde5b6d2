"""Which namespaces a virtual node's provider accepted, and the tasks that serve each of them.

Reads the NamespaceMap of the provider (spec ours, status the provider's, hence checked); attaches the pods of each
accepted namespace and runs the reflection into its twin. Lives in the virtual node's task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from isthmus.api import labels, names
from isthmus.api.offloading import NamespaceMap
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.kube.tasks import TaskSet
from isthmus.offloading.pods.metadata import Identity
from isthmus.offloading.pods.reflection import PodReflection
from isthmus.offloading.virtualnode.registry import OffloadedPods, ProviderSession
from isthmus.reflection import ReflectionSession, ReflectorOptions, setup_namespace

logger = logging.getLogger(__name__)

ACCEPTED = "Accepted"
LONGEST_CLASS = 317
"""Characters of a class of load balancers: those of a label's key."""


class ReflectionTerms(Struct, frozen=True):
    """How namespaces are reflected through a virtual node."""

    identity: Identity
    load_balancer_class: str = ""
    """The provider's default one, "" for none."""
    reflectors: dict[str, ReflectorOptions] = field(default_factory=dict)
    """By kind, as its template says."""


class NamespacePlan(Struct, frozen=True):
    """Local to remote name of the namespaces that are wished for, and of those the provider accepted."""

    wished: dict[str, str]
    accepted: dict[str, str]


def is_map_of(map_: NamespaceMap, tenant_namespace: str, provider_id: str) -> bool:
    """Whether a NamespaceMap is our wish towards a provider; the copies of its own wishes lie beside it."""
    found = map_.metadata
    return (
        found.namespace == tenant_namespace
        and found.labels.get(labels.REPLICATION) == labels.TRUE
        and found.labels.get(labels.REMOTE_ID) == provider_id
    )


def plan_namespaces(maps: Iterable[NamespaceMap]) -> NamespacePlan:
    """What the NamespaceMaps of one provider come to; of several the first by name counts where they differ.

    A namespace that nobody wished for, an invalid name and a twin given out twice are left out: the status is
    the provider's to write.
    """
    wished: dict[str, str] = {}
    accepted: dict[str, str] = {}
    for map_ in sorted(maps, key=lambda map_: map_.metadata.name):
        for local, remote in map_.spec.desired_mapping.items():
            wished.setdefault(local, remote)
        for local, twin in sorted(map_.status.current_mapping.items()):
            usable = twin.phase == ACCEPTED and names.is_dns_label(twin.remote_namespace)
            if usable and local in wished and local not in accepted:
                if twin.remote_namespace in accepted.values():
                    logger.warning("a twin namespace is given out twice: %s", twin.remote_namespace)
                    continue
                accepted[local] = twin.remote_namespace
    return NamespacePlan(wished, accepted)


def default_class(classes: Iterable[dict[str, Any]]) -> str:
    """The name of the provider's default class of load balancers, "" for none; what it says is checked."""
    for one in classes:
        name = one.get("loadBalancerClassName")
        if one.get("default") is True and isinstance(name, str) and len(name) <= LONGEST_CLASS:
            return name
    return ""


class OffloadedNamespaces:
    """Keeps the namespaces of one virtual node attached as its provider accepts them."""

    def __init__(
        self,
        manager: Manager,
        options: Options,
        maps: Informer[NamespaceMap],
        session: ProviderSession,
        registry: OffloadedPods,
        key: Key,
    ) -> None:
        self._manager = manager
        self._options = options
        self._maps = maps
        self._session = session
        self._registry = registry
        self._key = key
        """The tenant namespace and the provider's id."""
        self._tasks = TaskSet()
        self._plan = NamespacePlan({}, {})

    def wished(self, namespace: str) -> bool:
        """Whether a local namespace is to be offloaded to the provider."""
        return namespace in self._read().wished

    async def update(self, reflection: PodReflection, terms: ReflectionTerms) -> None:
        """Attach what was accepted, detach what is no longer, and say who reflects."""
        plan = self._read()
        session = self._session
        first = [s.node_name for s in self._registry.sessions_towards(session.provider_id)][:1]
        leads = first == [session.node_name]
        for local in [local for local in session.namespaces if local not in plan.accepted]:
            del session.namespaces[local]
            await self._tasks.stop(local)
            await reflection.detach(local)
        for local, remote in plan.accepted.items():
            session.namespaces[local] = remote
            reflection.attach(local, remote)
            self._reflect(local, remote, terms, reflection, leads=leads)
        for local in plan.wished.keys() ^ self._plan.wished.keys():
            reflection.revisit(local)
        self._plan = plan

    async def close(self) -> None:
        """End every reflection."""
        self._session.namespaces.clear()
        await self._tasks.close()

    def _read(self) -> NamespacePlan:
        tenant_namespace, provider_id = self._key
        maps = self._maps.list(tenant_namespace)
        return plan_namespaces(m for m in maps if is_map_of(m, tenant_namespace, provider_id))

    def _reflect(
        self, local: str, remote: str, terms: ReflectionTerms, pods: PodReflection, *, leads: bool
    ) -> None:
        identity = terms.identity
        session = ReflectionSession(
            local_client=self._manager.client,
            local_informers=self._manager.informers,
            remote_client=self._session.client,
            remote_informers=self._session.informers,
            events=self._manager.events,
            home_id=identity.home_id,
            provider_id=identity.provider_id,
            node_name=identity.node_name,
            labels_not_reflected=tuple(sorted(identity.labels_not_reflected)),
            annotations_not_reflected=tuple(sorted(identity.annotations_not_reflected)),
            tokens_turn=pods.tokens_turn,
            tokens_over=pods.tokens_over,
            namespace_wide=leads,
            services=True,
            translate="networking" in self._options.modules,
            network_namespace=self._options.namespace,
            load_balancer_class=terms.load_balancer_class,
            reflectors=terms.reflectors,
        )
        fingerprint = f"{remote} {leads} {terms.load_balancer_class} {sorted(terms.reflectors.items())}"
        self._tasks.ensure(local, fingerprint, lambda: setup_namespace(session, local, remote))

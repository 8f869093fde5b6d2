"""The task of one virtual node: a session towards its provider, and everything that runs on it.

Owned by the VirtualNode controller's TaskSet, which starts it again with back-off when it fails and anew when the
credentials change. It ends all it started, whatever way it ends; nothing at the provider is undone by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from isthmus.api.offloading import NamespaceMap, VirtualNode
from isthmus.kube.builtin import PODS
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.informer import InformerSet
from isthmus.kube.objects import Key
from isthmus.kube.reconcile import Controller
from isthmus.offloading.pods.provider import PodContext
from isthmus.offloading.pods.reflection import WORKERS, PodReflection
from isthmus.offloading.pods.spec import Terms
from isthmus.offloading.virtualnode.heartbeat import Heartbeat
from isthmus.offloading.virtualnode.namespaces import (
    OffloadedNamespaces,
    ReflectionTerms,
    default_class,
    is_map_of,
)
from isthmus.offloading.virtualnode.node import NodeFacts, NodeObject
from isthmus.offloading.virtualnode.nodes import NodeReconciler
from isthmus.offloading.virtualnode.registry import ProviderSession
from isthmus.offloading.virtualnode.runtime import Runtime
from isthmus.offloading.virtualnode.templates import Template, plan_reflectors, template_of


async def run_virtual_node(runtime: Runtime, virtual_node: VirtualNode, credentials: Credentials) -> None:
    """Serve one virtual node until cancelled."""
    manager = runtime.manager
    node_name = virtual_node.metadata.name
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(credentials, user_agent="isthmus-virtual-node"))
        informers = InformerSet(client)
        stack.push_async_callback(informers.close)
        pods = manager.informers.get(PODS, field_selector=f"spec.nodeName={node_name}")
        stack.callback(manager.informers.release, pods)
        session = ProviderSession(
            node_name, virtual_node.spec.cluster_id, runtime.options.cluster_id, client, informers, pods
        )
        work = _Work(runtime, virtual_node, session)
        stack.push_async_callback(work.namespaces.close)
        runtime.registry.add(session)
        stack.callback(runtime.registry.remove, session)
        await work.run()


class _Work:
    """The loops of one virtual node, wired to each other."""

    def __init__(self, runtime: Runtime, virtual_node: VirtualNode, session: ProviderSession) -> None:
        self._runtime = runtime
        self._key = virtual_node.key
        self._last = virtual_node
        self._session = session
        self._node_key = Key("", session.node_name)
        self._map_key = Key(virtual_node.metadata.namespace, session.provider_id)
        self._health = session.health
        manager = runtime.manager
        self.namespaces = OffloadedNamespaces(
            manager, runtime.options, runtime.namespace_maps, session, runtime.registry, self._map_key
        )
        self._reflection = PodReflection(
            PodContext(
                node_name=session.node_name,
                host_ip=runtime.options.pod_ip,
                pods=session.pods,
                local=manager.client,
                remote=session.client,
                remote_informers=session.informers,
                events=manager.events,
                health=session.health,
                terms=self._terms,
                wished=self.namespaces.wished,
                translation=self._translation,
                cut_off=lambda: self._cut_off,
            ),
            runtime.pod_workers(virtual_node) or WORKERS,
        )
        session.leftovers, session.shut_out = self._reflection.leftovers, self._reflection.shut_out
        self._heartbeat = Heartbeat(
            manager.client, session.client, session.health, self._node, self._health_changed
        )
        self._maps = Controller(f"namespaces of {session.node_name}", self._update_namespaces)
        self._nodes: Controller | None = None
        self._cut_off = False

    async def run(self) -> None:
        """Run them until cancelled; the first that fails ends all."""
        runtime = self._runtime
        options = runtime.options
        version = await runtime.manager.client.version()
        facts = NodeFacts(version, options.pod_ip, options.kubelet_port, options.taint_effect)
        for informer in (
            runtime.namespace_maps,
            runtime.virtual_nodes,
            runtime.nodes,
            runtime.templates,
            runtime.foreign_clusters,
        ):
            await informer.synced.wait()
        if runtime.home is not None:  # A pod made before it is known would never be told the way home.
            await runtime.home.synced()
        self._nodes = self._node_controller(facts)
        self._maps.watch(runtime.namespace_maps, self._map_keys)
        self._maps.watch(runtime.virtual_nodes, self._own_map_key)
        self._maps.watch(runtime.templates, lambda _: [self._map_key])
        removals = [
            runtime.registry.on_change(lambda: self._maps.enqueue(self._map_key)),
            runtime.foreign_clusters.add_handler(lambda *_: self._see_network()),
            runtime.virtual_nodes.add_handler(lambda *_: self._see_network()),
        ]
        if runtime.home is not None:
            removals.append(
                runtime.home.on_change(self._session.provider_id, lambda: self._reflection.revisit())
            )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._heartbeat.run())
                group.create_task(self._nodes.run())
                group.create_task(self._maps.run())
                group.create_task(self._reflection.run())
        finally:
            for remove in removals:
                remove()

    def _node_controller(self, facts: NodeFacts) -> Controller:
        runtime = self._runtime
        reconciler = NodeReconciler(
            runtime.manager.client,
            runtime.nodes,
            self._health,
            facts,
            self._node_wish,
            runtime.networking,
            self._node_refused,
        )
        controller = Controller(f"node {self._session.node_name}", reconciler.reconcile)
        own = self._node_key
        controller.watch(runtime.nodes, lambda node: [own] if node.key == own else [])
        controller.watch(runtime.virtual_nodes, lambda node: [own] if node.key == self._key else [])
        provider = Key("", self._session.provider_id)
        controller.watch(runtime.foreign_clusters, lambda peer: [own] if peer.key == provider else [])
        controller.watch(runtime.templates, lambda template: [own] if self._has(template) else [])
        return controller

    def _node_wish(self) -> VirtualNode | None:
        found = self._virtual_node()
        return None if found is None else self._runtime.with_extras(found)

    def _node_refused(self, reason: str) -> None:
        if reason != self._session.node_refused:
            self._session.node_refused = reason
            self._runtime.registry.tell()

    def _has(self, template: Template) -> bool:
        """Whether the virtual node has that template."""
        found = self._virtual_node() or self._last
        return template_of(found.spec, self._runtime.options.namespace) == template.key

    async def _update_namespaces(self, _: Key) -> float | None:
        found = self._virtual_node() or self._last
        terms = ReflectionTerms(
            self._terms().identity,
            default_class(found.spec.load_balancer_classes),
            plan_reflectors(self._runtime.template(found)),
        )
        await self.namespaces.update(self._reflection, terms)
        return None

    def _map_keys(self, map_: NamespaceMap) -> list[Key]:
        return [self._map_key] if is_map_of(map_, *self._map_key) else []

    def _own_map_key(self, virtual_node: VirtualNode) -> list[Key]:
        return [self._map_key] if virtual_node.key == self._key else []

    def _virtual_node(self) -> VirtualNode | None:
        found = self._runtime.virtual_nodes.get(self._key)
        if found is not None:
            self._last = found
        return found

    def _terms(self) -> Terms:
        return self._runtime.terms(self._virtual_node() or self._last)

    def _translation(self) -> Callable[[str], str] | None:
        home = self._runtime.home
        return None if home is None else home.translation(self._session.provider_id)

    def _see_network(self) -> None:
        """Have the pods looked at again when the network to the provider comes or goes."""
        cut_off = self._runtime.networking(self._virtual_node() or self._last) is False
        if cut_off != self._cut_off:
            self._cut_off = cut_off
            self._reflection.revisit()

    def _node(self) -> NodeObject | None:
        return self._runtime.nodes.get(self._node_key)

    def _health_changed(self) -> None:
        if self._nodes is not None:
            self._nodes.enqueue(self._node_key)
        if self._health.reachable or self._health.lost:
            self._reflection.revisit()

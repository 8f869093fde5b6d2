"""The controller of VirtualNodes: for each one a task, its finalizer, its conditions, and its orderly end.

The task runs as long as the VirtualNode is there and its credentials can be read. Renewed credentials for the same
server are handed to the running task; it is started anew for another server, and where the old ones were refused
already. A kubeconfig Secret that vanishes stops nothing that runs: the last pods are still to be ended through it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import time

from isthmus.api import labels
from isthmus.api.offloading import VIRTUAL_NODES, VirtualNode
from isthmus.kube.builtin import NODES, SECRETS, Secret
from isthmus.kube.credentials import Credentials, parse_kubeconfig
from isthmus.kube.errors import ConfigurationError, NotFound
from isthmus.kube.objects import Key, Object
from isthmus.kube.reconcile import Controller
from isthmus.offloading.pods.reflection import WORKERS as WORKERS_OF_PODS
from isthmus.offloading.virtualnode.conditions import State, plan_conditions
from isthmus.offloading.virtualnode.node import NodeObject, creates_node, is_ours
from isthmus.offloading.virtualnode.retirement import (
    UNHURRIED,
    Situation,
    drain,
    has_leftovers,
    remove_node,
    situation_of,
)
from isthmus.offloading.virtualnode.runtime import Runtime
from isthmus.offloading.virtualnode.task import run_virtual_node

logger = logging.getLogger(__name__)

WORKERS = 8
RECHECK = 60.0
"""Seconds between looks at a kubeconfig Secret that carries no label to be watched by."""

_RUNNING = State("Running")


class VirtualNodeController:
    """Keeps a task for every VirtualNode of the cluster."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._client = runtime.manager.client
        self._tasks = runtime.manager.tasks
        self._credentials: dict[Key, Credentials] = {}
        """Of each VirtualNode with a task, as they were read last."""

    def controller(self) -> Controller:
        """The loop, fed by VirtualNodes, their Nodes and Secrets, and the comings and goings of their tasks."""
        runtime = self._runtime
        controller = Controller("virtualnode", self.reconcile, workers=WORKERS)
        controller.watch(runtime.virtual_nodes)
        controller.watch(runtime.nodes, self._keys_of_node)
        controller.watch(runtime.foreign_clusters, self._keys_of_peer)
        secrets = runtime.manager.informers.get(SECRETS.partial(), label_selector=labels.IDENTITY_TYPE)
        controller.watch(secrets, self._keys_of_secret)

        def revisit() -> None:
            for virtual_node in runtime.virtual_nodes.list():
                controller.enqueue(virtual_node.key)

        runtime.registry.on_change(revisit)
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Bring one VirtualNode's task, Node and conditions to what it asks for."""
        virtual_node = self._runtime.virtual_nodes.get(key)
        if virtual_node is None:
            await self._stop(key)
            return None
        if virtual_node.deleting:
            return await self._retire(virtual_node)
        await self._add_finalizer(virtual_node)
        kubelet = await self._ensure_task(virtual_node)
        if not creates_node(virtual_node):
            return await self._without_node(virtual_node, kubelet)
        node = self._runtime.nodes.get(Key("", key.name))
        await self._report(virtual_node, kubelet, self._node_state(virtual_node, node))
        return RECHECK

    def _node_state(self, virtual_node: VirtualNode, node: Object | None) -> State:
        session = self._runtime.registry.session(virtual_node.metadata.name)
        refused = "" if session is None else session.node_refused
        status = "Creating" if node is None else "Running"
        return State(status, "NodeRefused", refused) if refused else State(status)

    async def _ensure_task(self, virtual_node: VirtualNode) -> State:
        """Start, keep or restart the task; says how far it is."""
        task = _task_name(virtual_node.key)
        taken = await self._taken(virtual_node)
        if taken:
            await self._stop(virtual_node.key)
            return State("Creating", "NameTaken", taken)
        try:
            credentials = await self._read_credentials(virtual_node)
        except ConfigurationError as error:
            if task in self._tasks.names():
                return State("Running", "KubeconfigUnusable", str(error))
            return State("Creating", "KubeconfigUnusable", str(error))
        fault = ""
        if not self._start(virtual_node, credentials):
            fault = await self._renew(virtual_node, credentials)
        session = self._runtime.registry.session(virtual_node.metadata.name)
        if session is None:
            return State("Creating")
        return State("Running", "KubeconfigUnusable", fault) if fault else _RUNNING

    def _start(self, virtual_node: VirtualNode, credentials: Credentials) -> bool:
        """Have the task run, with the latest credentials there are when it (re)starts; whether it was (re)started."""
        key = virtual_node.key
        self._credentials[key] = credentials
        return self._tasks.ensure(
            _task_name(key),
            self._fingerprint(virtual_node, credentials),
            lambda: run_virtual_node(self._runtime, virtual_node, self._credentials[key]),
        )

    async def _renew(self, virtual_node: VirtualNode, credentials: Credentials) -> str:
        """Hand changed credentials to the running task; says what is wrong with them, "" for nothing."""
        session = self._runtime.registry.session(virtual_node.metadata.name)
        if session is None or session.client.credentials == credentials:
            return ""
        if session.health.reachable:
            try:
                session.client.renew(credentials)
            except ConfigurationError as error:
                return f"the renewed credentials cannot be used, the old ones go on: {error}"
            logger.info("renewed: node=%s", session.node_name)
            return ""
        # Whatever was refused with the old ones pauses for long: begin anew.
        await self._tasks.stop(_task_name(virtual_node.key))
        self._start(virtual_node, credentials)
        return ""

    async def _stop(self, key: Key) -> None:
        await self._tasks.stop(_task_name(key))
        self._credentials.pop(key, None)

    async def _taken(self, virtual_node: VirtualNode) -> str:
        """Why the name cannot be this VirtualNode's, "" where it can: pods are told apart by their node's name."""
        rival = self._rival(virtual_node)
        if rival is not None:
            return f"VirtualNode {rival} has the same name, and a Node can stand for one only"
        name = virtual_node.metadata.name
        node: Object | None = self._runtime.nodes.get(Key("", name))
        if node is None:
            node = await self._client.find(NODES.partial(), name)
        if node is not None and not is_ours(node, virtual_node):
            return f"Node {name} exists already and does not stand for cluster {virtual_node.spec.cluster_id}"
        return ""

    def _rival(self, virtual_node: VirtualNode) -> Key | None:
        """An older VirtualNode of the same name in another namespace."""
        own = virtual_node.metadata
        for other in self._runtime.virtual_nodes.list():
            found = other.metadata
            if found.name == own.name and found.namespace != own.namespace:
                age, own_age = (m.creation_timestamp or "" for m in (found, own))
                if (age, found.namespace) < (own_age, own.namespace):
                    return other.key
        return None

    async def _read_credentials(self, virtual_node: VirtualNode) -> Credentials:
        """The slice's kubeconfig. Raises ConfigurationError naming the Secret and what is wrong with it."""
        reference = virtual_node.spec.kubeconfig_secret_ref
        if reference is None or not reference.name:
            raise ConfigurationError(
                f"VirtualNode {virtual_node.key}: spec.kubeconfigSecretRef.name is not set"
            )
        place = Key(virtual_node.metadata.namespace, reference.name)
        secret: Secret | None = await self._client.find(SECRETS, place.name, place.namespace)
        if secret is None:
            raise ConfigurationError(f"Secret {place} with the provider's kubeconfig does not exist")
        try:
            kubeconfig = base64.b64decode(secret.data.get("kubeconfig", ""), validate=True)
        except binascii.Error as error:
            raise ConfigurationError(f"Secret {place}: kubeconfig is not base64: {error}") from None
        if not kubeconfig:
            raise ConfigurationError(f"Secret {place} has no key kubeconfig")
        return parse_kubeconfig(kubeconfig, source=f"Secret {place}")

    def _fingerprint(self, virtual_node: VirtualNode, credentials: Credentials) -> str:
        identity = self._runtime.terms(virtual_node).identity
        digest = hashlib.sha256()
        for part in (
            credentials.server,
            credentials.ca_data,
            credentials.tls_server_name,
            credentials.proxy_url,
            credentials.namespace,
            virtual_node.metadata.uid,
            identity.provider_id,
            *sorted(identity.labels_not_reflected),
            "/",
            *sorted(identity.annotations_not_reflected),
        ):
            digest.update(part.encode() + b"\0")
        digest.update(str(self._runtime.pod_workers(virtual_node) or WORKERS_OF_PODS).encode())
        return digest.hexdigest()

    async def _without_node(self, virtual_node: VirtualNode, kubelet: State) -> float | None:
        """createNode is false: no Node, but reflection goes on."""
        name = virtual_node.metadata.name
        if self._runtime.nodes.get(Key("", name)) is None:
            await self._report(virtual_node, kubelet, State("None"))
            return RECHECK

        async def report(state: State) -> None:
            await self._report(virtual_node, kubelet, state)

        if not await drain(self._runtime, virtual_node, Situation(0.0, hopeless=False), report):
            return UNHURRIED
        await remove_node(self._runtime, virtual_node)
        return UNHURRIED

    async def _retire(self, virtual_node: VirtualNode) -> float | None:
        """The VirtualNode is being deleted."""
        if labels.FINALIZER_VIRTUAL_NODE not in virtual_node.metadata.finalizers:
            await self._stop(virtual_node.key)
            return None
        if self._rival(virtual_node) is None:
            await self._resume(virtual_node)
            has_task = _task_name(virtual_node.key) in self._tasks.names()
            situation = situation_of(self._runtime, virtual_node, has_task=has_task)

            async def report(state: State) -> None:
                await self._report(virtual_node, _RUNNING, state)

            if not await drain(self._runtime, virtual_node, situation, report):
                return situation.pause
            await remove_node(self._runtime, virtual_node)
            if has_leftovers(self._runtime, virtual_node, situation):
                await self._report(virtual_node, _RUNNING, State("Deleting"))
                return situation.pause
        await self._stop(virtual_node.key)
        if self._rival(virtual_node) is None:
            # What the task had begun before it learnt of the end may have made the Node once more.
            await remove_node(self._runtime, virtual_node)
        await self._drop_finalizer(virtual_node)
        return None

    async def _resume(self, virtual_node: VirtualNode) -> None:
        """After a restart of this process the task is needed once more to end what is left at the provider."""
        task = _task_name(virtual_node.key)
        if task in self._tasks.names():
            return
        try:
            credentials = await self._read_credentials(virtual_node)
        except ConfigurationError as error:
            logger.warning("the provider of %s cannot be told of its end: %s", virtual_node.key, error)
            return
        self._start(virtual_node, credentials)

    async def _report(self, virtual_node: VirtualNode, kubelet: State, node: State) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = plan_conditions(virtual_node, kubelet, node, now)
        if not conditions:
            return
        place = virtual_node.metadata
        patch = {"metadata": {"uid": place.uid}, "status": {"conditions": conditions}}
        try:
            await self._client.patch(
                VIRTUAL_NODES.partial(), place.name, patch, place.namespace, subresource="status"
            )
        except NotFound:
            return

    async def _add_finalizer(self, virtual_node: VirtualNode) -> None:
        present = virtual_node.metadata.finalizers
        if labels.FINALIZER_VIRTUAL_NODE not in present:
            await self._set_finalizers(virtual_node, [*present, labels.FINALIZER_VIRTUAL_NODE])

    async def _drop_finalizer(self, virtual_node: VirtualNode) -> None:
        present = virtual_node.metadata.finalizers
        kept = [name for name in present if name != labels.FINALIZER_VIRTUAL_NODE]
        await self._set_finalizers(virtual_node, kept)

    async def _set_finalizers(self, virtual_node: VirtualNode, finalizers: list[str]) -> None:
        place = virtual_node.metadata
        metadata = {"resourceVersion": place.resource_version, "finalizers": finalizers}
        try:
            await self._client.patch(
                VIRTUAL_NODES.partial(), place.name, {"metadata": metadata}, place.namespace
            )
        except NotFound:
            return

    def _keys_of_node(self, node: NodeObject) -> list[Key]:
        return [v.key for v in self._runtime.virtual_nodes.list() if v.metadata.name == node.metadata.name]

    def _keys_of_peer(self, peer: Object) -> list[Key]:
        return [v.key for v in self._runtime.virtual_nodes.list() if v.spec.cluster_id == peer.metadata.name]

    def _keys_of_secret(self, secret: Object) -> list[Key]:
        return [
            v.key
            for v in self._runtime.virtual_nodes.list(secret.metadata.namespace)
            if v.spec.kubeconfig_secret_ref is not None
            and v.spec.kubeconfig_secret_ref.name == secret.metadata.name
        ]


def _task_name(key: Key) -> str:
    return f"virtual node {key}"

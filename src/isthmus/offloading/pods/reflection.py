"""The pods of one virtual node: the queue, what feeds it and the offloaded namespaces it works on.

A `PodReflection` belongs to the task of its virtual node. Each offloaded namespace is followed by a task of its
own (403 until the provider has granted access is ordinary and holds up no other namespace).
"""

from __future__ import annotations

import asyncio

from isthmus.kube.builtin import Pod
from isthmus.kube.objects import Key
from isthmus.kube.reconcile import Controller
from isthmus.kube.tasks import TaskSet
from isthmus.offloading.pods.memory import Memories
from isthmus.offloading.pods.provider import PodContext
from isthmus.offloading.pods.reconciler import PodReconciler
from isthmus.offloading.pods.turns import tokens_turn
from isthmus.offloading.pods.twin import TwinNamespace

WORKERS = 10
ACCESS_PATIENCE = 10.0
"""Seconds to get access to a twin namespace before its pods say that they wait for it."""


class PodReflection:
    """Keeps the pods of one virtual node and their ShadowPods equal."""

    def __init__(self, context: PodContext, workers: int = WORKERS) -> None:
        self._context = context
        self._twins: dict[str, TwinNamespace] = {}
        self._memories = Memories()
        self._tasks = TaskSet()
        reconciler = PodReconciler(context, self._twins, self._memories)
        self._controller = Controller(f"pods of {context.node_name}", reconciler.reconcile, workers=workers)

    def attach(self, local: str, remote: str) -> None:
        """Offload the pods of a local namespace to its twin; harmless where it is so already."""
        self._tasks.ensure(local, remote, lambda: self._follow(local, remote))

    async def detach(self, local: str) -> None:
        """The namespace is not offloaded any more: its pods fall back."""
        await self._tasks.stop(local)
        self.revisit(local)

    def revisit(self, namespace: str = "") -> None:
        """Look at every pod again, of one namespace or of all: something they depend on has changed."""
        for pod in list(self._context.pods.list(namespace)):
            self._controller.enqueue(pod.key)
        for local, twin in self._twins.items():
            if twin.ready and namespace in ("", local):
                for name in twin.names():
                    self._controller.enqueue(Key(local, name))

    def tokens_turn(self, pod: Pod) -> float:
        """Seconds until it is a pod's turn to have its first tokens made at the provider."""
        return tokens_turn(self._context, pod, self._memories.of(pod))

    def tokens_over(self, pod: Pod) -> None:
        """The first attempt at a pod's tokens is over: its ShadowPod need not wait for them."""
        cached = self._context.pods.get(pod.key)
        if cached is None or cached.metadata.uid != pod.metadata.uid:
            return
        memory = self._memories.of(cached)
        if not memory.tokens_over:
            memory.tokens_over = True
            self._controller.enqueue(pod.key)

    def leftovers(self) -> int:
        """How many ShadowPods of this virtual node are known to be at the provider, and ours to delete."""
        return sum(twin.left() for twin in self._twins.values())

    def shut_out(self) -> bool:
        """Whether the provider lets us into none of the twin namespaces any more: nothing can be told to it."""
        return bool(self._twins) and all(twin.withdrawn for twin in self._twins.values())

    async def run(self) -> None:
        """Reconcile until cancelled."""
        remove = self._context.pods.add_handler(self._local_changed)
        try:
            await self._context.pods.synced.wait()
            await self._controller.run()
        finally:
            remove()
            await self._tasks.close()

    def _local_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None and not new.deleting and self._memories.is_own_write(new):
            return
        some = new or old
        if some is not None:
            self._controller.enqueue(some.key)

    async def _follow(self, local: str, remote: str) -> None:
        identity = self._context.terms().identity
        twin = TwinNamespace(local, remote, self._context.remote_informers, identity)
        self._twins[local] = twin
        try:
            twin.follow(lambda name: self._controller.enqueue(Key(local, name)))
            try:
                async with asyncio.timeout(ACCESS_PATIENCE):
                    await twin.synced()
            except TimeoutError:
                twin.barred = True
                self.revisit(local)
                await twin.synced()
            twin.ready, twin.barred = True, False
            self.revisit(local)
            await asyncio.Event().wait()
        finally:
            del self._twins[local]
            twin.close()

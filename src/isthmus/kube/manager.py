"""What a role's process shares between its controllers: one client, its informers, events and tasks.

A `Manager` is made by the role's entry point and handed to each module's `setup(manager, options)`, which
adds controllers and tasks; `run` runs them all until cancelled, and ends the process when one of them ends
with an error nobody handled (the kubelet starts it again: level-triggered, so nothing is lost).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from isthmus.kube.client import Client
from isthmus.kube.events import EventRecorder
from isthmus.kube.informer import InformerSet
from isthmus.kube.reconcile import Controller
from isthmus.kube.tasks import TaskSet


class Manager:
    """The shared parts of one process towards its own cluster."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.informers = InformerSet(client)
        self.events = EventRecorder(client)
        self.tasks = TaskSet()
        self._runnables: list[Callable[[], Awaitable[None]]] = []

    def add(self, controller: Controller) -> Controller:
        """Run a controller with the process."""
        self._runnables.append(controller.run)
        return controller

    def add_task(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function with the process, from start to end."""
        self._runnables.append(run)

    async def run(self) -> None:
        """Run everything until cancelled; the first unhandled error ends all and is raised."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_await(self.events.run))
                for runnable in self._runnables:
                    group.create_task(_await(runnable))
        finally:
            await self.tasks.close()
            await self.informers.close()


async def _await(run: Callable[[], Awaitable[None]]) -> None:
    await run()

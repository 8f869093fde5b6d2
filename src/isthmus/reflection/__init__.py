"""Reflection: what offloaded pods need of their namespace, kept equal in the twin namespace at the provider.

`setup_namespace` runs, for one namespace of one virtual node, one reconciler for each kind: `engine.py` with the
particulars of `configmaps.py` and `secrets.py`, and `podtokens.py`. The virtual node owns the task; when it is
cancelled, watches are given back and nothing remote is touched, since the provider deletes the twin namespace.
"""

from __future__ import annotations

import asyncio

from isthmus.reflection import configmaps, secrets
from isthmus.reflection.engine import Reflector
from isthmus.reflection.podtokens import TokenReflector
from isthmus.reflection.session import ReflectionSession, ReflectorOptions

__all__ = ["ReflectionSession", "ReflectorOptions", "setup_namespace"]


async def setup_namespace(session: ReflectionSession, local_namespace: str, remote_namespace: str) -> None:
    """Reflect a local namespace into its twin until cancelled; called once the provider has accepted the twin.

    What was reflected is left in place when cancelled: the provider deletes the twin with the offloading.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(TokenReflector(session, local_namespace, remote_namespace).run())
        if session.namespace_wide:
            for plan in (configmaps.plan, secrets.plan):
                reflector = Reflector(session, plan(session), local_namespace, remote_namespace)
                group.create_task(reflector.run())

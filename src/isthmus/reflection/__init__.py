"""Reflection: what offloaded pods need of their namespace, kept equal in the twin namespace at the provider.

`setup_namespace` runs, for one namespace of one virtual node, one reconciler for each kind: `engine.py` with the
particulars of `configmaps.py` and `secrets.py` (and, where the session says so, `services.py` and
`endpointslices.py`), and `podtokens.py`. The virtual node owns the task; when it is
cancelled, watches are given back and nothing remote is touched, since the provider deletes the twin namespace.
"""

from __future__ import annotations

import asyncio
from typing import Any

from isthmus.reflection import configmaps, secrets
from isthmus.reflection.engine import ReflectedKind, Reflector
from isthmus.reflection.podtokens import TokenReflector
from isthmus.reflection.session import ReflectionSession, ReflectorOptions
from isthmus.reflection.tokens import wanted_tokens

__all__ = ["ReflectionSession", "ReflectorOptions", "setup_namespace", "wanted_tokens"]


async def setup_namespace(session: ReflectionSession, local_namespace: str, remote_namespace: str) -> None:
    """Reflect a local namespace into its twin until cancelled; called once the provider has accepted the twin.

    What was reflected is left in place when cancelled: the provider deletes the twin with the offloading.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(TokenReflector(session, local_namespace, remote_namespace).run())
        if session.namespace_wide:
            for kind in _plan_kinds(session):
                group.create_task(Reflector(session, kind, local_namespace, remote_namespace).run())


def _plan_kinds(session: ReflectionSession) -> list[ReflectedKind[Any, Any]]:
    """The kinds that belong to the namespace; those of the network are not even imported without it."""
    kinds: list[ReflectedKind[Any, Any]] = [configmaps.plan(session), secrets.plan(session)]
    if session.services:
        from isthmus.reflection import endpointslices, services

        kinds += [services.plan(session), endpointslices.plan(session)]
    return kinds

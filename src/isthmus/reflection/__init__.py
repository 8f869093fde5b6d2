"""Reflection: what offloaded pods need of their namespace, kept equal in the twin namespace at the provider."""

from __future__ import annotations

from isthmus.reflection.session import ReflectionSession, ReflectorOptions

__all__ = ["ReflectionSession", "ReflectorOptions", "setup_namespace"]


async def setup_namespace(session: ReflectionSession, local_namespace: str, remote_namespace: str) -> None:
    """Reflect a local namespace into its twin until cancelled; called once the provider has accepted the twin.

    What was reflected is left in place when cancelled: the provider deletes the twin with the offloading.
    """
    raise NotImplementedError

"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

from typing import Literal

from isthmus.kube.client import Client
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource


class EventRecorder:
    """Writes core/v1 Events about objects, without ever delaying or failing the caller.

    Repeats of the same event are counted on one Event object; at most a bounded number wait.
    """

    def __init__(self, client: Client, component: str = "isthmus") -> None:
        raise NotImplementedError

    def record(
        self,
        resource: Resource[Object] | Resource[object],  # type: ignore[type-var]
        object: Object,
        reason: str,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",
    ) -> None:
        """Queue an event about `object`; `reason` is CamelCase, `message` a sentence for people."""
        raise NotImplementedError

    async def run(self) -> None:
        """Write queued events until cancelled."""
        raise NotImplementedError

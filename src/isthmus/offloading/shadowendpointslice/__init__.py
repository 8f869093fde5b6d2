"""ShadowEndpointSlices on the provider: endpoints of a consumer's Services that pods here reach (behaviour.md 4.5).

Which of their addresses are reachable the Configurations of the networking module say.
"""

from __future__ import annotations

from isthmus.kube.manager import Manager
from isthmus.offloading.shadowendpointslice.controller import ShadowEndpointSliceController
from isthmus.offloading.shadowendpointslice.mapping import Policy

__all__ = ["Policy", "setup"]


def setup(manager: Manager, policy: Policy) -> None:
    """Add the controller to the process."""
    manager.add(ShadowEndpointSliceController(manager, policy).controller())

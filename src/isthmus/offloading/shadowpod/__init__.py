"""ShadowPods on the provider: that a pod exists here for a consumer (behaviour.md 4.4, wire.md 8)."""

from __future__ import annotations

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.shadowpod.controller import ShadowPodController

__all__ = ["setup"]


def setup(manager: Manager, options: Options) -> None:
    """Add the controller to the process."""
    home = None
    if "networking" in options.modules:
        from isthmus.offloading.shadowpod.host_aliases import HomeNetwork

        home = HomeNetwork(manager)
    manager.add(ShadowPodController(manager, home, options.taint_effect).controller())

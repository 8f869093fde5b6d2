"""Virtual nodes: a provider's slice shown as a node of this cluster, each a task of the controller process.

`setup(manager, options)` adds the controller of VirtualNodes and returns the `OffloadedPods` registry, which
the kubelet API is served from.
"""

from __future__ import annotations

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.virtualnode.controller import VirtualNodeController
from isthmus.offloading.virtualnode.registry import Location, OffloadedPods, ProviderSession
from isthmus.offloading.virtualnode.runtime import make_runtime

__all__ = ["Location", "OffloadedPods", "ProviderSession", "setup"]


def setup(manager: Manager, options: Options) -> OffloadedPods:
    """Run a task for every VirtualNode with the process; the result tells where their pods are."""
    registry = OffloadedPods()
    runtime = make_runtime(manager, options, registry)
    manager.add(VirtualNodeController(runtime).controller())
    return registry

"""Virtual nodes: a provider's slice shown as a node of this cluster, each a task of the controller process.

`setup(manager, options)` adds the controller of VirtualNodes and returns the `OffloadedPods` registry, which
the kubelet API is served from.
"""

from isthmus.offloading.virtualnode.registry import Location, OffloadedPods, ProviderSession

__all__ = ["Location", "OffloadedPods", "ProviderSession"]

"""Namespaces across clusters: NamespaceOffloading and NamespaceMap on the consumer, twin namespaces on the
provider (behaviour.md 3.10, wire.md 1.2 and 6)."""

from __future__ import annotations

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.namespaces.maps import MapController
from isthmus.offloading.namespaces.offloadings import OffloadingController
from isthmus.offloading.namespaces.provider import TwinController

__all__ = ["setup"]


def setup(manager: Manager, options: Options) -> None:
    """Add the three controllers to the process."""
    manager.add(MapController(manager, options).controller())
    manager.add(OffloadingController(manager, options).controller())
    manager.add(TwinController(manager, options).controller())

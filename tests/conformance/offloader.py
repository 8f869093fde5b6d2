"""Each namespace of the suite is offloaded as it appears, under its own name, its pods to the provider alone."""

from __future__ import annotations

from isthmus.api import names
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.errors import AlreadyExists, Forbidden, NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.reconcile import Controller

SUITE = "e2e-framework"
"""The label that the suite gives its namespaces."""
OFFLOADING: Manifest = {
    "metadata": {"name": names.NAMESPACE_OFFLOADING},
    "spec": {"namespaceMappingStrategy": "EnforceSameName", "podOffloadingStrategy": "Remote"},
}


def offload_namespaces(manager: Manager) -> None:
    """Add the controller that offloads the namespaces of the suite."""
    namespaces = manager.informers.get(NAMESPACES.partial(), label_selector=SUITE)

    async def offload(key: Key) -> None:
        namespace = namespaces.get(key)
        if namespace is None or namespace.deleting:
            return
        try:
            await manager.client.create(NAMESPACE_OFFLOADINGS.partial(), OFFLOADING, key.name)
        except (AlreadyExists, NotFound, Forbidden):
            return  # It is offloaded, or ends already.

    controller = Controller("the suite's namespaces", offload, workers=4)
    controller.watch(namespaces)
    manager.add(controller)

"""What all virtual nodes of the process share: the manager, the options and the caches of this cluster."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from isthmus.api.core import FOREIGN_CLUSTERS, ForeignCluster
from isthmus.api.offloading import NAMESPACE_MAPS, VIRTUAL_NODES, NamespaceMap, OffloadingPatch, VirtualNode
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.offloading.pods.metadata import Identity
from isthmus.offloading.pods.reflection import WORKERS
from isthmus.offloading.pods.spec import Terms
from isthmus.offloading.virtualnode.home import Home
from isthmus.offloading.virtualnode.node import SELECTOR as NODE_SELECTOR
from isthmus.offloading.virtualnode.node import VIRTUAL_NODE_OBJECTS, NodeObject
from isthmus.offloading.virtualnode.registry import OffloadedPods
from isthmus.offloading.virtualnode.templates import (
    TEMPLATES,
    Template,
    template_of,
    with_extras,
    workers_of,
)

NO_PATCH = OffloadingPatch()


class Runtime(Struct, frozen=True):
    """The shared parts; one value for the whole process."""

    manager: Manager
    options: Options
    registry: OffloadedPods
    virtual_nodes: Informer[VirtualNode]
    namespace_maps: Informer[NamespaceMap]
    nodes: Informer[NodeObject]
    foreign_clusters: Informer[ForeignCluster]
    templates: Informer[Template]
    home: Home | None
    """None without the networking module."""

    def terms(self, virtual_node: VirtualNode) -> Terms:
        """On which terms pods are offloaded through a virtual node."""
        patch = virtual_node.spec.offloading_patch or NO_PATCH
        identity = Identity(
            self.options.cluster_id,
            virtual_node.spec.cluster_id,
            virtual_node.metadata.name,
            frozenset(patch.labels_not_reflected),
            frozenset(patch.annotations_not_reflected),
        )
        terms = Terms(
            identity,
            patch,
            runtime_class=self.options.runtime_class,
            takes_pods=self.pod_workers(virtual_node) > 0,
            makes_tokens=workers_of("serviceaccount", self.template(virtual_node), WORKERS) > 0,
        )
        if self.home is None or not self.home.joined(identity.provider_id):
            return terms
        server = self.home.api_server()
        return msgspec.structs.replace(terms, home=server, lacks_home=server is None)

    def foreign_cluster(self, virtual_node: VirtualNode) -> ForeignCluster | None:
        """The summary of the provider, as far as it is known."""
        return self.foreign_clusters.get(Key("", virtual_node.spec.cluster_id))

    def template(self, virtual_node: VirtualNode) -> Template | None:
        """What says how kinds are reflected through a virtual node."""
        return self.templates.get(template_of(virtual_node.spec, self.options.namespace))

    def with_extras(self, virtual_node: VirtualNode) -> VirtualNode:
        """The VirtualNode with what its template adds to the Node."""
        return with_extras(virtual_node, self.template(virtual_node))

    def pod_workers(self, virtual_node: VirtualNode) -> int:
        """How many pods are reflected at a time through a virtual node; 0 where no more are offloaded."""
        return workers_of("pod", self.template(virtual_node), WORKERS)

    def networking(self, virtual_node: VirtualNode) -> bool | None:
        """Whether the network to the provider is connected; None where that is not to be looked at."""
        if "networking" not in self.options.modules or virtual_node.spec.disable_network_check:
            return None
        foreign_cluster = self.foreign_cluster(virtual_node)
        if foreign_cluster is None or not foreign_cluster.status.modules.networking.enabled:
            return None
        conditions = foreign_cluster.status.modules.networking.conditions
        return any(c.type == "NetworkConnectionStatus" and c.status == "Established" for c in conditions)


def make_runtime(manager: Manager, options: Options, registry: OffloadedPods) -> Runtime:
    """Start the shared watches. Needs a running event loop."""
    informers = manager.informers
    networking = "networking" in options.modules
    return Runtime(
        manager=manager,
        options=options,
        registry=registry,
        virtual_nodes=informers.get(VIRTUAL_NODES),
        namespace_maps=informers.get(NAMESPACE_MAPS),
        nodes=informers.get(VIRTUAL_NODE_OBJECTS, label_selector=NODE_SELECTOR),
        foreign_clusters=informers.get(FOREIGN_CLUSTERS),
        templates=informers.get(TEMPLATES),
        home=Home(informers, options.namespace) if networking else None,
    )

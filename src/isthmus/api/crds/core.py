"""core.liqo.io: ForeignCluster."""

from __future__ import annotations

from isthmus.api.core import GROUP, VERSION
from isthmus.api.crds.schema import (
    AGE,
    Column,
    Kind,
    Schema,
    choice,
    flag,
    immutable,
    integer,
    list_of,
    structure,
    text,
)
from isthmus.api.crds.shared import cluster_id, condition

_STATUSES = ("None", "Pending", "Established", "Error", "Ready", "NotReady", "SomeNotReady")
_TYPES = (
    "APIServerStatus",
    "NetworkConnectionStatus",
    "NetworkGatewayServerStatus",
    "NetworkGatewayClientStatus",
    "NetworkGatewayPresence",
    "NetworkConfigurationStatus",
    "AuthIdentityControlPlaneStatus",
    "AuthTenantStatus",
    "OffloadingVirtualNodeStatus",
    "OffloadingNodeStatus",
)


def _conditions(doc: str) -> Schema:
    return list_of(condition(_TYPES, _STATUSES, default_status="None"), doc)


def _module(doc: str) -> Schema:
    return structure(
        doc,
        {
            "conditions": _conditions("The state of the module's parts."),
            "enabled*": flag("Whether the module is in use towards this cluster."),
        },
    )


FOREIGN_CLUSTER = Kind(
    GROUP,
    VERSION,
    "ForeignCluster",
    "foreignclusters",
    doc="A summary of everything shared with one other cluster. It is kept by the controller, never an input.",
    short_names=("fc",),
    namespaced=False,
    columns=(Column("Role", ".status.role"), Column("ClusterID", ".spec.clusterID", wide=True), AGE),
    spec=structure("Which cluster.", {"clusterID*": immutable(cluster_id("The id of the other cluster."))}),
    status=structure(
        "The summary.",
        {
            "apiServerUrl": text("URL of the other cluster's API server."),
            "conditions": _conditions("State that belongs to no single module."),
            "foreignProxyUrl": text("Proxy through which that API server is reached."),
            "modules": structure(
                "The state of each module.",
                {
                    "authentication*": _module("Identities and resource slices."),
                    "networking*": _module("The tunnel between the pod networks."),
                    "offloading*": _module("Virtual nodes."),
                },
            ),
            "observedGeneration": integer("The generation this status is of.", format="int64"),
            "role*": choice(
                "What the other cluster is to this one.",
                "Consumer",
                "Provider",
                "ConsumerAndProvider",
                "Unknown",
                default="Unknown",
            ),
            "tenantNamespace": structure(
                "The namespaces that hold the objects of this peering.",
                {
                    "local": text("Its name in this cluster."),
                    "remote": text("Its name in the other cluster."),
                },
            ),
        },
    ),
)

KINDS = (FOREIGN_CLUSTER,)

"""core.liqo.io: ForeignCluster, the summary of a peering (api-fields.md)."""

from __future__ import annotations

from msgspec import field

from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource

GROUP, VERSION = "core.liqo.io", "v1beta1"


class ForeignClusterCondition(Base, frozen=True, kw_only=True):
    """A condition; status None, Pending, Established, Error, Ready, NotReady or SomeNotReady."""

    type: str = ""
    status: str = "None"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class Module(Base, frozen=True, kw_only=True):
    """The state of one module towards a peer."""

    enabled: bool = False
    conditions: list[ForeignClusterCondition] = field(default_factory=list)


class Modules(Base, frozen=True, kw_only=True):
    """The three modules."""

    networking: Module = field(default_factory=Module)
    authentication: Module = field(default_factory=Module)
    offloading: Module = field(default_factory=Module)


class TenantNamespaces(Base, frozen=True, kw_only=True):
    """The tenant namespaces here and there."""

    local: str = ""
    remote: str = ""


class ForeignClusterSpec(Base, frozen=True, kw_only=True):
    """Which cluster."""

    cluster_id: str = field(default="", name="clusterID")


class ForeignClusterStatus(Base, frozen=True, kw_only=True):
    """The summary; role Consumer, Provider, ConsumerAndProvider or Unknown says what the peer is to us."""

    role: str = "Unknown"
    modules: Modules = field(default_factory=Modules)
    api_server_url: str = ""
    foreign_proxy_url: str = ""
    tenant_namespace: TenantNamespaces = field(default_factory=TenantNamespaces)
    conditions: list[ForeignClusterCondition] = field(default_factory=list)
    observed_generation: int = 0


class ForeignCluster(Object, frozen=True, kw_only=True):
    """One peer, named by its cluster id."""

    spec: ForeignClusterSpec = field(default_factory=ForeignClusterSpec)
    status: ForeignClusterStatus = field(default_factory=ForeignClusterStatus)


FOREIGN_CLUSTERS = Resource(
    GROUP, VERSION, "foreignclusters", "ForeignCluster", ForeignCluster, namespaced=False
)

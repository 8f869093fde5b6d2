"""What a ForeignCluster says of a peering, judged: a word for each module, and what to do where it is not well.

Pure functions over what was read.
"""

from __future__ import annotations

from isthmus.api.core import ForeignCluster, ForeignClusterCondition, Module

GOOD = frozenset({"Established", "Ready"})
PASSING = frozenset({"None", "Pending"})

_ADVICE = {
    "APIServerStatus": "check that the provider's API server runs and can be reached from the controller",
    "AuthIdentityControlPlaneStatus": "run isthmus peer again",
    "AuthTenantStatus": "look at the Tenant in the tenant namespace, and have the consumer run isthmus peer again",
    "OffloadingVirtualNodeStatus": "look at the VirtualNodes in the tenant namespace and the controller's log",
    "OffloadingNodeStatus": "kubectl describe node shows why the virtual node is not ready",
    "NetworkConfigurationStatus": "look at the Configuration in the tenant namespace",
    "NetworkGatewayPresence": "run isthmus network connect, after isthmus network disconnect where there are two",
    "NetworkGatewayServerStatus": "look at the events of the GatewayServer and its pods in the tenant namespace",
    "NetworkGatewayClientStatus": "look at the events of the GatewayClient and its pods in the tenant namespace",
    "NetworkConnectionStatus": "isthmus info peer shows what is between the gateways",
}


def judge(module: Module, others: list[ForeignClusterCondition] | None = None) -> str:
    """Disabled, Healthy, Pending or Unhealthy; `others` are conditions that count for the module as well."""
    if not module.enabled:
        return "Disabled"
    states = {condition.status for condition in [*module.conditions, *(others or [])]}
    if states <= GOOD:
        return "Healthy"
    return "Pending" if states <= GOOD | PASSING else "Unhealthy"


def alerts(conditions: list[ForeignClusterCondition]) -> list[str]:
    """One line for each condition that is not as it should be: what it says, and what to do."""
    lines = []
    for condition in conditions:
        if condition.status in GOOD:
            continue
        words = " ".join(part for part in (condition.reason, condition.message) if part)
        advice = _ADVICE.get(condition.type, "")
        lines.append(
            f"{condition.type} is {condition.status}"
            + (f" ({words})" if words else "")
            + (f": {advice}" if advice else "")
        )
    return lines


def server_conditions(found: ForeignCluster) -> list[ForeignClusterCondition]:
    """The conditions on the provider's API server; a consumer's is not checked (behaviour 3.9)."""
    return found.status.conditions if found.status.role in ("Provider", "ConsumerAndProvider") else []


def summarize(found: ForeignCluster) -> dict[str, str]:
    """A peer on one line."""
    modules = found.status.modules
    server = server_conditions(found)
    return {
        "clusterID": found.spec.cluster_id or found.metadata.name,
        "role": found.status.role,
        "authenticationStatus": judge(modules.authentication, server),
        "networkingStatus": judge(modules.networking),
        "offloadingStatus": judge(modules.offloading),
    }

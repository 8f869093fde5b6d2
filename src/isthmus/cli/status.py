"""What a ForeignCluster says of a peering, judged: a word for each module, and what to do where it is not well.

Pure functions over what was read. An alert is one line for somebody who has never heard of conditions: what is
wrong, in the cluster's own words why, and the command or the place that mends it.
"""

from __future__ import annotations

from isthmus.api.core import ForeignCluster, ForeignClusterCondition, Module
from isthmus.peering.peer_summaries import CERTIFICATE_REFUSED, IDENTITY_REFUSED

GOOD = frozenset({"Established", "Ready"})
PASSING = frozenset({"None", "Pending"})

_RENEW = (
    "have a new one with isthmus authenticate --remote-kubeconfig FILE; without access to {peer}, have its operator "
    "run isthmus generate identity --remote-cluster-id {own}, and kubectl apply -n {namespace} here what that prints"
)
_BY_REASON = {
    CERTIFICATE_REFUSED: ("{peer} does not accept the certificate of this cluster", _RENEW),
    IDENTITY_REFUSED: (
        "{peer} lets this cluster do nothing any more",
        "its operator drained this cluster, and lets it in again with isthmus activate tenant {own}; or the Tenant "
        "there is gone, then run isthmus peer again, or isthmus unpeer to end the peering",
    ),
}
_BY_TYPE = {
    "APIServerStatus": (
        "the API server of {peer} does not answer",
        "check that it runs and that this cluster reaches its address; pods that run there go on meanwhile. Is it gone "
        "for good: isthmus force unpeer {peer}",
    ),
    "AuthIdentityControlPlaneStatus": (
        "this cluster has no identity on {peer} that can be used",
        "run isthmus peer again, or isthmus authenticate",
    ),
    "AuthTenantStatus": (
        "{peer} is not admitted here",
        "kubectl describe tenant -n {namespace} says why; then have {peer}'s operator run isthmus peer again",
    ),
    "OffloadingVirtualNodeStatus": (
        "not every virtual node of {peer} is served",
        "kubectl describe virtualnode -n {namespace} says why, else the controller's log",
    ),
    "OffloadingNodeStatus": (
        "not every virtual node of {peer} is ready",
        "each is listed with its reason; kubectl describe node tells more",
    ),
    "NetworkConfigurationStatus": (
        "the address ranges agreed with {peer} do not take effect",
        "kubectl describe configuration -n {namespace} says why",
    ),
    "NetworkGatewayPresence": (
        "the networks of {peer} and this cluster are half joined",
        "run isthmus network connect, after isthmus network disconnect where there are two gateways",
    ),
    "NetworkGatewayServerStatus": (
        "the gateway towards {peer} does not run",
        "kubectl describe gatewayserver,pod -n {namespace} says why",
    ),
    "NetworkGatewayClientStatus": (
        "the gateway towards {peer} does not run",
        "kubectl describe gatewayclient,pod -n {namespace} says why",
    ),
    "NetworkConnectionStatus": (
        "the tunnel to {peer} is down",
        "check that both gateways run and that the server's UDP port is open",
    ),
}


def judge(module: Module, others: list[ForeignClusterCondition] | None = None) -> str:
    """Disabled, Healthy, Pending or Unhealthy; `others` are conditions that count for the module as well."""
    if not module.enabled:
        return "Disabled"
    states = {condition.status for condition in [*module.conditions, *(others or [])]}
    if states <= GOOD:
        return "Healthy"
    return "Pending" if states <= GOOD | PASSING else "Unhealthy"


def alerts(conditions: list[ForeignClusterCondition], found: ForeignCluster, own_id: str) -> list[str]:
    """One line for each condition that is not as it should be."""
    return [explain(one, found, own_id) for one in conditions if one.status not in GOOD]


def explain(condition: ForeignClusterCondition, found: ForeignCluster, own_id: str) -> str:
    """What is wrong, why, and what to do."""
    what, mend = _BY_REASON.get(condition.reason) or _BY_TYPE.get(
        condition.type, (f"{condition.type} is {condition.status}", "")
    )
    filled = names_of(found, own_id)
    cause = condition.message or condition.reason
    line = what.format(**filled) + (f" ({cause})" if cause else "")
    return line + (f": {mend.format(**filled)}" if mend else "")


def names_of(found: ForeignCluster, own_id: str) -> dict[str, str]:
    """What the sentences are filled in with."""
    peer = found.spec.cluster_id or found.metadata.name
    return {
        "peer": peer,
        "own": own_id,
        "namespace": found.status.tenant_namespace.local or f"liqo-tenant-{peer}",
    }


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

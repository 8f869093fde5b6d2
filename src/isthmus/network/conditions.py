"""The networking part of a ForeignCluster: what its objects say of the tunnel to a peer (behaviour.md 3.9). Pure.

Whoever writes ForeignClusters calls `summarize_networking` with the objects about one peer, found by their label.
A missing Deployment is a gateway that is not ready, not an error: it must not block the rest of the summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from isthmus.api.networking import (
    Configuration,
    Connection,
    GatewayClient,
    GatewayServer,
)
from isthmus.network.gateways.objects import GatewayDeployment, gateway_name

CONFIGURATION, CONNECTION = "NetworkConfigurationStatus", "NetworkConnectionStatus"
PRESENCE = "NetworkGatewayPresence"
SERVER, CLIENT = "NetworkGatewayServerStatus", "NetworkGatewayClientStatus"

Finding = tuple[str, str, str, str]
"""A condition: type, status, reason, message."""


class NetworkFacts(Struct, frozen=True, kw_only=True):
    """The objects that are about one peer in its tenant namespace; Deployments by name."""

    configurations: Sequence[Configuration] = ()
    connections: Sequence[Connection] = ()
    servers: Sequence[GatewayServer] = ()
    clients: Sequence[GatewayClient] = ()
    deployments: Mapping[str, GatewayDeployment] = {}

    @property
    def enabled(self) -> bool:
        """Whether the networking module is in use with the peer: any of its objects is there."""
        return bool(self.configurations or self.connections or self.servers or self.clients)


def summarize_networking(facts: NetworkFacts) -> list[Finding]:
    """The conditions of the networking module, none where it is not in use."""
    if not facts.enabled:
        return []
    findings = [_rule_on_configuration(facts), _rule_on_presence(facts)]
    findings += [_rule_on_gateway(SERVER, "GatewayServer", one, facts) for one in facts.servers[:1]]
    findings += [_rule_on_gateway(CLIENT, "GatewayClient", one, facts) for one in facts.clients[:1]]
    if facts.connections or facts.servers or facts.clients:
        findings.append(_rule_on_connection(facts))
    return findings


def is_configured(configuration: Configuration) -> bool:
    """Whether the peer's ranges, as they stand in the spec, are assigned here."""
    return any(
        one.type == "NetworkCIDRsConfigured"
        and one.status == "True"
        and one.observed_generation == configuration.metadata.generation
        for one in configuration.status.conditions
    )


def _rule_on_configuration(facts: NetworkFacts) -> Finding:
    if not facts.configurations:
        return CONFIGURATION, "NotReady", "ConfigurationMissing", "there is no Configuration for the peer"
    if len(facts.configurations) > 1:
        count = len(facts.configurations)
        message = f"there are {count} Configurations for the peer, and there must be one"
        return CONFIGURATION, "Error", "ConfigurationAmbiguous", message
    configuration = facts.configurations[0]
    if is_configured(configuration):
        return CONFIGURATION, "Ready", "ConfigurationReady", "the peer's address ranges are assigned"
    said = next(
        (one.message for one in configuration.status.conditions if one.type == "NetworkCIDRsConfigured"), ""
    )
    message = said or "the peer's address ranges are not assigned yet"
    return CONFIGURATION, "NotReady", "ConfigurationNotReady", message


def _rule_on_presence(facts: NetworkFacts) -> Finding:
    if facts.servers and facts.clients:
        message = "there is a GatewayServer and a GatewayClient for the peer, and a peer has one tunnel"
        return PRESENCE, "Error", "GatewayAmbiguous", message
    if facts.servers or facts.clients:
        kind = "GatewayServer" if facts.servers else "GatewayClient"
        return PRESENCE, "Ready", "GatewayPresent", f"there is a {kind} for the peer"
    return PRESENCE, "NotReady", "GatewayMissing", "there is no gateway for the peer"


def _rule_on_gateway(
    type_: str, kind: str, gateway: GatewayServer | GatewayClient, facts: NetworkFacts
) -> Finding:
    name = gateway_name(gateway.metadata.name)
    deployment = facts.deployments.get(name)
    if deployment is None:
        return (
            type_,
            "NotReady",
            f"{kind}NotReady",
            f"Deployment {name} does not exist: see the {kind}'s events",
        )
    ready, unavailable = deployment.status.ready_replicas, deployment.status.unavailable_replicas
    wanted = max(deployment.spec.replicas, ready + unavailable)
    status = "NotReady" if ready == 0 else "SomeNotReady" if ready < wanted or unavailable else "Ready"
    return type_, status, f"{kind}{status}", f"{ready} of {wanted} pods of Deployment {name} ready"


def _rule_on_connection(facts: NetworkFacts) -> Finding:
    if not facts.connections:
        message = "there is no Connection yet: the gateway does not run, or has no PublicKey of the peer"
        return CONNECTION, "Pending", "ConnectionPending", message
    if len(facts.connections) > 1:
        message = f"there are {len(facts.connections)} Connections to the peer, and there must be one"
        return CONNECTION, "Error", "ConnectionAmbiguous", message
    status = facts.connections[0].status
    if status.value == "Connected":
        # Without the latency: each new figure would write every ForeignCluster anew.
        return CONNECTION, "Established", "ConnectionEstablished", "the tunnel is up"
    if status.value in ("Connecting", ""):
        return CONNECTION, "Pending", "ConnectionPending", "the tunnel is being set up"
    return CONNECTION, "Error", "ConnectionError", "the peer's gateway does not answer"

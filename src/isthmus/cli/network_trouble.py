"""What a user is told when the tunnel between two clusters does not come about: the fault, the side, the mend. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from isthmus.api.networking import Configuration, Connection, Endpoint, ServerEndpoint
from isthmus.cli.errors import CommandError
from isthmus.network.configuration.forge import CONFIGURED, FORBIDDEN, INVALID, TAKEN


class RefusedGatewayError(CommandError):
    """A gateway that cannot be made as it is asked for."""


_HOPELESS = (FORBIDDEN, INVALID, TAKEN)


def find_rejection(configuration: Configuration | None) -> tuple[str, bool]:
    """Why a Configuration does not take effect, and whether it never will as it stands; "" for no reason given."""
    if configuration is None:
        return "not there", False
    for condition in configuration.status.conditions:
        if condition.type == CONFIGURED and condition.status != "True":
            current = condition.observed_generation == configuration.metadata.generation
            return condition.message or condition.reason, current and condition.reason in _HOPELESS
    return "", False


def explain_rejection(cluster: str, configuration: Configuration, reason: str) -> CommandError:
    """A Configuration that its cluster does not accept."""
    return CommandError(
        f"{cluster} does not accept the address ranges in Configuration {configuration.key}: {reason}",
        "fix this and run the command again, or isthmus network reset to undo what was made",
    )


def explain_refusal(
    cluster: str, kind: str, name: str, reason: str, exposure: ServerEndpoint
) -> RefusedGatewayError:
    """A gateway that its cluster's controller cannot make; `reason` is what it says in the events."""
    port = exposure.node_port
    if port and _is_about_node_port(reason):
        if "allocated" in reason:
            return RefusedGatewayError(
                f"--gw-server-service-nodeport {port}: the port is already in use in {cluster} ({reason})",
                "give another port, or leave the flag out for a free one",
            )
        if "range" in reason:
            return RefusedGatewayError(
                f"--gw-server-service-nodeport {port}: {cluster} does not allow that node port ({reason})",
                "give a port of its range, usually 30000 to 32767, or leave the flag out",
            )
    return RefusedGatewayError(
        f"{cluster} cannot make the gateway of {kind} {name}: {reason}", "fix this and run the command again"
    )


def is_final(reason: str, exposure: ServerEndpoint) -> bool:
    """Whether a refusal of a gateway does not pass by itself: a node port that the cluster has not got."""
    return bool(exposure.node_port) and _is_about_node_port(reason) and "range" in reason


def _is_about_node_port(reason: str) -> bool:
    return re.search(r"node_?port", reason, re.IGNORECASE) is not None


def explain_no_address(cluster: str, service: str, exposure: ServerEndpoint, waited: str) -> CommandError:
    """A gateway server that got no address."""
    if exposure.service_type == "LoadBalancer":
        wished = f" {exposure.load_balancer_ip}" if exposure.load_balancer_ip else ""
        return CommandError(
            f"{cluster} has no load balancer provider that assigned an address to Service {service}"
            f"{wished and ' (wished:' + wished + ')'} after {waited}",
            "run this again with --gw-server-service-type NodePort, or install a load balancer there",
        )
    return CommandError(
        f"Service {service} of {cluster}, of type {exposure.service_type}, has no address after {waited}",
        f"look at the gateway's pod and at the addresses of the nodes of {cluster}",
    )


def explain_silence(
    server: str, client: str, endpoint: Endpoint, exposure: ServerEndpoint, states: Sequence[tuple[str, str]]
) -> CommandError:
    """A tunnel whose ends do not reach each other; `states` pairs a cluster's id with its Connection's value."""
    seen = ", ".join(f"{cluster} says {value or 'nothing'}" for cluster, value in states)
    address = f"{endpoint.addresses[0] if endpoint.addresses else '?'}:{endpoint.port}/{endpoint.protocol}"
    if exposure.service_type == "ClusterIP":
        mend = (
            f"the address of a Service of type ClusterIP is seldom reached from outside {server}: use "
            "--gw-server-service-type NodePort, or set --gw-client-address"
        )
    else:
        mend = f"open the port towards {server}, or set --gw-client-address to where {client} reaches it"
    return CommandError(
        f"{server}'s gateway at {address} does not answer from {client}'s gateway ({seen})", mend
    )


def describe_connection(connection: Connection | None) -> str:
    """The state of a Connection in a word or two."""
    if connection is None:
        return "no Connection yet"
    return connection.status.value or "Connecting"

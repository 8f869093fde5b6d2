"""What a ForeignCluster says of the network, from the objects about the peer."""

from __future__ import annotations

import pytest

from isthmus.api.networking import (
    Condition,
    Configuration,
    ConfigurationStatus,
    Connection,
    ConnectionStatus,
    GatewayClient,
    GatewayServer,
)
from isthmus.kube.objects import ObjectMeta
from isthmus.network.conditions import NetworkFacts, summarize_networking
from isthmus.network.gateways.objects import DeploymentSpec, DeploymentStatus, GatewayDeployment

SERVER = GatewayServer(metadata=ObjectMeta(name="milan"))
CLIENT = GatewayClient(metadata=ObjectMeta(name="milan"))


def configuration(status: str, observed: int = 2) -> Configuration:
    condition = Condition(
        type="NetworkCIDRsConfigured", status=status, observed_generation=observed, message="why"
    )
    return Configuration(
        metadata=ObjectMeta(name="milan", generation=2), status=ConfigurationStatus(conditions=[condition])
    )


def statuses(facts: NetworkFacts) -> dict[str, str]:
    return {type_: status for type_, status, _, _ in summarize_networking(facts)}


def test_a_peer_without_networking_has_no_conditions() -> None:
    assert summarize_networking(NetworkFacts()) == []


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (configuration("True"), "Ready"),
        (configuration("False"), "NotReady"),
        (configuration("True", observed=1), "NotReady"),
        (Configuration(), "NotReady"),
    ],
)
def test_a_configuration_counts_at_its_present_generation(given: Configuration, status: str) -> None:
    found = statuses(NetworkFacts(configurations=[given]))
    assert found == {"NetworkConfigurationStatus": status, "NetworkGatewayPresence": "NotReady"}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("Connected", "Established"),
        ("Connecting", "Pending"),
        ("", "Pending"),
        ("Error", "Error"),
        ("?", "Error"),
    ],
)
def test_a_connection_is_told_as_it_is(value: str, status: str) -> None:
    connection = Connection(status=ConnectionStatus(value=value))
    found = statuses(NetworkFacts(connections=[connection], clients=[CLIENT]))
    assert found["NetworkConnectionStatus"] == status


def test_a_gateway_without_a_connection_is_pending_and_one_without_a_deployment_not_ready() -> None:
    found = statuses(NetworkFacts(servers=[SERVER]))
    assert found["NetworkConnectionStatus"] == "Pending"
    assert found["NetworkGatewayServerStatus"] == "NotReady"
    assert found["NetworkGatewayPresence"] == "Ready"
    assert "NetworkGatewayClientStatus" not in found


@pytest.mark.parametrize(
    ("replicas", "ready", "unavailable", "status"),
    [
        (1, 1, 0, "Ready"),
        (1, 0, 1, "NotReady"),
        (3, 1, 2, "SomeNotReady"),
        (3, 3, 0, "Ready"),
        (1, 0, 0, "NotReady"),
    ],
)
def test_a_gateway_is_as_ready_as_its_pods(replicas: int, ready: int, unavailable: int, status: str) -> None:
    deployment = GatewayDeployment(
        spec=DeploymentSpec(replicas=replicas),
        status=DeploymentStatus(ready_replicas=ready, unavailable_replicas=unavailable),
    )
    found = statuses(NetworkFacts(clients=[CLIENT], deployments={"gw-milan": deployment}))
    assert found["NetworkGatewayClientStatus"] == status


def test_a_server_and_a_client_for_one_peer_are_an_error() -> None:
    assert statuses(NetworkFacts(servers=[SERVER], clients=[CLIENT]))["NetworkGatewayPresence"] == "Error"

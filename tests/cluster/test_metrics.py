"""`install --enable-metrics` in a peered cluster: where Prometheus finds the gateways, and what it reads there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.networking.labs import install
from tests.cluster.support import Cluster, custom_kind, eventually

NAMESPACE = "liqo-tenant-milan"
MONITORS = custom_kind("monitoring.coreos.com", "ServiceMonitor", "servicemonitors", "Namespaced")
"""The kind of Prometheus' operator."""


@pytest.fixture
def monitored(peered: tuple[Cluster, Cluster]) -> Iterator[Cluster]:
    """Rome with Prometheus' kind and with metrics, which the test ends; as before afterwards."""
    rome, _ = peered
    rome.define(MONITORS)
    install(rome, "--enable-metrics")
    yield rome
    if metrics_services(rome):
        install(rome)
    rome.kubectl("delete", "crd", MONITORS["metadata"]["name"])


def metrics_services(cluster: Cluster) -> list[dict[str, Any]]:
    return [
        one
        for one in cluster.items("services", "-n", NAMESPACE)
        if one["metadata"]["name"].endswith("-metrics")
    ]


def test_prometheus_finds_the_gateways(monitored: Cluster) -> None:
    eventually(lambda: metrics_services(monitored), within=60, what="the Service of the gateway's metrics")
    (service,) = metrics_services(monitored)
    name = service["metadata"]["name"]
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{name}:metrics/proxy/metrics"
    eventually(
        lambda: "isthmus_tunnel_connected 1.0" in monitored.kubectl("get", "--raw", path).stdout,
        within=60,
        what="a connected tunnel in the metrics",
    )
    eventually(
        lambda: monitored.items("servicemonitors.monitoring.coreos.com", "-n", NAMESPACE),
        within=60,
        what="the ServiceMonitor",
    )
    (monitor,) = monitored.items("servicemonitors.monitoring.coreos.com", "-n", NAMESPACE)
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"
    install(monitored)
    eventually(lambda: not metrics_services(monitored), within=60, what="the end of the metrics")
    assert not monitored.items("servicemonitors.monitoring.coreos.com", "-n", NAMESPACE)

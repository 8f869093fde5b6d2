"""Configurations as the API server would show them."""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.networking import Cidrs, ClusterRanges, Configuration, ConfigurationSpec, ConfigurationStatus
from isthmus.kube.objects import ObjectMeta


def configuration(
    pod: list[str],
    external: list[str],
    *,
    local: Cidrs | None = None,
    generation: int = 1,
    status: ConfigurationStatus | None = None,
) -> Configuration:
    return Configuration(
        metadata=ObjectMeta(
            name="milan",
            namespace="liqo-tenant-milan",
            uid="uid-milan",
            resource_version="7",
            generation=generation,
            labels={labels.REMOTE_CLUSTER_ID: "milan"},
        ),
        spec=ConfigurationSpec(
            local=None if local is None else ClusterRanges(cidr=local),
            remote=ClusterRanges(cidr=Cidrs(pod=pod, external=external)),
        ),
        status=status or ConfigurationStatus(),
    )

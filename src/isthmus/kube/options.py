"""What a role's process was started with: the facts every module's `setup` needs, as one value.

They come from environment variables that the manifests set (downward API and literals), never from a file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from isthmus.kube.errors import ConfigurationError


class Options(Struct, frozen=True, kw_only=True):
    """The facts of one installation, as the controller was started with them."""

    cluster_id: str
    """The id of this cluster (a DNS label)."""
    namespace: str = "liqo"
    """Where Isthmus itself runs."""
    pod_name: str = "controller"
    """The name of this pod: the identity in leader election."""
    pod_ip: str = "127.0.0.1"
    """The address virtual nodes advertise as theirs."""
    replicas: int = 1
    """How many controllers there are, of which one leads."""
    modules: frozenset[str] = frozenset({"authentication", "offloading"})
    """Which of authentication, offloading and networking run."""
    api_server_address: str = ""
    """What peers are told as our API server's URL; "" finds it from a control-plane node."""
    api_server_ca: str = ""
    """PEM told to peers beside it; "" takes the authority of our own service account."""
    trusted_ca: bool = False
    """Whether the API server's certificate is publicly trusted, so that peers are told no authority."""
    cluster_labels: dict[str, str] = {}
    """Labels that peers see on the virtual node."""
    key_type: str = "Ed25519"
    """Ed25519, or RSA-2048 in TLS compatibility mode."""
    enforcement: bool = True
    """Whether ShadowPods are checked against their Quota."""
    privileged_pods: bool = False
    """Whether consumers' pods may reach into the nodes they run on."""
    default_limits_enforcement: str = "None"
    """limitsEnforcement of the Quotas made here: None, Soft or Hard."""
    default_slice_class_enabled: bool = True
    """Whether slices of the default class are granted."""
    default_node_resources: dict[str, str] = field(
        default_factory=lambda: {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "20Gi"}
    )
    """What a slice is granted of resources it did not name."""
    load_balancer_classes: list[dict[str, Any]] = []
    """The classes of load balancers that consumers are told of, as a ResourceSlice's status has them."""
    ingress_classes: list[dict[str, Any]] = []
    """The classes of Ingresses that consumers are told of."""
    runtime_class: str = "liqo"
    """The name of the RuntimeClass with which a pod asks for a virtual node; it means nothing on a provider."""
    taint_effect: str = "NoExecute"
    """Of the taint of virtual nodes: NoExecute, NoSchedule or PreferNoSchedule."""
    kubelet_port: int = 10250
    """Where the kubelet API of the virtual nodes listens."""
    webhook_port: int = 9443
    """Where admission webhooks listen."""
    health_port: int = 8081
    """Where /healthz, /readyz and /metrics listen."""
    api_server_check_interval: float = 15.0
    """Seconds between checks of a provider's API server; 0 never checks."""
    deny_direct_connections: bool = False
    """Whether pods of third clusters that a consumer names by their own addresses are left out."""
    ipam_pools: list[str] = []
    """CIDRs that remapped ranges are taken from; none takes IPAM's own."""
    proxy_port: int = 0
    """Where the proxy for peers that cannot reach our API server directly listens; 0 runs none."""
    api_server_through_endpoint_slices: bool = False
    """Whether peers' pods are led to the API server's own addresses and not to its ClusterIP."""


def options_from_environment(environment: Mapping[str, str] | None = None) -> Options:
    """Read Options from `ISTHMUS_OPTIONS` (JSON of the fields) and POD_NAME, POD_IP, POD_NAMESPACE.

    Raises ConfigurationError naming the variable and the fault.
    """
    import msgspec

    env = os.environ if environment is None else environment
    try:
        fields = msgspec.json.decode(env.get("ISTHMUS_OPTIONS", "{}"), type=dict[str, object])
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"ISTHMUS_OPTIONS is not a JSON object: {error}") from error
    for name, variable in (("pod_name", "POD_NAME"), ("pod_ip", "POD_IP"), ("namespace", "POD_NAMESPACE")):
        if env.get(variable):
            fields[name] = env[variable]
    try:
        return msgspec.convert(fields, Options)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"ISTHMUS_OPTIONS: {error}") from error

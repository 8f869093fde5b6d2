"""The templates an installation brings: `wireguard-server` and `wireguard-client`, one container each. Pure.

The container is privileged, as stock's is: it sets kernel parameters of its pod's network namespace, which is
read-only to any other container, and makes a tunnel device where the kernel has no WireGuard.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from isthmus.api import labels
from isthmus.api.networking import (
    GROUP,
    VERSION,
    WG_GATEWAY_CLIENT_TEMPLATES,
    WG_GATEWAY_CLIENTS,
    WG_GATEWAY_SERVER_TEMPLATES,
    WG_GATEWAY_SERVERS,
)
from isthmus.kube.objects import Manifest

SERVER_TEMPLATE, CLIENT_TEMPLATE = "wireguard-server", "wireguard-client"
CONTAINER = "gateway"
ENVIRONMENT = "ISTHMUS_GATEWAY"
KEYS_PATH = "/etc/wireguard/keys"
HEALTH_PORT = 8083
METRICS_PORT = 8084
"""Of the metrics Service; the process serves them beside its health."""
SOCKETS_PATH = "/var/run/wireguard"
OVERLAY_PORT = 6091

_GATEWAY = "gw-{{ .Name }}"


class TemplateValues(Struct, frozen=True, kw_only=True):
    """What an installation may set (the values below `networking` of behaviour.md 8.3)."""

    image: str
    cluster_id: str
    """This cluster's id."""
    namespace: str = "liqo"
    pull_policy: str = "IfNotPresent"
    image_pull_secrets: list[dict[str, str]] = []
    replicas: int = 1
    """With more than one, the others wait to take over."""
    overlay_port: int = OVERLAY_PORT
    """UDP, between nodes and gateways."""
    implementation: str = ""
    """kernel or userspace; "" takes the kernel's where there is one."""
    loss_threshold: int = 5
    """Pings without an answer after which the tunnel counts as broken."""
    ping_interval: float = 2.0
    """Seconds."""
    status_interval: float = 10.0
    """Seconds between writes of a Connection whose latency changed."""
    preserve_client_endpoint: bool = True
    mss_clamp: bool = True
    service_annotations: dict[str, str] = {}
    allocate_load_balancer_node_ports: bool | None = None
    node_selector: dict[str, str] = {}
    affinity: dict[str, Any] = {}
    tolerations: list[dict[str, Any]] = []
    priority_class_name: str = ""
    resources: dict[str, Any] = field(default_factory=lambda: {"requests": {"cpu": "10m", "memory": "24Mi"}})
    metrics: bool = False
    service_monitor: bool = False
    """Whether Prometheus' operator is told where the metrics are."""
    scrape_interval: str = "15s"


def default_templates(values: TemplateValues) -> list[Manifest]:
    """The two manifests, for `install` to apply."""
    return [
        _template(values, SERVER_TEMPLATE, "server"),
        _template(values, CLIENT_TEMPLATE, "client"),
    ]


def _template(values: TemplateValues, name: str, mode: str) -> Manifest:
    server = mode == "server"
    kind = WG_GATEWAY_SERVER_TEMPLATES if server else WG_GATEWAY_CLIENT_TEMPLATES
    made = WG_GATEWAY_SERVERS if server else WG_GATEWAY_CLIENTS
    spec: Manifest = {
        "secretRef": {"name": "{{ .SecretName }}"},
        "deployment": {
            "metadata": {"name": _GATEWAY, "namespace": "{{ .Namespace }}", "labels": _labels(mode)},
            "spec": _deployment(values, mode),
        },
    }
    if server:
        spec["service"] = _service(values)
    if values.metrics:
        spec["metrics"] = _metrics(values, mode)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": values.namespace,
            "labels": {labels.MANAGED: labels.TRUE},
        },
        "spec": {
            "objectKind": {"apiVersion": made.api_version, "kind": made.kind},
            "template": {
                "metadata": {"name": "{{ .Name }}", "namespace": "{{ .Namespace }}", "labels": _labels(mode)},
                "spec": spec,
            },
        },
    }


def _selector() -> dict[str, str]:
    return {
        labels.GATEWAY_COMPONENT: labels.GATEWAY_COMPONENT_VALUE,
        labels.GATEWAY_NAME: "{{ .Name }}",
        labels.GATEWAY_NAMESPACE: "{{ .Namespace }}",
    }


def _labels(mode: str) -> dict[str, str]:
    return {
        labels.APP_NAME: "gateway",
        labels.APP_COMPONENT: "networking",
        labels.APP_INSTANCE: f"liqo-gateway-{mode}",
        labels.APP_PART_OF: "liqo",
        labels.REMOTE_CLUSTER_ID: "{{ .ClusterID }}",
        **_selector(),
    }


def _service(values: TemplateValues) -> Manifest:
    metadata: Manifest = {"name": _GATEWAY, "namespace": "{{ .Namespace }}", "labels": _labels("server")}
    if values.service_annotations:
        metadata["annotations"] = values.service_annotations
    spec: Manifest = {
        "type": "{{ .Spec.Endpoint.ServiceType }}",
        "?loadBalancerIP": "{{ .Spec.Endpoint.LoadBalancerIP }}",
        "selector": {**_selector(), labels.ACTIVE_GATEWAY: labels.TRUE},
        "ports": [
            {
                "name": "wireguard",
                "protocol": "UDP",
                "port": "{{ .Spec.Endpoint.Port }}",
                "targetPort": "{{ .Spec.Endpoint.Port }}",
                "?nodePort": "{{ .Spec.Endpoint.NodePort }}",
            }
        ],
    }
    if values.allocate_load_balancer_node_ports is not None:
        spec["allocateLoadBalancerNodePorts"] = values.allocate_load_balancer_node_ports
    return {"metadata": metadata, "spec": spec}


def _metrics(values: TemplateValues, mode: str) -> Manifest:
    metadata: Manifest = {
        "name": f"{_GATEWAY}-metrics",
        "namespace": "{{ .Namespace }}",
        "labels": _labels(mode),
    }
    port: Manifest = {"name": "metrics", "port": METRICS_PORT, "targetPort": "health", "protocol": "TCP"}
    metrics: Manifest = {
        "enabled": True,
        "service": {"metadata": metadata, "spec": {"selector": _selector(), "ports": [port]}},
    }
    if values.service_monitor:
        endpoint: Manifest = {"port": "metrics", "path": "/metrics", "interval": values.scrape_interval}
        metrics["serviceMonitor"] = {
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": _selector()}, "endpoints": [endpoint]},
        }
    return metrics


def _deployment(values: TemplateValues, mode: str) -> Manifest:
    pod_labels = _labels(mode)
    if values.replicas <= 1:
        pod_labels[labels.ACTIVE_GATEWAY] = labels.TRUE
    return {
        "replicas": values.replicas,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": _selector()},
        "template": {"metadata": {"labels": pod_labels}, "spec": _pod(values, mode)},
    }


def _pod(values: TemplateValues, mode: str) -> Manifest:
    pod: Manifest = {
        "serviceAccountName": "{{ .Name }}",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "affinity": {**_affinity(values), **values.affinity},
        "containers": [_container(values, mode)],
        # 0400: the process is root's, and nobody else is to read them.
        "volumes": [
            {"name": "keys", "secret": {"secretName": "{{ .SecretName }}", "defaultMode": 0o400}},
            {"name": "sockets", "emptyDir": {"medium": "Memory"}},
        ],
    }
    optional: Manifest = {
        "nodeSelector": values.node_selector,
        "tolerations": values.tolerations,
        "priorityClassName": values.priority_class_name,
        "imagePullSecrets": values.image_pull_secrets,
    }
    return pod | {name: value for name, value in optional.items() if value}


def _affinity(values: TemplateValues) -> Manifest:
    real_node = {"key": labels.NODE_TYPE, "operator": "NotIn", "values": [labels.NODE_TYPE_VIRTUAL]}
    affinity: Manifest = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [real_node]}]
            }
        }
    }
    if values.replicas > 1:
        apart = {"labelSelector": {"matchLabels": _selector()}, "topologyKey": "kubernetes.io/hostname"}
        affinity["podAntiAffinity"] = {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
        }
    return affinity


def _container(values: TemplateValues, mode: str) -> Manifest:
    ports: list[Manifest] = [
        {"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        {"name": "overlay", "containerPort": values.overlay_port, "protocol": "UDP"},
    ]
    if mode == "server":
        ports.append({"name": "wireguard", "containerPort": "{{ .Spec.Endpoint.Port }}", "protocol": "UDP"})
    fields = (
        ("POD_NAME", "metadata.name"),
        ("POD_IP", "status.podIP"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("NODE_NAME", "spec.nodeName"),
    )
    container: Manifest = {
        "name": CONTAINER,
        "image": values.image,
        "imagePullPolicy": values.pull_policy,
        "args": ["gateway"],
        "env": [
            {"name": ENVIRONMENT, "value": _environment(values, mode)},
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields),
        ],
        "ports": ports,
        "volumeMounts": [
            {"name": "keys", "mountPath": KEYS_PATH, "readOnly": True},
            # Where userspace WireGuard is talked to; the rest of the file system is read-only.
            {"name": "sockets", "mountPath": SOCKETS_PATH},
        ],
        "securityContext": {"privileged": True, "runAsUser": 0, "readOnlyRootFilesystem": True},
        "readinessProbe": _probe("/readyz", 2, 3),
        "livenessProbe": _probe("/healthz", 10, 6),
    }
    return {**container, "resources": values.resources} if values.resources else container


def _probe(path: str, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }


def _environment(values: TemplateValues, mode: str) -> Manifest:
    """What the process is told (the network modules' contract); a map, rendered into JSON."""
    environment: Manifest = {
        "mode": mode,
        "name": "{{ .Name }}",
        "namespace": "{{ .Namespace }}",
        "uid": "{{ .GatewayUID }}",
        "peer": "{{ .ClusterID }}",
        "cluster_id": values.cluster_id,
        "fabric": "{{ .ClusterID }}",
        "mtu": "{{ .Spec.MTU }}",
        "overlay_port": values.overlay_port,
        "implementation": values.implementation,
        "replicas": values.replicas,
        "loss_threshold": values.loss_threshold,
        "ping_interval": values.ping_interval,
        "status_interval": values.status_interval,
        "preserve_client_endpoint": values.preserve_client_endpoint,
        "mss_clamp": values.mss_clamp,
        "health_port": HEALTH_PORT,
    }
    if mode == "server":
        environment["port"] = "{{ .Spec.Endpoint.Port }}"
    # A client reads from its GatewayClient where the server is: a new address must not cost a new pod.
    return environment

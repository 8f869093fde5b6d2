"""The controller's workload: who it is, its Deployment, and the Service its webhooks are reached by.

Of several replicas only the one that holds the leader lease is ready. A new one cannot become ready before the old
one has let go of the lease, so a rollout ends all old pods at once while the new ones start: with a limit on
unavailable pods it would never finish.
"""

from __future__ import annotations

from typing import Any

import msgspec

from isthmus.api import labels, names
from isthmus.install.extra_args import api_server_check_interval
from isthmus.install.network_values import PROXY_PORT
from isthmus.install.values import Announced, Values
from isthmus.kube.objects import Manifest
from isthmus.kube.options import Options
from isthmus.network.ipam.installation import DEFAULT_POOLS

COMPONENT = "controller-manager"
SELECTOR = {
    labels.APP_NAME: COMPONENT,
    labels.APP_COMPONENT: COMPONENT,
    labels.APP_INSTANCE: names.NAMESPACE,
}
"""What finds the controller's pods; a Deployment's selector can never change."""

VERSION_LABEL = "app.kubernetes.io/version"
KUBELET_PORT = 10250
HEALTH_PORT = 8081
_USER = 65532


def cluster_id_config_map(values: Values, namespace: str) -> Manifest:
    """The ConfigMap by which everybody finds out this cluster's id (wire.md 3)."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.CLUSTER_ID_CONFIG_MAP,
            "namespace": namespace,
            "labels": {labels.APP_NAME: "clusterid-configmap"},
        },
        "data": {names.CLUSTER_ID_KEY: values.cluster_id},
    }


def modules(values: Values) -> list[str]:
    """The names of the modules that are switched on."""
    switches = (
        ("authentication", values.authentication.enabled),
        ("networking", values.networking.enabled),
        ("offloading", values.offloading.enabled),
    )
    return [name for name, enabled in switches if enabled]


def controller_options(values: Values) -> dict[str, Any]:
    """What the controller is started with: the options that differ from their defaults."""
    config, server = values.controller_manager.config, values.api_server
    options = Options(
        cluster_id=values.cluster_id,
        replicas=values.controller_manager.replicas,
        modules=frozenset(modules(values)),
        api_server_address=server.address,
        api_server_ca=server.ca,
        trusted_ca=server.trusted_ca,
        cluster_labels={key: _text(value) for key, value in values.discovery.config.cluster_labels.items()},
        key_type="RSA-2048" if values.authentication.tls_compatibility_mode else "Ed25519",
        enforcement=config.enable_resource_enforcement,
        privileged_pods=values.offloading.privileged_pods,
        default_limits_enforcement=config.default_limits_enforcement,
        default_slice_class_enabled=values.authentication.default_resource_slice_class_enabled,
        default_node_resources={
            name: str(amount) for name, amount in values.offloading.default_node_resources.items()
        },
        runtime_class=values.offloading.runtime_class.name,
        taint_effect=values.virtual_kubelet.virtual_node.taint_effect,
        webhook_port=values.webhook.port,
        proxy_port=values.proxy.config.listening_port if values.proxy.enabled else 0,
        api_server_through_endpoint_slices=values.networking.api_server_access_through_endpoint_slices,
        deny_direct_connections=values.networking.deny_direct_connections,
        api_server_check_interval=api_server_check_interval(values.controller_manager.pod.extra_args),
        load_balancer_classes=_classes(
            "loadBalancerClassName", values.offloading.reflection.service.load_balancer_classes
        ),
        ingress_classes=_classes("ingressClassName", values.offloading.reflection.ingress.ingress_classes),
        ipam_pools=[] if tuple(values.ipam.pools) == DEFAULT_POOLS else values.ipam.pools,
    )
    chosen = msgspec.to_builtins(options, order="deterministic")
    default = msgspec.to_builtins(Options(cluster_id=""), order="deterministic")
    return {name: value for name, value in chosen.items() if value != default[name]}


def _classes(key: str, announced: list[Announced]) -> list[dict[str, Any]]:
    return [{key: one.name, "default": one.default} for one in announced]


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment(values: Values) -> list[Manifest]:
    fields = (
        ("POD_NAME", "metadata.name"),
        ("POD_IP", "status.podIP"),
        ("POD_NAMESPACE", "metadata.namespace"),
    )
    options = msgspec.json.encode(controller_options(values), order="deterministic").decode()
    return [
        {"name": "ISTHMUS_OPTIONS", "value": options},
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields),
    ]


def _probe(path: str, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }


def _container(values: Values) -> Manifest:
    ports = [("kubelet", KUBELET_PORT), ("webhook", values.webhook.port), ("health", HEALTH_PORT)]
    if values.proxy.enabled:
        ports.append(("proxy", values.proxy.config.listening_port))
    container: Manifest = {
        "name": COMPONENT,
        "image": values.image,
        "imagePullPolicy": values.pull_policy,
        "args": ["controller"],
        "env": _environment(values),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "readinessProbe": _probe("/readyz", 2, 3),
        "livenessProbe": {**_probe("/healthz", 10, 6), "initialDelaySeconds": 10},
        # Its last words, for whoever waits for it.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    resources = values.controller_manager.pod.resources
    return {**container, "resources": resources} if resources else container


def _affinity(values: Values) -> Manifest:
    real_node = {"key": labels.NODE_TYPE, "operator": "DoesNotExist"}
    affinity: Manifest = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [real_node]}]
            }
        }
    }
    if values.controller_manager.replicas > 1:
        apart = {"labelSelector": {"matchLabels": SELECTOR}, "topologyKey": "kubernetes.io/hostname"}
        affinity["podAntiAffinity"] = {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
        }
    return {**affinity, **values.common.affinity}


def _pod_spec(values: Values) -> Manifest:
    pod = values.controller_manager.pod
    spec: Manifest = {
        "serviceAccountName": names.CONTROLLER,
        "enableServiceLinks": False,
        "affinity": _affinity(values),
        "tolerations": [
            {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
            *values.common.tolerations,
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(values)],
    }
    optional: Manifest = {
        "nodeSelector": values.common.node_selector,
        "priorityClassName": pod.priority_class_name,
        "imagePullSecrets": values.image_pull_secrets,
    }
    return spec | {name: value for name, value in optional.items() if value}


def deployment(values: Values, namespace: str, version: str) -> Manifest:
    """The controller's Deployment; the version is only noted on it."""
    manager = values.controller_manager
    pod_labels = {
        **values.common.global_labels,
        **manager.pod.labels,
        **SELECTOR,
        labels.WEBHOOK_BACKEND: names.WEBHOOK_SERVICE,
    }
    metadata: Manifest = {"labels": pod_labels}
    annotations = {**values.common.global_annotations, **manager.pod.annotations}
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": names.CONTROLLER,
            "namespace": namespace,
            "labels": {**SELECTOR, VERSION_LABEL: version},
        },
        "spec": {
            "replicas": manager.replicas,
            "selector": {"matchLabels": dict(SELECTOR)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "100%"},
            },
            "template": {"metadata": metadata, "spec": _pod_spec(values)},
        },
    }


def webhook_service(namespace: str) -> Manifest:
    """The Service the API server asks the webhooks through."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": names.WEBHOOK_SERVICE, "namespace": namespace},
        "spec": {
            "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "targetPort": "webhook", "protocol": "TCP"}],
            "selector": {labels.WEBHOOK_BACKEND: names.WEBHOOK_SERVICE},
        },
    }


def proxy_service(values: Values, namespace: str) -> list[Manifest]:
    """The Service that peers' CONNECTs come in by, found by its label (wire.md 1.1); none where the proxy is off.

    Only the replica that leads is ready, and serves it.
    """
    if not values.proxy.enabled:
        return []
    own = {labels.APP_NAME: "proxy", labels.APP_COMPONENT: "networking"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": names.PROXY_SERVICE, "namespace": namespace, "labels": own},
            "spec": {
                "type": values.proxy.service.type,
                "ports": [{"name": "http", "port": PROXY_PORT, "targetPort": "proxy", "protocol": "TCP"}],
                "selector": dict(SELECTOR),
            },
        }
    ]

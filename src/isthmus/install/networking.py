"""What the networking module consists of: the agent of every real node, the gateways' templates, the cluster's ranges.

The agent is privileged: it sets kernel parameters of its node, and /proc/sys is read-only to any other container; no
capability changes that. It mounts nothing of the node and its root is read-only. Pure.
"""

from __future__ import annotations

import msgspec

from isthmus.api import labels
from isthmus.install.network_validation import node_ports, seconds
from isthmus.install.roles import account, merged_rules
from isthmus.install.values import Values
from isthmus.kube.objects import Manifest
from isthmus.network.dataplane.hops import RULE_NODE
from isthmus.network.gateways.default_templates import TemplateValues, default_templates
from isthmus.network.gateways.permissions import gateway_roles
from isthmus.network.ipam.installation import InstalledRanges, forge_networks
from isthmus.network.node.rbac import CLUSTER_RULES

FABRIC = "liqo-fabric"
"""The DaemonSet of the agents, their ServiceAccount and their ClusterRole."""
COMPONENT = "fabric"
FABRIC_SELECTOR = {
    labels.APP_NAME: COMPONENT,
    labels.APP_COMPONENT: "networking",
    labels.APP_INSTANCE: FABRIC,
}
"""What finds the agents' pods; a DaemonSet's selector can never change."""
GRACE = 15
"""Seconds an agent has to leave its node as it was found."""


def namespace_labels(values: Values) -> dict[str, str]:
    """What the installation's namespace must carry for the agents' pods to be admitted."""
    return dict.fromkeys(labels.POD_SECURITY, "privileged") if values.networking.enabled else {}


def network_manifests(values: Values, namespace: str) -> list[Manifest]:
    """Everything of the module but its kinds and the controller's part, in order; none where it is off."""
    if not values.networking.enabled:
        return []
    ranges = InstalledRanges(
        pod_cidrs=values.ipam.pod_cidrs,
        service_cidr=values.ipam.service_cidr,
        external_cidr=values.ipam.external_cidr,
        internal_cidr=values.ipam.internal_cidr,
        reserved_subnets=values.ipam.reserved_subnets,
    )
    own = {labels.APP_NAME: COMPONENT, labels.APP_COMPONENT: "networking"}
    return [
        *gateway_roles(),
        *account(FABRIC, merged_rules(CLUSTER_RULES), own, namespace),
        *forge_networks(ranges, namespace),
        *default_templates(template_values(values, namespace)),
        daemon_set(values, namespace),
    ]


def template_values(values: Values, namespace: str) -> TemplateValues:
    """The values as the gateways' templates take them."""
    networking = values.networking
    templates = networking.gateway_templates
    prefix = "networking.gatewayTemplates.ping"
    return TemplateValues(
        image=values.image,
        cluster_id=values.cluster_id,
        namespace=namespace,
        pull_policy=values.pull_policy,
        image_pull_secrets=values.image_pull_secrets,
        replicas=templates.replicas,
        overlay_port=networking.geneve_port,
        implementation=templates.wireguard.implementation,
        loss_threshold=templates.ping.loss_threshold,
        ping_interval=seconds(f"{prefix}.interval", templates.ping.interval),
        status_interval=seconds(f"{prefix}.updateStatusInterval", templates.ping.update_status_interval),
        preserve_client_endpoint=templates.wireguard.preserve_client_endpoint,
        mss_clamp=networking.gateway.mssclamp.enabled,
        service_annotations=templates.server.service.annotations,
        allocate_load_balancer_node_ports=node_ports(networking),
        node_selector={**values.common.node_selector, **templates.pod.node_selector},
        affinity={**values.common.affinity, **templates.pod.affinity},
        tolerations=[*values.common.tolerations, *templates.pod.tolerations],
        priority_class_name=templates.pod.priority_class_name,
        resources=templates.container.gateway.resources,
        metrics=values.metrics.enabled,
        service_monitor=values.metrics.enabled and values.metrics.prometheus_operator.enabled,
    )


def daemon_set(values: Values, namespace: str) -> Manifest:
    """The DaemonSet of the agents. Old and new ones never meet on a node, and traffic flows on while none is there."""
    pod = values.networking.fabric.pod
    metadata: Manifest = {"labels": {**values.common.global_labels, **pod.labels, **FABRIC_SELECTOR}}
    if annotations := {**values.common.global_annotations, **pod.annotations}:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": FABRIC, "namespace": namespace, "labels": dict(FABRIC_SELECTOR)},
        "spec": {
            "selector": {"matchLabels": dict(FABRIC_SELECTOR)},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}},
            "template": {"metadata": metadata, "spec": _pod_spec(values)},
        },
    }


def _pod_spec(values: Values) -> Manifest:
    fabric = values.networking.fabric
    real_node = {"key": labels.NODE_TYPE, "operator": "NotIn", "values": [labels.NODE_TYPE_VIRTUAL]}
    affinity: Manifest = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [real_node]}]
            }
        }
    }
    spec: Manifest = {
        "serviceAccountName": FABRIC,
        "enableServiceLinks": False,
        "hostNetwork": True,
        # It asks the API server by its address, and nothing else.
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": GRACE,
        "affinity": affinity,
        # A node without its agent cuts its pods off from peers, so nothing but being virtual keeps one off.
        "tolerations": [{"operator": "Exists", "effect": effect} for effect in ("NoSchedule", "NoExecute")],
        "containers": [_container(values)],
    }
    optional: Manifest = {
        "priorityClassName": fabric.pod.priority_class_name,
        "imagePullSecrets": values.image_pull_secrets,
    }
    return spec | {name: value for name, value in optional.items() if value}


def node_settings(values: Values) -> Manifest:
    """What an agent is started with (`isthmus.network.node.settings`)."""
    config = values.networking.fabric.config
    return {
        "overlay_port": values.networking.geneve_port,
        "rule_priority": config.route_configuration_rule_priority or RULE_NODE,
        "full_masquerade": config.full_masquerade,
        "health_port": config.health_probe_bind_address_port,
    }


def _container(values: Values) -> Manifest:
    fields = (("NODE_NAME", "spec.nodeName"), ("POD_IP", "status.hostIP"))
    settings = msgspec.json.encode(node_settings(values), order="deterministic").decode()
    container: Manifest = {
        "name": COMPONENT,
        "image": values.image,
        "imagePullPolicy": values.pull_policy,
        "args": ["node"],
        "env": [
            {"name": "ISTHMUS_NODE", "value": settings},
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields),
        ],
        "securityContext": {"privileged": True, "runAsUser": 0, "readOnlyRootFilesystem": True},
        # Its last words, for whoever waits for it.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "readinessProbe": _probe(values, "/readyz", 2, 3),
        "livenessProbe": {**_probe(values, "/healthz", 10, 6), "initialDelaySeconds": 10},
    }
    resources = values.networking.fabric.pod.resources
    return {**container, "resources": resources} if resources else container


def _probe(values: Values, path: str, period: int, failures: int) -> Manifest:
    port = values.networking.fabric.config.health_probe_bind_address_port
    return {
        "httpGet": {"host": "127.0.0.1", "path": path, "port": port},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }

"""The objects a rendered gateway consists of: identity, Deployment, Services, monitor. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from isthmus.api import labels
from isthmus.api.networking import ObjectTemplate, WgGateway
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.ownership import forge_controller
from isthmus.network.gateways.objects import GatewayDeployment, Side, gateway_name, peer_of
from isthmus.network.gateways.requests import RequestError

ROLE = "liqo-gateway"
"""The ClusterRole of what a gateway may do in its own namespace (wire.md 2)."""
CLUSTER_ROLE = "liqo-gateway-cluster"
"""The ClusterRole, and the binding, of what gateways may read of the whole cluster."""
PUBLIC_KEY_ANNOTATION = "isthmus.io/gateway-public-key"
"""On the pods, so that new keys bring new pods."""
SERVICE_ACCOUNT_ANNOTATION = "isthmus.io/gateway-service-account"
"""The UID of the ServiceAccount, on the pods: a token ends with its account, so a new one brings new pods."""

_RBAC = "rbac.authorization.k8s.io"


def own_labels(made: WgGateway) -> dict[str, str]:
    """The labels by which the objects of a gateway are known (wire.md 1.3)."""
    meta = made.metadata
    found = {
        labels.GATEWAY_COMPONENT: labels.GATEWAY_COMPONENT_VALUE,
        labels.GATEWAY_NAME: meta.name,
        labels.GATEWAY_NAMESPACE: meta.namespace,
    }
    return found | ({labels.REMOTE_CLUSTER_ID: peer_of(made)} if peer_of(made) else {})


def forge_service_account(side: Side, made: WgGateway) -> Manifest:
    """Who the gateway's pods are."""
    return {"metadata": _metadata(side, made, made.metadata.name)}


def role_binding_name(name: str) -> str:
    """The RoleBinding of a gateway."""
    return f"{ROLE}-{name}"


def forge_role_binding(side: Side, made: WgGateway) -> Manifest:
    """Lets the gateway do its work in its own namespace."""
    return {
        "metadata": _metadata(side, made, role_binding_name(made.metadata.name)),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ROLE},
        "subjects": [_subject(made)],
    }


def forge_cluster_binding(gateways: list[WgGateway]) -> Manifest:
    """Lets all gateways read what is of the whole cluster: one binding, since none of it could own one of its own."""
    by_place = {(made.metadata.namespace, made.metadata.name): made for made in gateways}
    return {
        "metadata": {"name": CLUSTER_ROLE, "labels": {labels.MANAGED: labels.TRUE}},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": CLUSTER_ROLE},
        "subjects": [_subject(by_place[place]) for place in sorted(by_place)],
    }


def _subject(made: WgGateway) -> Manifest:
    meta = made.metadata
    return {"kind": "ServiceAccount", "name": meta.name, "namespace": meta.namespace}


def forge_deployment(side: Side, made: WgGateway, public_key: str, account: str) -> Manifest:
    """The Deployment, of a ServiceAccount with the UID `account`; what the rest relies on is set whatever the template
    says. Raises RequestError.
    """
    spec = _decode(made.spec.deployment)
    own = own_labels(made)
    template = spec.setdefault("template", {})
    pod = template.setdefault("metadata", {})
    pod["labels"] = {**(pod.get("labels") or {}), **own}
    pod["annotations"] = {
        **(pod.get("annotations") or {}),
        PUBLIC_KEY_ANNOTATION: public_key,
        SERVICE_ACCOUNT_ANNOTATION: account,
    }
    if spec.get("replicas", 1) <= 1:
        pod["labels"][labels.ACTIVE_GATEWAY] = labels.TRUE
    else:
        # Whoever holds the lease takes the label by itself.
        pod["labels"].pop(labels.ACTIVE_GATEWAY, None)
    spec.setdefault("strategy", {"type": "Recreate"})
    selected = {key: own[key] for key in sorted(own) if key != labels.REMOTE_CLUSTER_ID}
    spec.setdefault("selector", {"matchLabels": selected})
    return _forge(side, made, made.spec.deployment, gateway_name(made.metadata.name), spec)


def forge_service(side: Side, made: WgGateway) -> Manifest | None:
    """The Service of a server. Raises RequestError."""
    template = made.spec.service
    if template is None:
        return None
    spec = _decode(template)
    selector = {**own_labels(made), labels.ACTIVE_GATEWAY: labels.TRUE}
    selector.pop(labels.REMOTE_CLUSTER_ID, None)
    spec.setdefault("selector", selector)
    return _forge(side, made, template, gateway_name(made.metadata.name), spec)


def forge_metrics(side: Side, made: WgGateway) -> tuple[Manifest | None, Manifest | None]:
    """The Service and the ServiceMonitor of the gateway's metrics, as far as they are wanted. Raises RequestError."""
    metrics = made.spec.metrics
    if metrics is None or not metrics.enabled:
        return None, None
    name = metrics_name(made)
    service, monitor = metrics.service, metrics.service_monitor
    return (
        _forge(side, made, service, name, _decode(service)) if service is not None else None,
        _forge(side, made, monitor, name, _decode(monitor)) if monitor is not None else None,
    )


def metrics_name(made: WgGateway) -> str:
    """The name of the Service and the ServiceMonitor of the metrics where their templates give none."""
    return f"{gateway_name(made.metadata.name)}-metrics"


def is_foreign(live: Object, made: WgGateway) -> bool:
    """Whether a live object of the wanted name is not this gateway's: then it is not touched."""
    return all(owner.uid != made.metadata.uid for owner in live.metadata.owner_references)


def is_remnant(live: Object, made: WgGateway) -> bool:
    """Whether a foreign object belongs to an earlier gateway of that name, and so is being collected."""
    return any(
        owner.kind.startswith("WgGateway") and owner.name == made.metadata.name
        for owner in live.metadata.owner_references
    )


def must_replace(live: GatewayDeployment, wanted: Manifest) -> bool:
    """Whether the Deployment must be made anew: its selector, which cannot change, is another, or it has a container
    of somebody else's, which an apply would leave in it."""
    if live.spec.selector.get("matchLabels", {}) != wanted["spec"]["selector"].get("matchLabels", {}):
        return True
    names = {one["name"] for one in wanted["spec"]["template"].get("spec", {}).get("containers", [])}
    return not {one.name for one in live.spec.template.spec.containers} <= names


def _decode(template: ObjectTemplate) -> dict[str, Any]:
    return msgspec.json.decode(template.spec, type=dict[str, Any])


def _forge(side: Side, made: WgGateway, template: ObjectTemplate, name: str, spec: Manifest) -> Manifest:
    given = template.metadata
    if given.namespace not in ("", made.metadata.namespace):
        raise RequestError(
            f"{side.made.kind} {made.metadata.name}: namespace {given.namespace} of {given.name or name} must be"
            f" {made.metadata.namespace}, the gateway's own"
        )
    metadata = _metadata(side, made, given.name or name)
    metadata["labels"] = {**given.labels, **metadata["labels"]}
    if given.annotations:
        metadata["annotations"] = given.annotations
    return {"metadata": metadata, "spec": spec}


def _metadata(side: Side, made: WgGateway, name: str) -> Manifest:
    return {
        "name": name,
        "namespace": made.metadata.namespace,
        "labels": own_labels(made),
        "ownerReferences": [forge_controller(side.made, made)],
    }

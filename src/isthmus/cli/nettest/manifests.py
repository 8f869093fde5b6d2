"""The objects of the test: namespace, probe pods, Services, and the IP of a lent host. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from isthmus.api import labels, names
from isthmus.cli.nettest.plan import HEADLESS, SERVICE
from isthmus.cli.nettest.probes import CONTAINER, PORT
from isthmus.cli.nettest.topology import Place
from isthmus.kube.objects import Manifest

NAMESPACE = names.NETWORK_TEST
MARK = {labels.APP_MANAGED_BY: names.NETWORK_TEST}
BEHIND_SERVICE = {labels.APP_NAME: "network-probe", **MARK}
BALANCER, LENT_HOST = "probe-lb", "api-server"
DIGEST = "isthmus.liqo.io/digest"
"""Annotation: of what a pod was made, so that one that is there already is used if it is the same."""
_USER = 65532


@dataclass(frozen=True, slots=True)
class Image:
    """What the probe pods run."""

    name: str
    pull_policy: str = "IfNotPresent"


def namespace() -> Manifest:
    """The namespace; its probes on host networks need more than Pod Security's defaults give."""
    allowed = dict.fromkeys(labels.POD_SECURITY, "privileged")
    return {"metadata": {"name": NAMESPACE, "labels": {**MARK, **allowed}}}


def pod_name(place: Place, node: str) -> str:
    """The name of the probe of a node, at most 63 characters whatever the node is called."""
    name = f"{place}-{node}"
    plain = re.sub(r"[^-a-z0-9]", "-", name)
    if plain == name and len(name) <= 63:
        return name
    return f"{plain[:54]}-{hashlib.sha256(node.encode()).hexdigest()[:8]}"


def pod(owner: str, node: str, place: Place, image: Image) -> Manifest:
    """The probe of a node: an agent behind the Service, or on the node's own network one that only asks."""
    name, on_host = pod_name(place, node), place == "node"
    spec: dict[str, Any] = {
        "affinity": {"nodeAffinity": _only_on(node)},
        "tolerations": [{"operator": "Exists"}],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [_container(f"{owner}/{name}", on_host, image)],
    }
    if on_host:
        spec["hostNetwork"] = True
    else:
        # Lets everybody in the pod send ICMP echo, without the right to forge packets.
        spec["securityContext"] = {"sysctls": [{"name": "net.ipv4.ping_group_range", "value": "0 65535"}]}
    metadata: Manifest = {
        "name": name,
        "namespace": NAMESPACE,
        "labels": dict(MARK if on_host else BEHIND_SERVICE),
        "annotations": {labels.API_SERVER_SUPPORT: "disabled"},
    }
    text = json.dumps([metadata, spec], sort_keys=True)
    metadata["annotations"][DIGEST] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {"metadata": metadata, "spec": spec}


def _only_on(node: str) -> Manifest:
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}
    }


def _container(identity: str, on_host: bool, image: Image) -> Manifest:
    security: Manifest = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container: Manifest = {
        "name": CONTAINER,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "args": ["probe", "wait" if on_host else "serve"],
        "env": [{"name": "POD_NAME", "value": identity}],
        "securityContext": security,
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}},
    }
    if on_host:
        # A pod may not set the node's own sysctls, and a capability is of effect for root only.
        security.update(runAsNonRoot=False, runAsUser=0, runAsGroup=0)
        security["capabilities"]["add"] = ["NET_RAW"]
        return container
    container["ports"] = [
        {"name": protocol, "containerPort": PORT, "protocol": protocol.upper()} for protocol in ("tcp", "udp")
    ]
    container["readinessProbe"] = {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 10}
    return container


def services(balancer: bool) -> list[Manifest]:
    """The Service with its NodePorts, the headless one, and if wished the one of a load balancer."""
    made = [
        _service(SERVICE, {"type": "NodePort"}, ("tcp", "udp")),
        _service(HEADLESS, {"clusterIP": "None"}, ("tcp", "udp")),
    ]
    return [*made, _service(BALANCER, {"type": "LoadBalancer"}, ("tcp",))] if balancer else made


def _service(name: str, spec: Manifest, protocols: tuple[str, ...]) -> Manifest:
    ports = [{"name": one, "port": PORT, "targetPort": PORT, "protocol": one.upper()} for one in protocols]
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": dict(MARK)},
        "spec": {**spec, "selector": dict(BEHIND_SERVICE), "ports": ports},
    }


def lent_host(address: str) -> Manifest:
    """The IP that lends a host to the peers; masqueraded, since the host knows no way back to their pods."""
    return {
        "metadata": {"name": LENT_HOST, "namespace": NAMESPACE, "labels": dict(MARK)},
        "spec": {"ip": address, "masquerade": True},
    }

"""The ShadowPod of a local pod: the spec a provider can run (behaviour.md 4.4, wire.md 8).

Forged once, at creation; what may change in a running pod follows it (`inplace`). Everything is copied but what
names things of this cluster only (nodes, priorities, service accounts, its scheduler) or reaches into the
provider's machines; so a field that a newer Kubernetes adds is not lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from isthmus.api import labels
from isthmus.api.offloading import OffloadingPatch
from isthmus.kube.builtin import Pod
from isthmus.kube.objects import Manifest
from isthmus.offloading.inplace import REVISION, first_revision
from isthmus.offloading.pods.affinity import forge_affinity, forge_runtime_class, forge_tolerations
from isthmus.offloading.pods.api_server import (
    HomeApiServer,
    api_server_support,
    downward_api,
    forge_environment,
    forge_host_aliases,
    home_fields,
)
from isthmus.offloading.pods.metadata import POD_NAMESPACE, Identity, forge_metadata
from isthmus.offloading.pods.spread import forge_spread
from isthmus.offloading.pods.volumes import forge_volumes, tells_namespace

_LEFT_HERE = frozenset(
    {
        "affinity",
        "ephemeralContainers",
        "nodeName",
        "nodeSelector",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "readinessGates",
        "runtimeClassName",
        "schedulerName",
        "schedulingGates",
        "serviceAccount",
        "serviceAccountName",
    }
)
_CONTAINERS = ("initContainers", "containers")


class Terms(Struct, frozen=True):
    """On which terms pods are offloaded through one virtual node."""

    identity: Identity
    patch: OffloadingPatch
    home: HomeApiServer | None = None
    """Where pods reach their home API server; None where no network leads there."""
    lacks_home: bool = False
    """Whether a network leads there, but no address is known yet: pods that want it have to wait."""
    runtime_class: str = "liqo"
    """The local runtime class that sends a pod to virtual nodes; it means nothing on the provider."""
    takes_pods: bool = True
    """Whether more pods are offloaded; those that are go on in any case."""
    makes_tokens: bool = True
    """Whether pods get tokens of their service accounts for their home API server."""


def forge_shadow_pod(pod: Pod, remote_namespace: str, terms: Terms) -> Manifest:
    """The ShadowPod to create for a local pod.

    Raises InvalidPodError (a ValueError) where the pod's own annotations are wrong.
    """
    metadata = forge_metadata(pod.metadata, terms.identity)
    spec = forge_pod_spec(msgspec.json.decode(pod.spec), pod, terms)
    told = {POD_NAMESPACE: pod.metadata.namespace} if tells_namespace(spec.get("volumes", [])) else {}
    return {
        "metadata": {
            "name": pod.metadata.name,
            "namespace": remote_namespace,
            "labels": metadata.labels,
            "annotations": {**metadata.annotations, **told, REVISION: first_revision(pod.spec)},
        },
        "spec": {"pod": spec},
    }


def forge_pod_spec(spec: dict[str, Any], pod: Pod, terms: Terms) -> dict[str, Any]:
    """The spec the provider runs, from the pod's own; `spec` itself is left as it is."""
    annotations = pod.metadata.annotations
    forged = {key: value for key, value in spec.items() if key not in _LEFT_HERE}
    forged.update(hostNetwork=False, hostIPC=False, hostPID=False, automountServiceAccountToken=False)
    _forge_placement(forged, spec, pod, terms)

    support = api_server_support(annotations)
    told = downward_api(annotations)
    local_account: str | None = spec.get("serviceAccountName") or "default"
    if support == "remote":
        account = annotations.get(labels.REMOTE_SERVICE_ACCOUNT) or spec.get("serviceAccountName")
        if account:
            forged["serviceAccountName"] = account
        local_account = None
    elif "volumes" in forged:
        forged["volumes"] = forge_volumes(
            forged["volumes"],
            pod.metadata.name,
            terms.identity.home_id,
            tokens=support == "home",
            tells_home=told == "home",
        )
    home = terms.home if support == "home" else None
    aliases = forge_host_aliases(spec.get("hostAliases"), home)
    if aliases:
        forged["hostAliases"] = aliases
    fields = home_fields(pod.metadata, local_account, told)
    for kind in _CONTAINERS:
        if kind in forged:
            forged[kind] = [
                _container(container, fields, home, host_network=bool(spec.get("hostNetwork")))
                for container in forged[kind]
            ]
    return forged


def _forge_placement(forged: dict[str, Any], spec: dict[str, Any], pod: Pod, terms: Terms) -> None:
    annotations, patch = pod.metadata.annotations, terms.patch
    own = spec.get("runtimeClassName")
    runtime_class = None if own == terms.runtime_class else own
    placement = {
        "affinity": forge_affinity(spec.get("affinity"), pod.metadata.labels, annotations, patch),
        "nodeSelector": patch.node_selector,
        "tolerations": forge_tolerations(spec.get("tolerations"), patch),
        "runtimeClassName": forge_runtime_class(runtime_class, annotations, patch),
    }
    forged.pop("tolerations", None)
    if "topologySpreadConstraints" in forged:
        forged["topologySpreadConstraints"] = forge_spread(forged["topologySpreadConstraints"])
    forged.update({key: value for key, value in placement.items() if value})


def _container(
    container: dict[str, Any], fields: Mapping[str, str], home: HomeApiServer | None, *, host_network: bool
) -> dict[str, Any]:
    forged = dict(container)
    environment = forge_environment(container.get("env"), fields, home)
    if environment:
        forged["env"] = environment
    if host_network and container.get("ports"):
        # On the host's network every port is a host port; off it they would only get in each other's way.
        forged["ports"] = [
            {key: value for key, value in port.items() if key != "hostPort"} for port in container["ports"]
        ]
    return forged

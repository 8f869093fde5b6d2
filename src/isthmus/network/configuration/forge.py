"""What a Configuration leads to: its Networks, its unknown-source IP, its status (wire.md 1.3, 2 and 10). Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from isthmus.api import labels
from isthmus.api.cidr import dashed, format_address, parse_cidr
from isthmus.api.ipam import IP, Network
from isthmus.api.networking import CONFIGURATIONS, Cidrs, Condition, Configuration
from isthmus.kube.objects import Manifest
from isthmus.kube.ownership import forge_controller
from isthmus.network.ipam.installation import EXTERNAL, POD
from isthmus.network.ipam.refusals import Refusal
from isthmus.network.ownership import guard

CONFIGURED = "NetworkCIDRsConfigured"
"""The condition, and its reason where it is True."""
WAITING = "WaitingForNetworks"
INVALID = "InvalidRemoteCIDRs"
TAKEN = "NameTaken"
FORBIDDEN = "NamespaceForbidden"
POD_TYPE, EXTERNAL_TYPE = "pod", "external"


class Verdict(Struct, frozen=True, kw_only=True):
    """What the condition says."""

    status: str
    reason: str
    message: str


def peer_of(configuration: Configuration) -> str:
    """The id of the cluster it is about, "" where the label is missing."""
    return configuration.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")


def own_ranges(networks: Iterable[Network]) -> Cidrs | None:
    """spec.local: the ranges in use of this cluster's own Networks, None while one of them has none."""
    found: dict[str, list[str]] = {POD: [], EXTERNAL: []}
    for network in sorted(networks, key=lambda one: one.metadata.name):
        type_ = network.metadata.labels.get(labels.NETWORK_TYPE, "")
        if type_ in found and not network.deleting:
            if not network.status.cidr:
                return None
            found[type_].append(network.status.cidr)
    if not found[POD] or not found[EXTERNAL]:
        return None
    return Cidrs(pod=found[POD], external=found[EXTERNAL])


def network_name(configuration: str, type_: str, cidr: str) -> str:
    """`<conf>-<pod or external>-<cidr>`, dots and slash as dashes."""
    return f"{configuration}-{type_}-{dashed(parse_cidr(cidr))}"


def forge_networks(configuration: Configuration) -> dict[str, Manifest]:
    """The Networks of the peer's ranges by name; the ranges have been judged before."""
    remote = configuration.spec.remote.cidr
    name = configuration.metadata.name
    return {
        network_name(name, type_, cidr): _forge_network(configuration, type_, cidr)
        for type_, ranges in ((POD_TYPE, remote.pod), (EXTERNAL_TYPE, remote.external))
        for cidr in ranges
    }


def _forge_network(configuration: Configuration, type_: str, cidr: str) -> Manifest:
    meta = configuration.metadata
    return {
        "metadata": {
            "name": network_name(meta.name, type_, cidr),
            "namespace": meta.namespace,
            "labels": {
                labels.REMOTE_CLUSTER_ID: peer_of(configuration),
                labels.CIDR_TYPE: type_,
                labels.MANAGED: labels.TRUE,
            },
            # IPAM would put it on anyway, with a write more for each Network of a thousand peers.
            "finalizers": [labels.FINALIZER_NETWORK],
            "ownerReferences": [forge_controller(CONFIGURATIONS, configuration)],
        },
        "spec": {"cidr": str(parse_cidr(cidr))},
    }


def seen_ranges(configuration: Configuration, networks: Mapping[str, Network]) -> tuple[Cidrs, list[str]]:
    """status.remote, index by index that of the spec, and the names of the Networks that have no range yet."""
    remote, name = configuration.spec.remote.cidr, configuration.metadata.name
    missing: list[str] = []

    def seen(type_: str, ranges: Sequence[str]) -> list[str]:
        result = []
        for cidr in ranges:
            network = networks.get(network_name(name, type_, cidr))
            if network is None or network.deleting or not network.status.cidr:
                missing.append(network_name(name, type_, cidr))
            else:
                result.append(network.status.cidr)
        return result

    ranges = Cidrs(pod=seen(POD_TYPE, remote.pod), external=seen(EXTERNAL_TYPE, remote.external))
    return ranges, missing


def rule_on_missing(networks: Mapping[str, Refusal | None]) -> Verdict:
    """What to say while Networks have no range: why the first of them cannot have one, where one cannot."""
    for name, refusal in networks.items():
        if refusal is not None:
            message = f"Network {name} has no range: {refusal.message}"
            return Verdict(status="False", reason=refusal.reason, message=message)
    message = f"no range is assigned yet to Network {', '.join(networks)}: see its events"
    return Verdict(status="False", reason=WAITING, message=message)


def unknown_source_name(configuration: Configuration) -> str:
    """The name of the IP for sources of the peer that cannot be told."""
    return f"{configuration.metadata.name}-unknown-source"


def unknown_source(external: str) -> str:
    """The address that stands for such sources: the network address of the external CIDR (wire.md 10)."""
    return format_address(parse_cidr(external).first)


def forge_unknown_source(configuration: Configuration, external: str) -> Manifest:
    """The IP by which other peers reach it: of the peer's external CIDR as this cluster sees it (inferred)."""
    meta = configuration.metadata
    return {
        "metadata": {
            "name": unknown_source_name(configuration),
            "namespace": meta.namespace,
            "labels": {labels.REMOTE_CLUSTER_ID: peer_of(configuration), labels.MANAGED: labels.TRUE},
            "ownerReferences": [forge_controller(CONFIGURATIONS, configuration)],
        },
        "spec": {"ip": unknown_source(external)},
    }


def is_same_host(ip: IP, external: str) -> bool:
    """Whether the IP is for the unknown source of that external CIDR; spec.ip cannot be changed."""
    return ip.spec.ip == unknown_source(external)


def plan_local(configuration: Configuration, own: Cidrs) -> Manifest | None:
    """The patch that fills spec.local, None where it says so already."""
    local = configuration.spec.local
    if local is not None and local.cidr == own:
        return None
    return {
        "metadata": guard(configuration),
        "spec": {"local": {"cidr": {"pod": own.pod, "external": own.external}}},
    }


def plan_status(configuration: Configuration, verdict: Verdict, remote: Cidrs | None) -> Manifest | None:
    """The patch of the status, None where it says so already; `remote` None takes the ranges away.

    Conditions of others are kept.
    """
    status = configuration.status
    generation = configuration.metadata.generation
    current = next((one for one in status.conditions if one.type == CONFIGURED), None)
    said = (
        current is not None
        and (current.status, current.reason, current.message)
        == (verdict.status, verdict.reason, verdict.message)
        and current.observed_generation == generation
    )
    if said and status.remote.cidr == (remote or Cidrs()):
        return None
    condition: Manifest = {
        "type": CONFIGURED,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "observedGeneration": generation,
        "lastTransitionTime": _transition(current, verdict.status),
    }
    others = [_as_manifest(one) for one in status.conditions if one.type != CONFIGURED]
    ranges = None if remote is None else {"cidr": {"pod": remote.pod, "external": remote.external}}
    return {
        "metadata": guard(configuration),
        "status": {"remote": ranges, "conditions": [*others, condition]},
    }


def _transition(current: Condition | None, status: str) -> str:
    if current is not None and current.status == status and current.last_transition_time:
        return current.last_transition_time
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _as_manifest(condition: Condition) -> Manifest:
    result: Manifest = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.last_transition_time or _transition(None, ""),
    }
    if condition.observed_generation:
        result["observedGeneration"] = condition.observed_generation
    return result

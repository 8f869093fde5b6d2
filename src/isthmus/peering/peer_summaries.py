"""What a ForeignCluster says of a peer, from the objects that are about it (behaviour 3.9). Pure."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from msgspec import Struct

from isthmus.api import names
from isthmus.api.authentication import Identity, ResourceSlice, Tenant
from isthmus.api.core import ForeignClusterCondition, ForeignClusterStatus
from isthmus.api.offloading import VirtualNode
from isthmus.kube.builtin import Node
from isthmus.kube.objects import Manifest, Object
from isthmus.peering import secret_data
from isthmus.peering.conditions import transition_time
from isthmus.peering.handshake import CONTROL_PLANE, NO_HANDSHAKE
from isthmus.peering.peers import Peer, Refusal
from isthmus.peering.validity import read_validity

API_SERVER_STATUS = "APIServerStatus"
IDENTITY_REFUSED, CERTIFICATE_REFUSED = "IdentityRefused", "CertificateRefused"
"""Reasons of AuthIdentityControlPlaneStatus: no permissions, or a certificate that is not taken (any more)."""


Finding = tuple[str, str, str, str]
"""A condition: type, status, reason, message."""


class Facts(Struct, frozen=True, kw_only=True):
    """The objects that are about one peer, and what its API server answered (None: it is not asked)."""

    tenants: list[Tenant]
    identities: list[Identity]
    slices: list[ResourceSlice]
    secrets: list[Object]
    """The control-plane Secrets."""
    virtual_nodes: list[VirtualNode]
    nodes: list[Node]
    peer: Peer | None
    networking: list[Finding] = []
    """What the networking module says of the peer, nothing where it is not in use with it."""

    @property
    def empty(self) -> bool:
        """Whether nothing is left that is about the peer."""
        return not (
            self.tenants
            or self.identities
            or self.slices
            or self.secrets
            or self.virtual_nodes
            or self.nodes
            or self.networking
        )

    @property
    def control_plane(self) -> Identity | None:
        """The control plane's Identity towards the peer."""
        return next((one for one in self.identities if one.spec.type == CONTROL_PLANE), None)


def summarize(facts: Facts, current: ForeignClusterStatus, generation: int, now: str) -> Manifest:
    """The whole status of a ForeignCluster."""
    tenant = facts.tenants[0] if facts.tenants else None
    identity = facts.control_plane
    params = identity.spec.auth_params if identity is not None else None
    peer = facts.peer
    home = tenant or identity or next(iter(facts.secrets), None)
    namespaces = {
        "local": home.metadata.namespace if home is not None else "",
        "remote": identity.spec.namespace if identity is not None else "",
    }
    modules = current.modules
    return {
        "observedGeneration": generation,
        "role": find_role(facts),
        "modules": {
            "networking": {
                "enabled": bool(facts.networking),
                "conditions": _conditions(facts.networking, modules.networking.conditions, now),
            },
            "authentication": {
                "enabled": bool(tenant or identity or facts.secrets),
                "conditions": _conditions(
                    rule_on_authentication(facts), modules.authentication.conditions, now
                ),
            },
            "offloading": {
                "enabled": bool(facts.virtual_nodes),
                "conditions": _conditions(rule_on_offloading(facts), modules.offloading.conditions, now),
            },
        },
        "apiServerUrl": params.api_server if params is not None else (peer.server if peer else ""),
        "foreignProxyUrl": params.proxy_url if params is not None else (peer.proxy_url if peer else ""),
        "tenantNamespace": {key: value for key, value in namespaces.items() if value},
        "conditions": _conditions(rule_on_api_server(facts, current), current.conditions, now),
    }


def find_role(facts: Facts) -> str:
    """What the peer is to us."""
    consumer = bool(facts.tenants)
    provider = bool(facts.control_plane or facts.secrets or facts.virtual_nodes)
    if consumer and provider:
        return "ConsumerAndProvider"
    return "Consumer" if consumer else "Provider" if provider else "Unknown"


def rule_on_authentication(facts: Facts) -> list[Finding]:
    """The conditions of the authentication module."""
    findings: list[Finding] = []
    for tenant in facts.tenants[:1]:
        answered = tenant.status.auth_params is not None or tenant.spec.authz_policy == NO_HANDSHAKE
        ready = answered and bool(tenant.status.tenant_namespace)
        message = (
            "the consumer is admitted"
            if ready
            else "the consumer is not admitted yet: see the Tenant's events"
        )
        findings.append(("AuthTenantStatus", *_readiness(ready, "Tenant"), message))
    identity = facts.control_plane
    if identity is not None:
        wanted = names.kubeconfig_secret(identity.metadata.name)
        ready = any(secret.metadata.name == wanted for secret in facts.secrets)
        message = (
            f"Secret {wanted} {'exists' if ready else 'does not exist yet: see the events of the Identity'}"
        )
        refusal = facts.peer.refusal if facts.peer is not None else ""
        if ready and refusal:
            findings.append(("AuthIdentityControlPlaneStatus", "NotReady", *_explain(refusal, identity)))
        else:
            findings.append(("AuthIdentityControlPlaneStatus", *_readiness(ready, "Identity"), message))
    return findings


def _explain(refusal: Refusal, identity: Identity) -> tuple[str, str]:
    """Reason and message of an identity that the provider does not take."""
    if refusal == "permissions":
        return IDENTITY_REFUSED, "the provider takes the certificate but allows it nothing"
    if refusal == "kubeconfig":
        return (
            "IdentityUnusable",
            "the kubeconfig of the identity cannot be used: see the events of its Secret",
        )
    try:
        end = read_validity(secret_data.decode(identity.spec.auth_params.signed_crt).decode()).not_after
    except ValueError:
        return CERTIFICATE_REFUSED, "the provider does not take the certificate"
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(end))
    return CERTIFICATE_REFUSED, f"the provider does not take the certificate, which is valid until {when}"


def rule_on_offloading(facts: Facts) -> list[Finding]:
    """The conditions of the offloading module: how many of the virtual nodes run, and of their Nodes are ready."""
    if not facts.virtual_nodes:
        return []
    running = sum(_runs(one) for one in facts.virtual_nodes)
    with_node = sum(one.spec.create_node is not False for one in facts.virtual_nodes)
    ready = sum(_is_ready(node) for node in facts.nodes)
    findings = [_count("OffloadingVirtualNodeStatus", "VirtualNode", running, len(facts.virtual_nodes))]
    if with_node:
        findings.append(_count("OffloadingNodeStatus", "Node", ready, with_node))
    return findings


def rule_on_api_server(facts: Facts, current: ForeignClusterStatus) -> list[Finding]:
    """The condition of the peer's API server; as it was while the peer has not been asked since our start."""
    if not (facts.secrets or facts.control_plane):
        return []
    if facts.peer is not None and facts.peer.api_server:
        status = facts.peer.api_server
        return [(API_SERVER_STATUS, status, f"APIServer{status}", facts.peer.message[:512])]
    return [
        (one.type, one.status, one.reason, one.message)
        for one in current.conditions
        if one.type == API_SERVER_STATUS
    ]


def plan_status(current: ForeignClusterStatus, wanted: Manifest) -> Manifest | None:
    """The merge patch of the status, None where it says so already."""
    if msgspec.to_builtins(msgspec.convert(wanted, ForeignClusterStatus)) == msgspec.to_builtins(current):
        return None
    namespaces: dict[str, Any] = dict.fromkeys(("local", "remote")) | wanted["tenantNamespace"]
    return {"status": {**wanted, "tenantNamespace": namespaces}}


def _conditions(findings: list[Finding], current: list[ForeignClusterCondition], now: str) -> list[Manifest]:
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": transition_time(current, type_, status, now),
        }
        for type_, status, reason, message in findings
    ]


def _readiness(ready: bool, kind: str) -> tuple[str, str]:
    return ("Ready", f"{kind}Ready") if ready else ("NotReady", f"{kind}NotReady")


def _count(type_: str, kind: str, ready: int, all_: int) -> Finding:
    status = "Ready" if ready >= all_ else "SomeNotReady" if ready else "NotReady"
    return type_, status, f"{kind}s{status}", f"{min(ready, all_)} of {all_} {kind}s ready"


def _runs(virtual_node: VirtualNode) -> bool:
    return any(
        one.type == "VirtualKubelet" and one.status == "Running" for one in virtual_node.status.conditions
    )


def _is_ready(node: Node) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)

"""Approval of the serving certificates of virtual nodes: ours, and those of virtual kubelets in tenant namespaces.

A request is approved only if everything about it is exactly as it must be (wire.md 4): asked for by our own
identity or by a service account of a tenant namespace, for a virtual node that exists there, the organization of
nodes and no other, addresses and no names, the usages of a server. Others are left to whoever else approves;
nothing is ever denied. Nobody else can make this grant a certificate that a client authority would take.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Collection
from datetime import UTC, datetime

from msgspec import Struct

from isthmus.api.offloading import VirtualNode
from isthmus.kube.builtin import CSRS, CertificateSigningRequest
from isthmus.kube.certificates import RequestFacts, read_request
from isthmus.kube.client import Client
from isthmus.kube.errors import NotFound
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Manifest

logger = logging.getLogger(__name__)

SIGNER = "kubernetes.io/kubelet-serving"
REASON = "IdentityManagerApproval"
ORGANIZATION = "system:nodes"
COMMON_NAME = "system:node:"
TENANTS = "system:serviceaccount:liqo-tenant-"
SERVICE_ACCOUNT = "system:serviceaccount:"
USAGES = frozenset({"digital signature", "server auth"})
RSA_USAGES = USAGES | {"key encipherment"}
DECIDED = frozenset({"Approved", "Denied", "Failed"})


class Identity(Struct, frozen=True):
    """Who we are to our own API server, and the address our virtual nodes serve at."""

    username: str
    address: str


def is_for_us(request: CertificateSigningRequest, own: Identity) -> bool:
    """Whether a request is undecided and of somebody whose requests we approve at all."""
    asked = request.spec
    return (
        asked.signer_name == SIGNER
        and (asked.username == own.username or asked.username.startswith(TENANTS))
        and not request.status.certificate
        and not any(condition.type in DECIDED for condition in request.status.conditions)
    )


def fault(
    request: CertificateSigningRequest, facts: RequestFacts, nodes: Collection[Key], own: Identity
) -> str:
    """What keeps a request from being approved, "" where nothing does. `nodes` are the VirtualNodes there are."""
    node = facts.common_name.removeprefix(COMMON_NAME)
    if not facts.valid or facts.trailing:
        return "it is not signed by its own key, or more than one request"
    if not facts.common_name.startswith(COMMON_NAME) or not node:
        return f"its common name is not {COMMON_NAME} and a node"
    if facts.organizations != [ORGANIZATION]:
        return f"its organization is not exactly {ORGANIZATION}"
    if not facts.ips or facts.dns or facts.other_sans:
        return "its alternative names are not addresses only"
    if frozenset(request.spec.usages) not in (USAGES, RSA_USAGES):
        return "its usages are not those of a server"
    if request.spec.username == own.username:
        if facts.ips != [own.address]:
            return f"it asks for an address other than {own.address}"
        return "" if any(key.name == node for key in nodes) else f"there is no VirtualNode {node}"
    tenant = request.spec.username.removeprefix(SERVICE_ACCOUNT).partition(":")[0]
    return "" if Key(tenant, node) in nodes else f"there is no VirtualNode {node} in {tenant}"


def forge_approval(request: CertificateSigningRequest) -> Manifest:
    """What is written to the approval subresource; everything but the conditions is kept by the API server."""
    metadata = request.metadata
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {
            "name": metadata.name,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
        "spec": {
            "request": request.spec.request,
            "signerName": request.spec.signer_name,
            "usages": request.spec.usages,
        },
        "status": {
            "conditions": [
                {
                    "type": "Approved",
                    "status": "True",
                    "reason": REASON,
                    "message": "The serving certificate of a virtual node",
                    "lastUpdateTime": now,
                    "lastTransitionTime": now,
                }
            ]
        },
    }


class Approver:
    """Reconciles CertificateSigningRequests of the kubelet-serving signer."""

    def __init__(
        self,
        client: Client,
        requests: Informer[CertificateSigningRequest],
        nodes: Informer[VirtualNode],
        own: Identity,
    ) -> None:
        self._client = client
        self._requests = requests
        self._nodes = nodes
        self._own = own

    async def reconcile(self, key: Key) -> None:
        """Approve one request if it is to be approved."""
        request = self._requests.get(key)
        if request is None or not is_for_us(request, self._own):
            return
        try:
            facts = await read_request(base64.b64decode(request.spec.request).decode("ascii"))
        except ValueError as error:
            logger.warning("not approved: csr=%s, cannot be read: %s", key.name, error)
            return
        nodes = {node.key for node in self._nodes.list()}
        if found := fault(request, facts, nodes, self._own):
            logger.warning("not approved: csr=%s, of=%s: %s", key.name, request.spec.username, found)
            return
        try:
            await self._client.update(CSRS, forge_approval(request), subresource="approval")
        except NotFound:
            return
        logger.info("approved: csr=%s, of=%s", key.name, request.spec.username)

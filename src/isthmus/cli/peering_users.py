"""Peering users: kubeconfigs with which another operator can peer one consumer with this cluster (wire.md 4, 5, 7).

The user is a client certificate with a random name, so that a kubeconfig taken back stays so when another is made
for the same consumer. What it may do is in two roles of the installation, bound in the installation's namespace and
in the tenant namespace. Runs with an administrator's kubeconfig; the private key is never written anywhere.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from isthmus.api import labels
from isthmus.cli import installation
from isthmus.cli.cluster import Cluster, explained, step
from isthmus.cli.errors import CommandError
from isthmus.cli.manual import Site, make_namespace
from isthmus.cli.progress import Progress
from isthmus.cli.removal import Group, remove
from isthmus.cli.waiting import Deadline
from isthmus.cli.writes import FIELD_MANAGER
from isthmus.install.roles import PEERING_USER, RBAC
from isthmus.kube.builtin import CLUSTER_ROLES, CSRS, ROLE_BINDINGS, ROLES
from isthmus.kube.certificates import KeyPair, generate_key, make_request
from isthmus.kube.errors import AlreadyExists
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource
from isthmus.peering import secret_data
from isthmus.peering.api_server import complete_url
from isthmus.peering.conditions import timestamp
from isthmus.peering.signing import SIGNER, USAGES, SigningError, await_certificate, forge_approval

ORGANIZATION = "liqo.io"
TLS_MODES = ("auto", "true", "false")


def user_name(consumer: str) -> str:
    """How everything about the peering user of a consumer is labelled, and its request is called."""
    return f"liqo-peer-user-{consumer}"


def list_groups(site: Site) -> list[Group]:
    """All objects of the consumer's peering user; without them its certificate opens nothing."""
    selector = f"{labels.PEERING_USER_NAME}={user_name(site.peer)}"
    return [Group(site.cluster, ROLE_BINDINGS, "", selector), Group(site.cluster, CSRS, "", selector)]


async def make_peering_user(site: Site, tls_mode: str, server: str, progress: Progress) -> str:
    """Make the user and return its kubeconfig; `server` "" is the URL peers are told. Raises CommandError."""
    cluster = site.cluster
    with step(progress, f"No peering user of {site.peer} yet", cluster):
        await _refuse_second(site)
        roles = [
            await _find_role(cluster, kind, place)
            for kind, place in ((ROLES, cluster.namespace), (CLUSTER_ROLES, ""))
        ]
        options = await _read_options(cluster)
    await make_namespace(site, progress)
    name = f"{user_name(site.peer)}-{secrets.token_hex(16)}"
    compatible = options.get("key_type") == "RSA-2048" if tls_mode == "auto" else tls_mode == "true"
    with step(progress, f"Certificate of {user_name(site.peer)}", cluster):
        keys = await generate_key("RSA-2048" if compatible else "Ed25519")
        certificate = await _sign(site, name, keys)
    with step(progress, "Permissions", cluster):
        for manifest in forge_bindings(site, name, roles):
            namespace = manifest["metadata"]["namespace"]
            await cluster.client.create(ROLE_BINDINGS, manifest, namespace, field_manager=FIELD_MANAGER)
    credentials = cluster.client.credentials
    told = server or str(options.get("api_server_address", "")) or credentials.server
    authority = str(options.get("api_server_ca", "")) or credentials.ca_data
    return render_kubeconfig(site, complete_url(told), authority, certificate, keys)


async def remove_peering_user(site: Site, progress: Progress, deadline: Deadline) -> int:
    """Take the permissions of the consumer's peering user back; returns how many objects there were."""
    with step(progress, f"Peering user of {site.peer} removed", site.cluster) as current:
        return await remove(list_groups(site), deadline, current)


async def _refuse_second(site: Site) -> None:
    if any([await group.list() for group in list_groups(site)]):
        raise CommandError(
            f"{site.cluster.title} has a peering user for {site.peer} already; its kubeconfig is not stored",
            f"take it back with isthmus delete peering-user --consumer-cluster-id {site.peer}, then run this again",
        )


async def _find_role(cluster: Cluster, resource: Resource[Object], namespace: str) -> Object:
    selector = f"{labels.APP_COMPONENT}={PEERING_USER}"
    found = (await cluster.client.list(resource, namespace, label_selector=selector)).items
    if len(found) != 1:
        raise CommandError(
            f"{cluster.title} has {len(found)} {resource.kind} objects labelled {selector} instead of one",
            "run isthmus install there again",
        )
    return found[0]


async def _read_options(cluster: Cluster) -> dict[str, Any]:
    controller = await installation.find_controller(cluster)
    return installation.read_options(controller) if controller is not None else {}


async def _sign(site: Site, name: str, keys: KeyPair) -> bytes:
    client = site.cluster.client
    request = await make_request(keys.private, name, [ORGANIZATION])
    manifest = forge_request(site.peer, request)
    try:
        await client.create(CSRS, manifest, field_manager=FIELD_MANAGER)
    except AlreadyExists:
        raise CommandError(
            f"another peering user for {site.peer} is being made at this moment", "wait, then run this again"
        ) from None
    with explained(site.cluster, "approving the certificate"):
        await client.patch(
            CSRS, manifest["metadata"]["name"], forge_approval(timestamp()), subresource="approval"
        )
    try:
        return await await_certificate(client, manifest["metadata"]["name"])
    except SigningError as error:
        raise CommandError(
            f"{site.cluster.title}: {error}",
            f"then run isthmus delete peering-user --consumer-cluster-id {site.peer} and this again",
        ) from error


def forge_request(consumer: str, request: str) -> Manifest:
    """The CertificateSigningRequest of a peering user."""
    name = user_name(consumer)
    return {
        "metadata": {"name": name, "labels": {labels.PEERING_USER_NAME: name}},
        "spec": {
            "request": secret_data.encode(request),
            "signerName": SIGNER,
            "usages": USAGES,
            "groups": ["system:authenticated"],
        },
    }


def forge_bindings(site: Site, user: str, roles: list[Object]) -> list[Manifest]:
    """What lets the user read the installation's namespace and write in the tenant namespace."""
    reader, writer = roles
    name = user_name(site.peer)
    return [
        {
            "metadata": {
                "name": f"{name}-{suffix}",
                "namespace": namespace,
                "labels": {labels.PEERING_USER_NAME: name},
            },
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role.metadata.name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        }
        for suffix, namespace, kind, role in (
            ("liqo-ns-reader", site.cluster.namespace, "Role", reader),
            ("tenant-ns-writer", site.namespace, "ClusterRole", writer),
        )
    ]


def render_kubeconfig(site: Site, server: str, authority: str, certificate: bytes, keys: KeyPair) -> str:
    """The kubeconfig of a peering user as YAML; its cluster is called like the consumer (wire.md 5)."""
    cluster: Manifest = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = secret_data.encode(authority)
    user = f"{site.peer}-user"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": site.peer, "cluster": cluster}],
        "contexts": [
            {
                "name": "default-context",
                "context": {"cluster": site.peer, "user": user, "namespace": site.namespace},
            }
        ],
        "current-context": "default-context",
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": secret_data.encode(certificate),
                    "client-key-data": secret_data.encode(keys.private),
                },
            }
        ],
    }
    # JSON is YAML, and needs no library.
    return json.dumps(document, indent=2) + "\n"

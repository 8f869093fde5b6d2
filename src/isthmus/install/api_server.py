"""The address that peers are given for this cluster's API server: found where it can be, asked before it is told.

The controller itself finds a control-plane node. Where no node says that it is one, as in every managed cluster, the
address of the kubeconfig is taken: it is the one that clouds give their users. What is found or given is asked once,
verified as a peer would verify it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from urllib.parse import urlsplit

from msgspec import field

from isthmus.install.errors import InstallError
from isthmus.install.values import Tree, Values, group
from isthmus.kube.builtin import CONFIG_MAPS, NAMESPACES
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import (
    ApiError,
    CertificateError,
    ConfigurationError,
    Forbidden,
    NotFound,
    TransportError,
)
from isthmus.kube.objects import Base, Object
from isthmus.kube.options import Options
from isthmus.kube.resource import Resource
from isthmus.peering.api_server import api_server_url, complete_url
from isthmus.peering.errors import RefusedError

PATIENCE = 4.0
"""Seconds an address has to answer; one that does not may still be one for peers."""
SKIP = "--disable-api-server-sanity-check"
_ROOT_CA = "kube-root-ca.crt"


class InfrastructureStatus(Base, frozen=True, kw_only=True):
    """What OpenShift knows of its API server."""

    api_server_url: str = field(default="", name="apiServerURL")


class Infrastructure(Object, frozen=True, kw_only=True):
    """The object in which OpenShift describes itself."""

    status: InfrastructureStatus = field(default_factory=InfrastructureStatus)


_INFRASTRUCTURES = Resource(
    "config.openshift.io", "v1", "infrastructures", "Infrastructure", Infrastructure, namespaced=False
)


def is_own_address(url: str) -> bool:
    """Whether the URL leads to whoever asks it, and so never from a peer to this cluster."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def address_of(credentials: Credentials) -> str:
    """The address of a kubeconfig as one for peers, "" where it only works from here or with this kubeconfig."""
    url = urlsplit(credentials.server)
    plain = url.scheme == "https" and bool(url.hostname) and url.path in ("", "/")
    only_here = credentials.proxy_url or credentials.tls_server_name or is_own_address(credentials.server)
    return credentials.server.rstrip("/") if plain and not only_here else ""


async def with_address(client: Client, values: Values, recorded: Tree) -> tuple[Values, str]:
    """The values with the address that peers are given, where the controller would find none, and what to tell
    about it, "" for nothing. `recorded` are the values of an earlier installation."""
    if values.api_server.address or not values.authentication.enabled:
        return values, ""
    if openshift := await _openshift_url(client):
        return values.with_address(openshift), f"peers reach the API server at {openshift}, as OpenShift says"
    try:
        await api_server_url(client, Options(cluster_id=""))
    except RefusedError:
        pass
    else:
        return values, ""
    earlier = group(recorded, "apiServer").get("address")
    if isinstance(earlier, str) and earlier:
        return values.with_address(earlier), ""
    if address := address_of(client.credentials):
        return values.with_address(address), (
            f"peers reach the API server at {address}, as this kubeconfig does; if they need another address, give "
            "it with --api-server-url"
        )
    return values, (
        f"where peers reach the API server is not known: no node is labelled as control plane, and "
        f"{client.credentials.server} leads there from here only; give it with --api-server-url before a peer is to "
        "use this cluster"
    )


async def _openshift_url(client: Client) -> str:
    try:
        found = await client.find(_INFRASTRUCTURES, "cluster")
    except Forbidden:
        return ""
    return found.status.api_server_url if found is not None else ""


async def check_address(client: Client, values: Values) -> str:
    """Ask the address that peers are given, verified as they verify it; returns what to warn of, "" for nothing.

    Raises InstallError where it cannot be this cluster's: a peer would only find out when it wants to use it.
    """
    if not values.api_server.address or not values.authentication.enabled:
        return ""
    url = complete_url(values.api_server.address)
    named = f'API server address (--api-server-url): "{url}"'
    if is_own_address(url):
        raise InstallError(
            f"{named} leads every peer to itself", f"give one that peers can reach, or add {SKIP}"
        )
    authority = "" if values.api_server.trusted_ca else values.api_server.ca or await _authority(client)
    try:
        return await _compare(client, url, authority, named)
    except CertificateError as error:
        raise InstallError(
            f"{named}: peers would refuse its certificate ({error})",
            "have the certificate name that address (kubeadm: apiServer.certSANs, k3s: --tls-san), set apiServer.ca "
            f"or apiServer.trustedCA if it is of another authority, or add {SKIP}",
        ) from error
    except ConfigurationError as error:
        raise InstallError(f"{named}: {error}") from error
    except ApiError:
        # Whoever has the right certificate will do: whom it lets in is another question.
        return ""
    except TransportError as error:
        return f"{named} does not answer here ({error}); peers have to reach it"


async def _compare(client: Client, url: str, authority: str, named: str) -> str:
    # Whoever is only publicly trusted may be anybody: it is not shown who we are.
    known = client.credentials if authority else client.credentials.route
    asked = replace(known, server=url, ca_data=authority, tls_server_name="", proxy_url="")
    async with Client(asked, user_agent="isthmus-cli", timeout=PATIENCE, attempts=1) as other:
        there = await other.find(NAMESPACES.partial(), "kube-system")
    here = await client.find(NAMESPACES.partial(), "kube-system")
    if here is not None and (there is None or there.metadata.uid != here.metadata.uid):
        raise InstallError(
            f"{named} is another cluster than {client.credentials.server}",
            f"give this cluster's address, or add {SKIP}",
        )
    return ""


async def _authority(client: Client) -> str:
    """The authority that the controller will tell peers: what Kubernetes gives every service account."""
    try:
        found = await client.find(CONFIG_MAPS, _ROOT_CA, "kube-system")
    except (Forbidden, NotFound):
        found = None
    return (found.data.get("ca.crt", "") if found is not None else "") or client.credentials.ca_data

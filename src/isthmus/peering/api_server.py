"""What peers are told about our API server: its URL and the authority its certificate is from (behaviour 3.3).

The URL is the option's, else the address of a control-plane node with port 6443. Looked up when it is needed;
where there is neither, the Tenant is refused with an event that names the option.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.kube.builtin import NODES, Node
from isthmus.kube.client import Client
from isthmus.kube.options import Options
from isthmus.peering.errors import RefusedError

CONTROL_PLANE_LABELS = tuple(
    f"node-role.kubernetes.io/{role}" for role in ("control-plane", "master", "controlplane")
)
API_SERVER_PORT = 6443
RETRY_SECONDS = 30.0
_ADDRESS_TYPES = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname")


async def api_server_url(client: Client, options: Options) -> str:
    """The URL peers reach our API server at. Raises RefusedError where it cannot be known."""
    if options.api_server_address:
        return complete_url(options.api_server_address)
    for label in CONTROL_PLANE_LABELS:
        page = await client.list(NODES, label_selector=label)
        address = pick_address(page.items)
        if address:
            return complete_url(f"{address}:{API_SERVER_PORT}")
    raise RefusedError(
        "APIServerAddressUnknown",
        "no node is labelled node-role.kubernetes.io/control-plane, so the URL of this cluster's API server is "
        "not known: set apiServer.address (isthmus install --api-server-url URL)",
        retry_after=RETRY_SECONDS,
    )


def api_server_authority(client: Client, options: Options) -> str:
    """The PEM authorities of our API server as peers are told them; "" where it is publicly trusted."""
    if options.trusted_ca:
        return ""
    return options.api_server_ca or client.credentials.ca_data


def pick_address(nodes: Iterable[Node]) -> str:
    """The address of the first node that has one, inside addresses before outside ones, IPv6 in brackets."""
    for node in sorted(nodes, key=lambda node: node.metadata.name):
        found = {address.type: address.address for address in reversed(node.status.addresses)}
        for type_ in _ADDRESS_TYPES:
            if address := found.get(type_):
                return f"[{address}]" if ":" in address else address
    return ""


def complete_url(address: str) -> str:
    """The address with `https://` put before it where no scheme is given."""
    return address if "://" in address else f"https://{address}"

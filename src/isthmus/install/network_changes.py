"""What of the network an upgrade may not change while peers rely on it, found out before the first write.

Peers know this cluster's ranges and reach it through its gateways. Neither may go under them; without peers both may.
"""

from __future__ import annotations

from isthmus.api.ipam import NETWORKS
from isthmus.install.errors import InstallError
from isthmus.install.fabric import has_fabric
from isthmus.install.ownership import OWN_SELECTOR
from isthmus.install.usage import liqo_resources, list_served
from isthmus.install.values import Values
from isthmus.kube.client import Client
from isthmus.kube.errors import NotFound
from isthmus.kube.objects import Manifest

_IN_USE = ("GatewayServer", "GatewayClient", "Configuration")


async def check_changes(client: Client, values: Values, manifests: list[Manifest], namespace: str) -> None:
    """Raise InstallError where peers are connected and this would switch networking off or change our ranges."""
    ending = not values.networking.enabled and await has_fabric(client, namespace)
    stale = await _changed(client, manifests, namespace) if values.networking.enabled else {}
    if not (ending or stale):
        return
    resources = liqo_resources()
    used = [found for kind in _IN_USE for found in await list_served(client, resources[kind])]
    if not used:
        return
    where = ", ".join(sorted({found.metadata.namespace for found in used}))
    if ending:
        raise InstallError(
            f"value networking.enabled: false, but peers are connected (in {where})",
            "isthmus unpeer first, or leave it true",
        )
    listed = ", ".join(f"{name} ({cidr})" for name, cidr in sorted(stale.items()))
    raise InstallError(
        f"these ranges cannot change while peers know them (in {where}): {listed}",
        "isthmus unpeer first, or give the values of ipam as they were installed",
    )


async def drop_changed(client: Client, manifests: list[Manifest], namespace: str) -> None:
    """Delete Networks whose range is another now: it is immutable, so they are made anew."""
    wanted = _wanted(manifests)
    for name in await _changed(client, manifests, namespace):
        if name in wanted:
            await client.delete(NETWORKS.partial(), name, namespace)


async def _changed(client: Client, manifests: list[Manifest], namespace: str) -> dict[str, str]:
    """The installed Networks that are no longer wanted as they are, and their ranges."""
    wanted = _wanted(manifests)
    try:
        installed = (await client.list(NETWORKS, namespace, label_selector=OWN_SELECTOR)).items
    except NotFound:
        return {}
    return {
        found.metadata.name: found.spec.cidr
        for found in installed
        if wanted.get(found.metadata.name) != found.spec.cidr
    }


def _wanted(manifests: list[Manifest]) -> dict[str, str]:
    return {each["metadata"]["name"]: each["spec"]["cidr"] for each in manifests if each["kind"] == "Network"}

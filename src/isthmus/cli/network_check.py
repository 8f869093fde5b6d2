"""What is read before two pod networks are joined: ranges, gateways that are there, templates. Reads only.

Works with the rights of a peering user, who may read Networks and templates in the installation's namespace and the
gateways of its tenant namespace (wire.md 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from isthmus.api import labels
from isthmus.api.ipam import IPS, NETWORKS, Network
from isthmus.api.networking import (
    CONFIGURATIONS,
    GATEWAY_CLIENTS,
    GATEWAY_SERVERS,
    WG_GATEWAY_CLIENT_TEMPLATES,
    WG_GATEWAY_SERVER_TEMPLATES,
    Cidrs,
    GatewayClient,
    GatewayServer,
)
from isthmus.cli.cluster import Cluster, explained, step
from isthmus.cli.errors import CommandError
from isthmus.cli.network_plan import NetworkWish, Present, Template, decide_server, plan_exposure
from isthmus.cli.network_trouble import explain_refusal
from isthmus.cli.preflight import Pair
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.kube.builtin import SERVICES
from isthmus.kube.errors import Forbidden, Invalid, NotFound
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource
from isthmus.network.configuration.forge import own_ranges
from isthmus.network.configuration.validation import AnnouncementError, require_ranges
from isthmus.network.ipam.installation import EXTERNAL, POD
from isthmus.network.remap import map_through, pair_ranges

RANGES_PATIENCE = 30.0
"""Seconds to wait for a fresh installation to assign its own ranges."""
PROXY_IP, PROXY_PORT = "api-server-proxy", 8118


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tunnel: a cluster, the id of the one at the other end, and the tenant namespace for it."""

    cluster: Cluster
    peer_id: str
    namespace: str

    @property
    def selector(self) -> str:
        """What every object about the peer is found by."""
        return f"{labels.REMOTE_CLUSTER_ID}={self.peer_id}"


@dataclass(frozen=True, slots=True)
class Gateways:
    """The gateways of one end, those being deleted left out."""

    server: GatewayServer | None = None
    client: GatewayClient | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Which end is the server, what is there of the tunnel, and each cluster's ranges by its id.

    `given` says that gateways which are there decided who is the server, against the flag.
    """

    server: End
    client: End
    gateways: dict[str, Gateways]
    ranges: dict[str, Cidrs]
    given: bool = False


def list_ends(pair: Pair) -> tuple[End, End]:
    """The ends of the local and of the remote cluster; the tenant namespaces are known by then."""
    return (
        End(pair.local, pair.remote.id, pair.local_namespace),
        End(pair.remote, pair.local.id, pair.remote_namespace),
    )


async def read_ranges(cluster: Cluster, progress: Progress, deadline: Deadline) -> Cidrs | None:
    """The cluster's own pod and external ranges; None where the networking module is not installed.

    Raises CommandError where they are not assigned in time.
    """
    if not await _list_networks(cluster):
        return None
    with step(progress, "Address ranges", cluster) as current:

        async def find() -> Cidrs | None:
            networks = await _list_networks(cluster)
            missing = [one.metadata.name for one in networks if not one.status.cidr]
            current.update(f"no range yet: {', '.join(missing)}" if missing else "")
            return own_ranges(networks)

        found = await wait_for(
            find,
            deadline.within(RANGES_PATIENCE),
            current,
            f"{cluster.title} did not assign its own ranges to the Networks in namespace {cluster.namespace}",
            "look at the events of these Networks",
        )
        current.title = f"Address ranges: pods {', '.join(found.pod)}, external {', '.join(found.external)}"
    return found


async def _list_networks(cluster: Cluster) -> list[Network]:
    """The Networks of pods and of external hosts, of both or none."""
    selector = f"{labels.NETWORK_TYPE} in ({POD},{EXTERNAL})"
    with explained(cluster, "reading the address ranges"):
        try:
            found = (await cluster.client.list(NETWORKS, cluster.namespace, label_selector=selector)).items
        except NotFound:
            return []  # The kind is not served: an installation from before there was networking.
    types = {one.metadata.labels.get(labels.NETWORK_TYPE) for one in found}
    return found if types == {POD, EXTERNAL} else []


def require_networking(pair: Pair, local: Cidrs | None, remote: Cidrs | None) -> bool:
    """Whether both clusters have networking; False where neither has. Raises CommandError where one lacks it."""
    if (local is None) == (remote is None):
        return local is not None
    lacking, having = (pair.local, pair.remote) if local is None else (pair.remote, pair.local)
    raise CommandError(
        f"{lacking.title} has no networking module (no Networks with pod and external ranges in namespace "
        f"{lacking.namespace}), and {having.id} has",
        f"install it in {lacking.id} with isthmus install --set networking.enabled=true, or leave the pod networks "
        "apart with --networking-disabled",
    )


async def plan_tunnel(pair: Pair, wish: NetworkWish, local: Cidrs, remote: Cidrs) -> Plan:
    """Read what is there and decide who is the server. Raises CommandError for what cannot work."""
    ends = list_ends(pair)
    for announcing, ranges in ((pair.remote, remote), (pair.local, local)):
        _require_usable(announcing, ranges)
    gateways = {end.cluster.id: await _find_gateways(end) for end in ends}
    mine, theirs = gateways[pair.local.id], gateways[pair.remote.id]
    side, given = decide_server(
        wish.location,
        Present(mine.server is not None, mine.client is not None),
        Present(theirs.server is not None, theirs.client is not None),
        (pair.local.id, pair.remote.id),
    )
    server, client = ends if side == "local" else (ends[1], ends[0])
    if not wish.skip_validation:
        for end, resource, template, flag in (
            (server, WG_GATEWAY_SERVER_TEMPLATES, wish.server_template, "--gw-server-template-name"),
            (client, WG_GATEWAY_CLIENT_TEMPLATES, wish.client_template, "--gw-client-template-name"),
        ):
            if template.kind == resource.kind:
                await _require_template(end.cluster, resource, template, flag)
    if not given:
        await _require_free_port(server, wish, gateways[server.cluster.id].server)
    return Plan(server, client, gateways, {pair.local.id: local, pair.remote.id: remote}, given)


def _require_usable(cluster: Cluster, ranges: Cidrs) -> None:
    try:
        require_ranges(ranges)
    except AnnouncementError as error:
        raise CommandError(
            f"the address ranges of {cluster.title} cannot be joined with another cluster's: "
            f"{str(error).removeprefix('spec.remote.cidr.')}",
            f"reinstall {cluster.id} with valid ranges (--pod-cidr)",
        ) from None


async def _find_gateways(end: End) -> Gateways:
    with explained(end.cluster, "reading the gateways"):
        servers = await _list_of_peer(end, GATEWAY_SERVERS)
        clients = await _list_of_peer(end, GATEWAY_CLIENTS)
    return Gateways(servers[0] if servers else None, clients[0] if clients else None)


async def _list_of_peer(end: End, resource: Resource[Any]) -> list[Any]:
    page = await end.cluster.client.list(resource, end.namespace, label_selector=end.selector)
    return [one for one in page.items if not one.deleting]


async def _require_template(cluster: Cluster, resource: Resource[Any], template: Template, flag: str) -> None:
    namespace = template.namespace or cluster.namespace
    with explained(cluster, "reading the gateway template"):
        found: Object | None = await cluster.client.find(resource.partial(), template.name, namespace)
    if found is None:
        raise CommandError(
            f"{cluster.title} has no {template.kind} {namespace}/{template.name}",
            f"run isthmus install there again, or name another with {flag} of isthmus network connect",
        )


async def _require_free_port(end: End, wish: NetworkWish, before: GatewayServer | None) -> None:
    """Have the API server say what it has against a node port, before anything is written.

    Its dry run looks at every Service, but not at the range of ports. Who gave one out of range, or may not create
    Services, as a peering user, is told later, by the controller's event.
    """
    port = wish.node_port
    if port is None or (before is not None and before.spec.endpoint.node_port == port):
        return
    exposure = plan_exposure(wish, before)
    trial = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"generateName": "gw-"},
        "spec": {
            "type": "NodePort",
            "ports": [{"port": exposure.port, "protocol": "UDP", "nodePort": port}],
        },
    }
    with explained(end.cluster, "asking for a node port"):
        try:
            await end.cluster.client.request(
                "POST",
                SERVICES.path(end.cluster.namespace),
                query=[("dryRun", "All")],
                body=msgspec.json.encode(trial),
            )
        except Forbidden:
            return
        except Invalid as error:
            raise explain_refusal(
                end.cluster.id, "GatewayServer", end.peer_id, error.detail, exposure
            ) from error


async def find_in_band_proxy(pair: Pair) -> str:
    """The URL under which the local cluster reaches the remote one's API server through the tunnel.

    It is the address of the remote cluster's proxy as the local one sees it. Raises CommandError.
    """
    remote = pair.remote
    with explained(remote, "reading the address of the API server's proxy"):
        proxy = await remote.client.find(IPS, PROXY_IP, remote.namespace)
    if proxy is None or not proxy.status.ip:
        raise CommandError(
            f"--in-band: {remote.title} has no IP {remote.namespace}/{PROXY_IP}"
            + (" with an address" if proxy is not None else ", so no proxy of its API server"),
            f"install {remote.id} with proxy.enabled=true, or leave --in-band out",
        )
    with explained(pair.local, "reading the Configuration"):
        seen = await pair.local.client.find(CONFIGURATIONS, remote.id, pair.local_namespace)
    try:
        pairs = pair_ranges(seen.spec.remote.cidr.external, seen.status.remote.cidr.external) if seen else []
        address = map_through(proxy.status.ip, pairs)
    except ValueError as error:
        raise CommandError(
            f"--in-band: the address of {remote.id}'s proxy cannot be mapped: {error}"
        ) from error
    if address is None:
        raise CommandError(
            f"--in-band: {proxy.status.ip}, the address of {remote.id}'s proxy, is in none of its external ranges",
            f"look at IP {PROXY_IP} in namespace {remote.namespace} of {remote.id}",
        )
    return f"http://{address}:{PROXY_PORT}"

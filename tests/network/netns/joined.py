"""Rome and milan joined by our plans, as the two roles would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.fabrics import Fabric
from isthmus.network.dataplane.state import State
from isthmus.network.gateway.plan import GatewayFacts, MappedHost, OverlayNode, Ranges, plan_gateway
from isthmus.network.node.plan import NodeFacts, plan_node
from isthmus.network.wireguard import Configuration, Tunnel
from tests.network.netns.support import GATEWAY, NODE_INSIDE, POD, PORT, WAN, Cluster

PODS, EXTERNAL = "10.244.0.0/16", "10.70.0.0/16"
SEEN_PODS, SEEN_EXTERNAL = "10.71.0.0/16", "10.72.0.0/16"
NODE_OVERLAY, GATEWAY_OVERLAY = "10.80.0.5", "10.80.0.2"
NODE_UID, GATEWAY_UID = "uid-of-the-node", "uid-of-the-gateway"
SEEN_POD = "10.71.1.5"
"""The other cluster's pod, as seen in both."""
MAPPED = "10.70.0.9"
MTU = 1340


class Side(Struct):
    """One cluster with what our processes hold of it."""

    cluster: Cluster
    node: DataPlane
    gateway: DataPlane
    tunnel: Tunnel
    node_state: State
    gateway_state: State


def facts(mode: str, seen_pods: str = SEEN_PODS) -> GatewayFacts:
    """What a gateway of either cluster knows."""
    return GatewayFacts(
        mode=mode,
        mtu=MTU,
        underlay_mtu=1500,
        overlay=GATEWAY_OVERLAY,
        uid=GATEWAY_UID,
        ranges=Ranges(
            local_pod=(PODS,),
            local_external=(EXTERNAL,),
            real_pod=(PODS,),
            real_external=(EXTERNAL,),
            seen_pod=(seen_pods,),
            seen_external=(SEEN_EXTERNAL,),
        ),
        nodes=(
            OverlayNode(
                name="n1",
                address=NODE_INSIDE,
                overlay=NODE_OVERLAY,
                uid=NODE_UID,
                pod_cidrs=("10.244.1.0/24",),
            ),
        ),
        own_node="n1",
        hosts=(MappedHost(address="192.0.2.7", seen=MAPPED),),
    )


def node_facts(node_uid: str = NODE_UID, gateway_uid: str = GATEWAY_UID) -> NodeFacts:
    """What a node of either cluster knows; the uids are those of its InternalNode and of the InternalFabric."""
    fabric = Fabric(
        name="peer",
        address=GATEWAY,
        overlay=GATEWAY_OVERLAY,
        uid=gateway_uid,
        remote_cidrs=(SEEN_PODS, SEEN_EXTERNAL),
        mtu=MTU,
    )
    return NodeFacts(
        overlay=NODE_OVERLAY,
        uid=node_uid,
        addresses=(NODE_INSIDE,),
        underlay_mtu=1500,
        pod_cidrs=(PODS,),
        fabrics=(fabric,),
        masqueraded=("192.0.2.7",),
    )


@asynccontextmanager
async def joined(pair: tuple[Cluster, Cluster]) -> AsyncIterator[tuple[Side, Side]]:
    """Join the two through userspace WireGuard; the tunnel's children are ended at the end."""
    sides = []
    for cluster, mode in zip(pair, ("client", "server"), strict=True):
        tunnel = Tunnel(cluster.gateway.commands, "liqo-tunnel")
        sides.append(
            Side(
                cluster,
                DataPlane(cluster.node.commands),
                DataPlane(cluster.gateway.commands, tunnel.make),
                tunnel,
                plan_node(node_facts()),
                plan_gateway(facts(mode)),
            )
        )
    try:
        keys = [side.cluster.gateway.run("wg", "genkey").strip() for side in sides]
        public = [
            side.cluster.gateway.run("wg", "pubkey", text=key).strip()
            for side, key in zip(sides, keys, strict=True)
        ]
        # The server first: a handshake that nobody answers is tried again only after 5 s.
        for number, side in reversed(list(enumerate(sides))):
            await side.node.apply(side.node_state)
            await side.gateway.apply(side.gateway_state)
            client = number == 0
            await side.tunnel.configure(
                Configuration(
                    private_key=keys[number],
                    public_key=public[number],
                    port=0 if client else PORT,
                    peer=public[1 - number],
                    endpoint=f"{WAN['milan']}:{PORT}" if client else "",
                ),
                alive=False,
            )
        # Liveness in the client's gateway does this: the server learns where its client is.
        await pair[0].gateway.commands.run("busybox", "ping", "-c", "1", "-W", "3", "169.254.18.1")
        yield sides[0], sides[1]
    finally:
        for side in sides:
            await side.tunnel.close()


__all__ = ["GATEWAY", "NODE_INSIDE", "POD"]

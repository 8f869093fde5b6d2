"""Two replicas of one gateway: the other one takes over in time, and a stopped leader carries nothing meanwhile."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.network.netns.processes import GatewayProcess, NamespaceServer
from tests.network.netns.support import Cluster, bound
from tests.network.netns.test_failures import note
from tests.network.netns.test_keeping import until
from tests.network.netns.test_processes import Side

pytestmark = pytest.mark.usefixtures("promised")
TAKEOVER = 5.0
ACTIVE = "networking.liqo.io/active"
FENCED = "elements"


def _active(side: Side) -> set[str]:
    return {
        name
        for (kind, _, name), value in side.api.objects.items()
        if kind == "pods" and value["metadata"].get("labels", {}).get(ACTIVE) == "true"
    }


def _open(gateway: GatewayProcess) -> bool:
    return FENCED in gateway.namespace.run("sh", "-c", "nft list set ip isthmus_lead leading || true")


@asynccontextmanager
async def replicas(
    pair: tuple[Cluster, Cluster], folder: Path
) -> AsyncIterator[tuple[Side, list[GatewayProcess], list[NamespaceServer]]]:
    """Two replicas of rome's server for milan, named a (which leads) and b."""
    side = Side(pair[0], "milan", "server", folder / "rome")
    made: list[GatewayProcess] = []
    servers: list[NamespaceServer] = []
    async with AsyncExitStack() as stack:
        for name, cluster in zip("ab", pair, strict=True):
            side.api.create("pods", {"metadata": {"name": name, "namespace": side.namespace}})
            server = NamespaceServer(side.api.handle, cluster.gateway)
            await stack.enter_async_context(server)
            settings = msgspec.to_builtins(side.settings()) | {"replicas": 2, "pod_name": name}
            made.append(GatewayProcess(cluster.gateway, settings, server.url, side.folder))
            servers.append(server)
        try:
            await made[0].start()
            await until(lambda: _active(side) == {"a"} and _open(made[0]))
            await made[1].start()
            # It has looked at the lease before anything happens to the leader.
            await servers[1].until(3)
            yield side, made, servers
        finally:
            for one in made:
                if one.child is not None:
                    await one.end()


async def test_the_other_replica_takes_over_from_a_killed_one(
    pair: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    async with replicas(pair, tmp_path) as (side, (first, second), _):
        await first.end()
        killed = time.monotonic()
        await until(lambda: _active(side) == {"b"} and _open(second), bound(TAKEOVER))
        note("taken over from a killed leader", time.monotonic() - killed)


@pytest.mark.parametrize("how", ["stopped", "parted"])
async def test_a_leader_that_is_stopped_or_parted_carries_nothing_once_the_lease_can_be_taken(
    pair: tuple[Cluster, Cluster], tmp_path: Path, how: str
) -> None:
    async with replicas(pair, tmp_path) as (side, (first, second), servers):
        begun = time.monotonic()
        if how == "stopped":
            assert first.child is not None
            first.child.send_signal(signal.SIGSTOP)
        else:
            await servers[0].stop()
        while _active(side) != {"b"}:
            assert time.monotonic() - begun < bound(TAKEOVER)
            # Asked before we look who leads: open together with another's lead would be two that carry.
            lease = side.api.get(
                "leases", side.namespace, f"milan.{side.namespace}.server.connections.liqo.io"
            )
            assert lease is not None
            if lease["spec"]["holderIdentity"] == "b":
                assert not _open(first)
            await asyncio.sleep(0.02)
        assert not _open(first)
        await until(lambda: _open(second), bound(TAKEOVER) - (time.monotonic() - begun))
        note(f"taken over from a {how} leader", time.monotonic() - begun)
        if how == "stopped":
            assert first.child is not None
            first.child.send_signal(signal.SIGCONT)
        assert first.child is not None
        # It finds that it lost the lead, takes its tunnel down and ends, to begin anew.
        await asyncio.wait_for(first.child.wait(), bound(TAKEOVER))
        assert "liqo-tunnel" not in first.namespace.run("ip", "link")
        assert _active(side) == {"b"}
        assert _open(second)

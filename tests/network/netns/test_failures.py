"""What goes wrong in a tunnel's life, with real WireGuard and processes: traffic is back in time, nothing is left."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from tests.network.netns.processes import GatewayProcess, Pair, processes
from tests.network.netns.support import Cluster, bound
from tests.network.netns.test_keeping import until

pytestmark = pytest.mark.usefixtures("promised")
RESUME = 5.0
"""Seconds within which traffic is to flow again once its cause is gone."""


def note(what: str, seconds: float) -> None:
    """For whoever runs this with -s: the figure."""
    print(f"\n  {what}: {seconds:.2f} s")


async def _killed_and_started(joined: Pair, number: int) -> float:
    gateway = joined.gateways[number]
    await gateway.end()
    # The device goes with its process.
    await until(lambda: "liqo-tunnel" not in gateway.namespace.run("ip", "-br", "link"), bound(2.0))
    assert gateway.carriers() == []
    gone = time.monotonic()
    await gateway.start()
    return await joined.probe.resumed(gone, bound(RESUME) + 5)


def _anew(gateway: GatewayProcess, before: int) -> bool:
    return gateway.carriers() not in ([], [before])


@pytest.mark.parametrize("number", [0, 1], ids=["client", "server"])
async def test_a_killed_gateway_leaves_nothing_that_keeps_the_next_one_back(
    pair: tuple[Cluster, Cluster], tmp_path: Path, number: int
) -> None:
    async with processes(pair, tmp_path) as joined:
        for _ in range(2):
            took = await _killed_and_started(joined, number)
            note("gateway killed and started", took)
            assert took < bound(RESUME)
            assert len(joined.gateways[number].carriers()) == 1


async def test_a_crashed_wireguard_is_started_again(pair: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    async with processes(pair, tmp_path) as joined:
        for number in (0, 1):
            gateway = joined.gateways[number]
            (carrier,) = gateway.carriers()
            pair[number].gateway.run("kill", "-9", str(carrier))
            begun = time.monotonic()
            await until(partial(_anew, gateway, carrier), bound(2.0))
            note("userspace WireGuard started again", time.monotonic() - begun)
            took = await joined.probe.resumed(time.monotonic(), bound(RESUME))
            note("traffic after that", took)


@pytest.mark.parametrize("seconds", [1.0, pytest.param(30.0, marks=pytest.mark.endurance)])
async def test_a_cut_tunnel_carries_again_soon_after(
    pair: tuple[Cluster, Cluster], tmp_path: Path, seconds: float
) -> None:
    async with processes(pair, tmp_path) as joined:
        cut = "add table ip cut; add chain ip cut c { type filter hook prerouting priority -400; };"
        for one in pair:
            one.node.run("nft", f"{cut} add rule ip cut c iifname wan drop")
        await asyncio.sleep(seconds)
        for one in pair:
            one.node.run("nft", "delete table ip cut")
        took = await joined.probe.resumed(time.monotonic(), bound(RESUME))
        note(f"cut for {seconds:.0f} s", took)


async def test_a_client_whose_nat_forgot_it_is_followed_to_its_new_port(
    pair: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    async with processes(pair, tmp_path) as joined:
        node = pair[0].node
        before = pair[1].gateway.run("wg", "show", "liqo-tunnel", "endpoints")
        ports = "udp dport 51840 masquerade to :40000-40009"
        node.run("nft", "-f", "-", text=f"insert rule ip cni post oifname wan {ports}")
        node.run("conntrack", "-F")
        took = await joined.probe.resumed(time.monotonic(), bound(RESUME))
        note("NAT mapping lost", took)
        after = pair[1].gateway.run("wg", "show", "liqo-tunnel", "endpoints")
        assert before != after
        assert ":4000" in after


async def test_harm_to_a_gateway_is_repaired_within_a_second_and_rests(
    pair: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    async with processes(pair, tmp_path) as joined:
        gateway = pair[0].gateway
        for harm, there in (
            (("nft", "flush", "ruleset"), lambda: "passage" in gateway.run("nft", "list", "ruleset")),
            (("ip", "route", "flush", "table", "6092"),
             lambda: "liqo-tunnel" in gateway.run("ip", "route", "show", "table", "6092")),
            (("ip", "rule", "del", "priority", "600"), lambda: "600:" in gateway.run("ip", "rule")),
            (("ip", "link", "del", "isthmus0"),
             lambda: "isthmus0" in gateway.run("ip", "route", "show", "table", "6093")),
            (("ip", "addr", "flush", "dev", "liqo-tunnel"),
             lambda: "169.254.18.2" in gateway.run("ip", "addr", "show", "dev", "liqo-tunnel")),
        ):  # fmt: skip
            gateway.run(*harm)
            note(" ".join(harm), await until(there, bound(1.0)))
            await joined.probe.resumed(time.monotonic(), bound(RESUME))
        child = joined.gateways[0].child
        assert child is not None
        used = _cpu(child.pid)
        for number in range(40):
            # A CNI at its own work.
            gateway.run("ip", "route", "replace", f"198.51.100.{number}/32", "dev", "eth0")
            gateway.run("nft", "add", "table", "ip", f"cni{number}")
        assert _cpu(child.pid) - used < 0.1, "what others do costs next to nothing"


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100

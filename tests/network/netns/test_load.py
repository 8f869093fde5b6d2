"""Userspace WireGuard under more than it can carry: what it cannot send yet waits in the kernel, not in its memory."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

from tests.network.netns.joined import SEEN_POD
from tests.network.netns.processes import processes
from tests.network.netns.support import POD, Cluster, bound

LOAD = 200_000_000
"""Bytes: enough for congestion control to fill every queue there is."""
FLOWS = 4
MOST = 100.0
"""MB a process may have had at its peak. 60 to 75 were measured; with the library's own queues 127 to 330."""


@pytest.mark.figures
async def test_a_full_tunnel_takes_bounded_memory(pair: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    async with processes(pair, tmp_path) as joined:
        async with asyncio.timeout(bound(60)):
            received = await _transfer(*pair)
        assert received == LOAD
        peaks = [_peak(carrier) for one in joined.gateways for carrier in one.carriers()]
        print(f"\n  peaks of userspace WireGuard: {', '.join(f'{peak:.0f} MB' for peak in peaks)}")
        assert len(peaks) == 2
        assert max(peaks) < MOST


async def _transfer(here: Cluster, there: Cluster) -> int:
    """Send the load over several connections at once; how many bytes arrived."""
    loop = asyncio.get_running_loop()
    listening = there.pod.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind((POD, 9200))
    listening.listen(FLOWS)
    listening.setblocking(False)

    async def receive(connection: socket.socket) -> int:
        total = 0
        with connection:
            while data := await loop.sock_recv(connection, 1 << 18):
                total += len(data)
        return total

    async def receive_all() -> int:
        accepted = [(await loop.sock_accept(listening))[0] for _ in range(FLOWS)]
        return sum(await asyncio.gather(*map(receive, accepted)))

    async def send() -> None:
        with here.pod.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            one.setblocking(False)
            await loop.sock_connect(one, (SEEN_POD, 9200))
            await loop.sock_sendall(one, bytes(LOAD // FLOWS))

    with listening:
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(receive_all())
            for _ in range(FLOWS):
                group.create_task(send())
    return receiving.result()


def _peak(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6

"""The controller killed again and again while peers come: every one is mapped in the end, and no two alike."""

from __future__ import annotations

from itertools import pairwise

from isthmus.api.cidr import parse_cidr
from tests.apiserver import ApiServer, running
from tests.network.configuration.test_controller import MODULES, announce, seen
from tests.network.ipam.test_controllers import api_with_installation

PEERS = [f"peer{number}" for number in range(24)]
WRITES = (7, 31, 64, 5, 80)
"""After how many further writes of any kind the controller is killed, one process after the other."""


def ranges_of(api: ApiServer) -> list[str]:
    return [
        value["status"]["cidr"]
        for (plural, _, _), value in api.objects.items()
        if plural == "networks" and value.get("status", {}).get("cidr")
    ]


async def test_a_controller_that_is_killed_over_and_over_ends_where_one_that_lives_does() -> None:
    api = api_with_installation()
    for peer in PEERS:
        announce(api, peer, ["10.244.0.0/20"], ["10.70.0.0/22"])
    for writes in WRITES:
        end = api.version + writes
        async with running(api, *MODULES):
            await api.until(lambda end=end: api.version >= end)  # type: ignore[misc]
    async with running(api, *MODULES):
        await api.until(lambda: all(seen(api, peer) for peer in PEERS), timeout=30)
    peers = sorted(parse_cidr(text) for text in ranges_of(api) if parse_cidr(text).prefix in (20, 22))
    assert len(peers) == 2 * len(PEERS)
    assert all(one.last < other.first for one, other in pairwise(peers))
    assert not any(one.overlaps(parse_cidr("10.244.0.0/16")) for one in peers)

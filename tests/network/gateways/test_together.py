"""Both ends of a tunnel and the replication between them: what happens to one is known to the other in no time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from isthmus.network.gateways import exchange, setup
from tests.apiserver import ApiServer, running
from tests.network.gateways.api import NETWORKING, PEER, TNS, add_client, add_server, expose, run_pod
from tests.network.gateways.api import api as api
from tests.peering.test_replication_announcements import Two, replicating, share_slice

other = api
"""A second cluster. Each calls the other milan: what the two are called is of no matter here."""

FOLLOWED = "isthmus.liqo.io/followed"
SOON = 2.0
"""Seconds: little enough for traffic to be back within 5."""


def _field(api: ApiServer, plural: str, name: str, *path: str) -> Any:
    value: Any = api.get(plural, TNS, name) or {}
    for field in path:
        value = value.get(field) or {}
    return value


def _follows(api: ApiServer, plural: str) -> bool:
    return bool(_field(api, plural, "milan", "metadata", "annotations", FOLLOWED))


async def _exchange_keys(one: ApiServer, two: ApiServer) -> None:
    """As `isthmus peer` does."""
    for here, there in ((one, two), (two, one)):
        secret = await there.until(lambda there=there: there.get("secrets", TNS, "gw-milan"))
        spec = {"publicKey": secret["data"]["publicKey"]}
        meta = {"name": "milan", "namespace": TNS, "labels": PEER}
        here.create("publickeies", {"apiVersion": NETWORKING, "metadata": meta, "spec": spec})


async def test_a_moved_server_and_new_keys_are_known_to_the_peer_at_once(
    api: ApiServer, other: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PAUSE", 0.0)
    client, server = api, other
    async with running(client, setup), running(server, setup):
        add_server(server, serviceType="NodePort")
        run_pod(server)
        await server.until(lambda: server.get("services", TNS, "gw-milan"))
        expose(server, 51840)
        add_client(client, addresses=("192.0.2.11",))
        await _exchange_keys(client, server)
        share_slice(client)
        async with replicating(Two(client, server), "milan", TNS):
            for one in (client, server):
                # Seen to say what the other announces.
                await one.until(lambda one=one: _follows(one, "publickeies"))
            await client.until(lambda: _follows(client, "gatewayclients"))

            server.delete("services", TNS, "gw-milan")
            await server.until(lambda: server.get("services", TNS, "gw-milan"))
            expose(server, 30123)
            since = time.monotonic()
            await client.until(
                lambda: _field(client, "gatewayclients", "milan", "spec", "endpoint", "port") == 30123
            )
            print(f"endpoint followed after {time.monotonic() - since:.3f} s")
            assert time.monotonic() - since < SOON

            for here, there in ((client, server), (server, client)):
                before = _field(there, "publickeies", "milan", "spec", "publicKey")
                here.delete("secrets", TNS, "gw-milan")
                since = time.monotonic()
                await there.until(
                    lambda there=there, before=before: (
                        _field(there, "publickeies", "milan", "spec", "publicKey") != before
                    )
                )
                print(f"key followed after {time.monotonic() - since:.3f} s")
                assert time.monotonic() - since < SOON
                after = _field(there, "publickeies", "milan", "spec", "publicKey")
                assert after == _field(here, "secrets", "gw-milan", "data", "publicKey")
            version = client.version, server.version
            with pytest.raises(TimeoutError):
                await client.until(lambda: (client.version, server.version) != version, timeout=1)
    assert not client.events("EndpointPinned") + server.events("EndpointPinned")

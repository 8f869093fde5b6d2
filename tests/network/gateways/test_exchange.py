"""Two ends of a tunnel keep in step: what one announces the other follows, unless a user set it otherwise."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from isthmus.network.gateways import exchange, setup
from tests.apiserver import ApiServer, running
from tests.network.gateways.api import NETWORKING, PEER, TNS, add_client, add_server, expose, run_pod, touched

KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(1, 6)]
CONSUMER, PROVIDER = "isthmus.liqo.io/consumer-network", "isthmus.liqo.io/provider-network"
FOLLOWED = "isthmus.liqo.io/followed"


def share_slice(api: ApiServer, *, copy: bool = False, name: str = "slice") -> None:
    """A ResourceSlice towards the peer, or the copy of one of the peer's."""
    marks = {"liqo.io/replication": "true", "liqo.io/remoteID": "milan"}
    if copy:
        marks = {
            "liqo.io/replication": "false",
            "liqo.io/replicated": "true",
            "liqo.io/originID": "milan",
            "liqo.io/remoteID": "rome",
        }
    api.create("resourceslices", {"metadata": {"name": name, "namespace": TNS, "labels": {**PEER, **marks}}})


def add_key(api: ApiServer, key: str) -> None:
    meta = {"name": "milan", "namespace": TNS, "labels": PEER}
    api.create("publickeies", {"apiVersion": NETWORKING, "metadata": meta, "spec": {"publicKey": key}})


def announce(
    api: ApiServer, annotation: str, key: str, *addresses: str, since: int = 1, name: str = "slice"
) -> None:
    """What peering's replication carries over from the peer."""
    told: dict[str, Any] = {"publicKey": key, "since": since}
    if addresses:
        told["endpoint"] = {"addresses": list(addresses), "port": 51840, "protocol": "UDP"}
    patch = {"metadata": {"annotations": {annotation: json.dumps(told)}}}
    api.merge("resourceslices", TNS, name, patch)


def notes(api: ApiServer, plural: str, name: str) -> dict[str, str]:
    return ((api.get(plural, TNS, name) or {}).get("metadata") or {}).get("annotations") or {}


def said(api: ApiServer, annotation: str) -> dict[str, Any]:
    text = notes(api, "resourceslices", "slice").get(annotation)
    return dict(json.loads(text)) if text else {}


def endpoint(api: ApiServer) -> dict[str, Any]:
    return dict((api.get("gatewayclients", TNS, "milan") or {})["spec"]["endpoint"])


def peer_key(api: ApiServer) -> str:
    return str((api.get("publickeies", TNS, "milan") or {})["spec"]["publicKey"])


async def made_key(api: ApiServer) -> str:
    secret = await api.until(lambda: api.get("secrets", TNS, "gw-milan"))
    return str(secret["data"]["publicKey"])


async def test_a_server_announces_its_key_and_where_it_is_and_again_when_that_changes(
    api: ApiServer,
) -> None:
    async with running(api, setup):
        add_server(api, serviceType="NodePort")
        run_pod(api)
        share_slice(api, copy=True)
        key = await made_key(api)
        await api.until(lambda: said(api, PROVIDER).get("publicKey") == key)
        expose(api, 30001)
        await api.until(lambda: (said(api, PROVIDER).get("endpoint") or {}).get("port") == 30001)
        assert said(api, PROVIDER)["endpoint"]["addresses"] == ["192.0.2.11"]
        expose(api, 30002)
        await api.until(lambda: (said(api, PROVIDER).get("endpoint") or {}).get("port") == 30002)
        # The user rotates the keys by deleting their Secret.
        api.delete("secrets", TNS, "gw-milan")
        await api.until(lambda: said(api, PROVIDER)["publicKey"] not in ("", key))
        assert said(api, PROVIDER)["publicKey"] == await made_key(api)
        assert not said(api, CONSUMER), "the peer's annotation is the peer's"
        api.delete("gatewayservers", TNS, "milan")
        await api.until(lambda: not said(api, PROVIDER))


async def test_a_client_follows_its_server(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAUSE", 0.05)
    async with running(api, setup):
        add_client(api)
        add_key(api, KEYS[0])
        share_slice(api)
        announce(api, PROVIDER, KEYS[0], "203.0.113.9")
        await api.until(lambda: FOLLOWED in notes(api, "gatewayclients", "milan"))
        await api.until(lambda: FOLLOWED in notes(api, "publickeies", "milan"))
        assert (endpoint(api)["addresses"], peer_key(api)) == (["203.0.113.9"], KEYS[0])
        for number in (1, 2):
            announce(api, PROVIDER, KEYS[number], f"203.0.113.{number}", since=2)
            await api.until(lambda number=number: endpoint(api)["addresses"] == [f"203.0.113.{number}"])
            await api.until(lambda number=number: peer_key(api) == KEYS[number])
        key = await made_key(api)
        await api.until(lambda: said(api, CONSUMER).get("publicKey") == key)
        assert "endpoint" not in said(api, CONSUMER)
    assert not api.events("EndpointPinned")


async def test_a_server_follows_its_clients_key_and_takes_no_endpoint(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api)
        add_key(api, KEYS[0])
        share_slice(api, copy=True)
        announce(api, CONSUMER, KEYS[0])
        await api.until(lambda: FOLLOWED in notes(api, "publickeies", "milan"))
        announce(api, CONSUMER, KEYS[1], "198.51.100.1", since=2)
        await api.until(lambda: peer_key(api) == KEYS[1])
        assert api.get("gatewayservers", TNS, "milan")["spec"]["endpoint"]["port"] == 51840  # type: ignore[index]


async def test_what_a_user_set_is_left_and_told_once(api: ApiServer) -> None:
    async with running(api, setup):
        add_client(api, addresses=("198.51.100.77",))  # --gw-client-address, in front of a NAT.
        add_key(api, KEYS[0])
        share_slice(api)
        announce(api, PROVIDER, KEYS[0], "203.0.113.9")
        (message,) = await api.until(lambda: api.events("EndpointPinned"))
        assert "203.0.113.9:51840/UDP" in message
        announce(api, PROVIDER, KEYS[1], "203.0.113.10", since=2)
        await api.until(lambda: peer_key(api) == KEYS[1])  # The key follows all the same.
        await api.until(lambda: len(api.events("EndpointPinned")) == 2)
        assert endpoint(api)["addresses"] == ["198.51.100.77"]


async def test_a_peer_may_not_point_us_at_ourselves(api: ApiServer) -> None:
    async with running(api, setup):
        add_client(api)
        add_key(api, KEYS[0])
        share_slice(api)
        announce(api, PROVIDER, KEYS[0], "203.0.113.9")
        await api.until(lambda: FOLLOWED in notes(api, "gatewayclients", "milan"))
        announce(api, PROVIDER, KEYS[1], "10.80.0.1", since=2)  # Of our internal range.
        (message,) = await api.until(lambda: api.events("AnnouncementRefused"))
        assert "10.80.0.0/16" in message
        assert (endpoint(api)["addresses"], peer_key(api)) == (["203.0.113.9"], KEYS[0])


async def test_a_peer_that_changes_its_mind_all_the_time_is_followed_at_a_bounded_rate(
    api: ApiServer,
) -> None:
    async with running(api, setup):
        add_client(api)
        add_key(api, KEYS[0])
        share_slice(api)
        announce(api, PROVIDER, KEYS[0])
        await api.until(lambda: FOLLOWED in notes(api, "publickeies", "milan"))
        announce(api, PROVIDER, KEYS[1], since=2)
        await api.until(lambda: peer_key(api) == KEYS[1])
        announce(api, PROVIDER, KEYS[2], since=3)
        with pytest.raises(TimeoutError):
            await api.until(lambda: peer_key(api) == KEYS[2], timeout=1)


async def test_of_two_slices_the_later_word_counts_and_nothing_goes_in_circles(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PAUSE", 0.0)
    async with running(api, setup):
        add_client(api)
        add_key(api, KEYS[0])
        share_slice(api)
        share_slice(api, copy=True, name="theirs")
        announce(api, PROVIDER, KEYS[0])
        await api.until(lambda: FOLLOWED in notes(api, "publickeies", "milan"))
        announce(api, CONSUMER, KEYS[1], since=2, name="theirs")  # The other way is slow, or broken.
        await api.until(lambda: peer_key(api) == KEYS[1])
        version = touched(api, "publickeies", "milan")
        with pytest.raises(TimeoutError):
            await api.until(lambda: touched(api, "publickeies", "milan") != version, timeout=1)


async def test_only_a_peers_own_tenant_namespace_is_heard(api: ApiServer) -> None:
    api.merge("namespaces", "", TNS, {"metadata": {"labels": {"liqo.io/remote-cluster-id": "paris"}}})
    async with running(api, setup):
        add_client(api)
        add_key(api, KEYS[0])
        share_slice(api)
        announce(api, PROVIDER, KEYS[0], "203.0.113.9")
        await api.until(lambda: api.events("ProvisioningFailed"))
        with pytest.raises(TimeoutError):
            await api.until(lambda: FOLLOWED in notes(api, "publickeies", "milan"), timeout=1)

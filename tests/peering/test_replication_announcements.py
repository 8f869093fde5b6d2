"""What two clusters' networks say of themselves is carried between a ResourceSlice and its copy, nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.kube.manager import Manager
from isthmus.kube.objects import RawObject
from isthmus.kube.options import Options
from isthmus.peering.context import Context
from isthmus.peering.keys import ClusterKeys
from isthmus.peering.peers import Peer
from isthmus.peering.replication import Replicator, Route
from isthmus.peering.replication_plans import MAXIMUM_ANNOUNCEMENT, plan_announcement
from tests.apiserver import ApiServer, connected

from .objects import decode

CONSUMER, PROVIDER = "isthmus.liqo.io/consumer-network", "isthmus.liqo.io/provider-network"
HERE, THERE = "liqo-tenant-milan", "liqo-tenant-rome"


@dataclass
class Two:
    """The API servers of a consumer, rome, and of its provider, milan."""

    rome: ApiServer
    milan: ApiServer

    def annotations(self, cluster: str) -> dict[str, str]:
        api, namespace = (self.rome, HERE) if cluster == "rome" else (self.milan, THERE)
        return ((api.get("resourceslices", namespace, "milan") or {}).get("metadata") or {}).get(
            "annotations"
        ) or {}


def annotate(api: ApiServer, namespace: str, **annotations: str | None) -> None:
    names = {"consumer": CONSUMER, "provider": PROVIDER, "user": "team"}
    patch = {names[name]: value for name, value in annotations.items()}
    api.merge("resourceslices", namespace, "milan", {"metadata": {"annotations": patch}})


@asynccontextmanager
async def replicating(two: Two, own_id: str = "rome", remote_namespace: str = THERE) -> AsyncIterator[None]:
    """The replicator from rome to milan, until the end of the block."""
    async with connected(two.rome) as local, connected(two.milan) as remote:
        manager, options = Manager(local), Options(cluster_id=own_id)
        context = Context(local, manager.events, options, ClusterKeys(local, options))
        kind = RESOURCE_SLICES.view(RawObject)
        route = Route(Peer("milan"), remote, HERE, remote_namespace)
        replicator = Replicator(context, route, kind, manager.informers.get(kind))
        task = asyncio.create_task(replicator.run())
        try:
            await two.milan.until(lambda: two.milan.get("resourceslices", remote_namespace, "milan"))
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await manager.informers.close()


def share_slice(api: ApiServer, **annotations: str) -> None:
    """A slice of rome's that is to be replicated to milan."""
    meta = {
        "name": "milan",
        "namespace": HERE,
        "labels": {"liqo.io/replication": "true", "liqo.io/remoteID": "milan"},
        "annotations": annotations,
        "finalizers": ["crdreplicator.liqo.io/resource"],
    }
    api.create("resourceslices", {"metadata": meta, "spec": {"class": "default"}})


@asynccontextmanager
async def replicated() -> AsyncIterator[Two]:
    """A slice that is replicated, until the end of the block."""
    two = Two(ApiServer(), ApiServer())
    share_slice(two.rome, **{CONSUMER: "ours", PROVIDER: "left by an earlier provider"})
    async with replicating(two):
        yield two


async def test_each_sides_word_reaches_the_other_and_no_other_annotation_does() -> None:
    async with replicated() as two:
        assert two.annotations("milan") == {CONSUMER: "ours"}
        annotate(two.milan, THERE, provider="theirs")
        await two.rome.until(lambda: two.annotations("rome").get(PROVIDER) == "theirs")
        annotate(two.rome, HERE, consumer="ours, changed", user="blue")
        await two.milan.until(lambda: two.annotations("milan").get(CONSUMER) == "ours, changed")
        assert two.annotations("milan") == {CONSUMER: "ours, changed", PROVIDER: "theirs"}
        annotate(two.milan, THERE, provider=None, user="green")
        await two.rome.until(lambda: PROVIDER not in two.annotations("rome"))
        assert two.annotations("rome") == {CONSUMER: "ours, changed", "team": "blue"}


async def test_nothing_goes_in_circles() -> None:
    async with replicated() as two:
        annotate(two.milan, THERE, provider="theirs", consumer="forged at the provider")
        await two.rome.until(lambda: two.annotations("rome").get(PROVIDER) == "theirs")
        await two.milan.until(lambda: two.annotations("milan").get(CONSUMER) == "ours")
        versions = two.rome.version, two.milan.version
        with pytest.raises(TimeoutError):
            await two.rome.until(lambda: (two.rome.version, two.milan.version) != versions, timeout=1)
        assert (two.rome.version, two.milan.version) == versions


def test_a_word_without_bounds_is_not_carried() -> None:
    def slice_(text: str) -> RawObject:
        metadata: dict[str, Any] = {"name": "milan", "uid": "u", "annotations": {PROVIDER: text}}
        return decode(RawObject, {"metadata": metadata})

    long = slice_("x" * (MAXIMUM_ANNOUNCEMENT + 1))
    with pytest.raises(ValueError, match=PROVIDER):
        plan_announcement(long, slice_(""), PROVIDER)

"""Deletions end in bounded time, and what an expelled consumer left goes with its Tenant."""

from __future__ import annotations

import time
from typing import Any

import pytest

from isthmus.api import labels
from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Object, RawObject
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.peering.caches import Caches
from isthmus.peering.context import Context
from isthmus.peering.keys import ClusterKeys
from isthmus.peering.peer_tasks import is_needed
from isthmus.peering.peers import DELETION_BOUND, Peers
from isthmus.peering.replication_release import ReleaseReconciler
from isthmus.peering.tenants import DISMISSAL_BOUND, TenantReconciler
from tests.apiserver import ApiServer, Json, running

from .objects import decode

AUTHENTICATION, OFFLOADING = "authentication.liqo.io/v1beta1", "offloading.liqo.io/v1beta1"
RBAC = "rbac.authorization.k8s.io/v1"
TNS = "liqo-tenant-rome"
COPY = {"liqo.io/originID": "rome", "liqo.io/replicated": "true"}


def context_of(manager: Manager, own_id: str) -> Context:
    options = Options(cluster_id=own_id)
    return Context(manager.client, manager.events, options, ClusterKeys(manager.client, options))


def tenants(manager: Manager, _: Options) -> None:
    """The provider's controller of Tenants."""
    caches = Caches(manager.informers)
    reconciler = TenantReconciler(context_of(manager, "milan"), caches)
    manager.add(Controller("tenant", reconciler.reconcile)).watch(caches.tenants)


def named(name: str, **meta: Any) -> Json:
    return {"metadata": {"name": name, "namespace": TNS, **meta}}


def consumer(api: ApiServer) -> None:
    """A Tenant that was admitted, and what its consumer placed here."""
    marks = {"labels": {"liqo.io/remote-cluster-id": "rome"}, "finalizers": [labels.FINALIZER_TENANT]}
    api.create("tenants", named("rome", **marks) | {"spec": {"clusterID": "rome"}})
    bound = {"labels": {"liqo.io/remote-cluster-id": "rome"}}
    api.create("rolebindings", named("liqo-binding-liqo-remote-controlplane", **bound))
    for plural in ("resourceslices", "namespacemaps", "renews"):
        api.create(plural, named("milan", labels=COPY))
    api.create("resourceslices", named("ours", labels={"liqo.io/replication": "true"}))


async def test_a_tenant_takes_along_what_its_consumer_placed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.peering.tenants.deleting_for", lambda _: 1.0)
    monkeypatch.setattr("isthmus.peering.tenants.SETTLING_SECONDS", 0.1)
    api = ApiServer()
    consumer(api)
    async with running(api, tenants):
        api.delete("tenants", TNS, "rome")
        await api.until(lambda: api.get("tenants", TNS, "rome") is None)
    assert api.named("resourceslices") == {"ours"}
    assert not api.named("namespacemaps") | api.named("renews") | api.named("rolebindings")


async def test_what_the_consumer_makes_before_it_is_locked_out_goes_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isthmus.peering.tenants.deleting_for", lambda _: 1.0)
    monkeypatch.setattr("isthmus.peering.tenants.SETTLING_SECONDS", 0.1)
    api = ApiServer()
    consumer(api)
    async with running(api, tenants):
        api.delete("tenants", TNS, "rome")
        await api.until(lambda: api.get("resourceslices", TNS, "milan") is None)
        api.create(
            "resourceslices", named("milan", labels=COPY)
        )  # Its permissions are known for a moment yet.
        await api.until(lambda: api.get("tenants", TNS, "rome") is None)
    assert api.named("resourceslices") == {"ours"}


async def test_a_tenant_does_not_wait_for_what_cannot_be_deleted() -> None:
    api = ApiServer(clock=lambda: time.time() - DISMISSAL_BOUND)
    consumer(api)
    api.merge("resourceslices", TNS, "milan", {"metadata": {"finalizers": ["of-somebody/away"]}})
    async with running(api, tenants):
        api.delete("tenants", TNS, "rome")
        await api.until(lambda: api.get("tenants", TNS, "rome") is None)
    assert api.named("resourceslices") == {"ours", "milan"}
    assert not api.named("rolebindings")


async def test_no_object_waits_for_a_provider_for_longer_than_any_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elapsed = DELETION_BOUND - 1
    monkeypatch.setattr("isthmus.peering.replication_release.deleting_for", lambda _: elapsed)
    monkeypatch.setattr("isthmus.peering.replication_release.CHECK_SECONDS", 0.05)
    api = ApiServer()

    def release(manager: Manager, _: Options) -> None:
        caches, kind = Caches(manager.informers), RESOURCE_SLICES.view(RawObject)
        reconciler = ReleaseReconciler(context_of(manager, "rome"), caches, Peers(), kind)
        controller = manager.add(Controller("release", reconciler.reconcile))
        controller.watch(caches.replicated[kind.plural])
        controller.watch(caches.secrets, reconciler.keys_of_secret)

    secret = named("kubeconfig-controlplane-milan", annotations={"liqo.io/remote-tenant-namespace": TNS})
    secret["metadata"]["labels"] = {
        "liqo.io/remote-cluster-id": "milan",
        "liqo.io/identity-type": "ControlPlane",
    }
    api.create("secrets", secret)
    marks = {"liqo.io/replication": "true", "liqo.io/remoteID": "milan"}
    api.create("resourceslices", named("milan", labels=marks, finalizers=[labels.FINALIZER_REPLICATION]))
    async with running(api, release):
        api.delete("resourceslices", TNS, "milan")
        with pytest.raises(TimeoutError):
            await api.until(lambda: api.get("resourceslices", TNS, "milan") is None, timeout=0.5)
        elapsed = DELETION_BOUND
        await api.until(lambda: api.get("resourceslices", TNS, "milan") is None)


def test_a_kubeconfig_stays_as_long_as_a_deletion_needs_it_and_no_longer() -> None:
    def made(seconds: float | None) -> Object:
        stamp = (
            None
            if seconds is None
            else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))
        )
        return decode(Object, {"metadata": {"deletionTimestamp": stamp}})

    secret, standing, going = made(5), made(None), made(3)
    assert not is_needed(secret, [], wanted=False)
    assert is_needed(secret, [standing], wanted=False)
    # Its Identity is there again: replication goes on with the next Secret.
    assert not is_needed(secret, [standing], wanted=True)
    assert is_needed(secret, [standing, going], wanted=True)
    assert not is_needed(made(DELETION_BOUND + 1), [standing, going], wanted=False)

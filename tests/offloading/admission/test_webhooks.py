"""The webhooks as the API server sees them: trusted at every time, and saying why where they refuse or fail."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from isthmus.api import names
from isthmus.kube import certificates_child
from isthmus.kube.admission import AdmissionRequest, Verdict
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import BadRequest, NotFound, TransportError
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading import admission
from isthmus.offloading.admission import certificates
from isthmus.offloading.quota import Ledger
from tests.apiserver import ApiServer, Json, running
from tests.apiserver.clock import VIRTUAL_TIME, Clock, eventually

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("certificates_here")]
SECRET = names.WEBHOOK_CERTIFICATES
MUTATING, VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"


async def broken(_: AdmissionRequest) -> Verdict:
    raise ZeroDivisionError


class Cluster:
    """An API server with the installation's webhook configurations, and the port they are answered at."""

    def __init__(self) -> None:
        self.api = ApiServer()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.configure(MUTATING, names.MUTATING_WEBHOOKS)
        self.configure(VALIDATING, names.VALIDATING_WEBHOOKS)

    def configure(self, plural: str, name: str) -> None:
        webhooks = [{"name": f"{one}.liqo.io", "clientConfig": {"service": {}}} for one in ("a", "b")]
        meta = {"name": name, "labels": {"liqo.io/webhook": "true"}}
        self.api.create(plural, {"metadata": meta, "webhooks": webhooks})

    def bundles(self, plural: str = MUTATING, name: str = names.MUTATING_WEBHOOKS) -> set[str]:
        """What the webhooks of a configuration are trusted by, base64; "" for nothing."""
        found = self.api.get(plural, "", name) or {}
        return {one["clientConfig"].get("caBundle", "") for one in found.get("webhooks", [])}

    def secret(self) -> Json:
        return self.api.get("secrets", "liqo", SECRET) or {}

    def trusted(self) -> bool:
        """Whether both configurations trust what the Secret has."""
        authority = self.secret().get("data", {}).get("ca", "nothing")
        return {authority} == self.bundles() == self.bundles(VALIDATING, names.VALIDATING_WEBHOOKS)

    async def ask(
        self,
        path: str,
        object_: Any = None,
        *,
        old: Any = None,
        groups: tuple[str, ...] = (),
        body: bytes = b"",
    ) -> Json:
        """The answer to a review, asked as the API server does."""
        request = {
            "uid": "r1",
            "operation": "UPDATE" if old else "CREATE",
            "namespace": (object_ or {}).get("metadata", {}).get("namespace", ""),
            "name": (object_ or {}).get("metadata", {}).get("name", ""),
            "userInfo": {"username": "u", "groups": list(groups)},
            "object": object_,
            "oldObject": old,
        }
        bundle = base64.b64decode(next(iter(self.bundles()))).decode()
        where = Credentials(
            f"https://127.0.0.1:{self.port}", ca_data=bundle, tls_server_name="liqo-webhook.liqo.svc"
        )
        async with Client(where, attempts=1) as client:
            review = body or msgspec.json.encode({"kind": "AdmissionReview", "request": request})
            answer = await client.request("POST", path, body=review)
        return dict(msgspec.json.decode(answer.body)["response"])

    async def refusal(self, path: str, object_: Any, **request: Any) -> str:
        """What the user is told by a review that denies; "" where it allows."""
        answer = await self.ask(path, object_, **request)
        return "" if answer["allowed"] else str(answer["status"]["message"])

    async def answers(self) -> bool:
        with contextlib.suppress(TransportError):
            await self.ask("/mutate/tenants", {"metadata": {}})
            return True
        return False


@contextlib.asynccontextmanager
async def at_work(cluster: Cluster) -> AsyncIterator[None]:
    options = Options(cluster_id="rome", webhook_port=cluster.port)

    def setup(manager: Manager, options: Options) -> None:
        admission.setup(manager, options, Ledger(), {"/validate/broken": broken})

    async with running(cluster.api, setup, options=options):
        await cluster.api.until(cluster.trusted)
        await eventually(cluster.answers)
        yield


def patch_of(answer: Json) -> list[Json]:
    return list(msgspec.json.decode(base64.b64decode(answer["patch"])))


async def test_they_are_trusted_and_answer_and_nobody_elses_configuration_is_touched() -> None:
    cluster = Cluster()
    cluster.configure(MUTATING, "theirs")
    async with at_work(cluster):
        assert (await cluster.ask("/mutate/tenants", {"metadata": {}}))["allowed"]
        assert cluster.bundles(MUTATING, "theirs") == {""}
        assert cluster.secret()["metadata"]["labels"]["liqo.io/managed"] == "true"


async def test_trust_that_somebody_took_away_is_given_again() -> None:
    cluster = Cluster()
    async with at_work(cluster):
        cluster.api.delete(MUTATING, "", names.MUTATING_WEBHOOKS)
        cluster.configure(MUTATING, names.MUTATING_WEBHOOKS)
        await cluster.api.until(cluster.trusted)
        assert await cluster.answers()


@pytest.mark.parametrize("how", ["deleted", "garbled", "emptied", "no certificate"])
async def test_a_certificate_that_is_lost_is_made_anew_without_a_request_failing(how: str) -> None:
    text = base64.b64encode(b"no certificate").decode()
    cluster = Cluster()
    async with at_work(cluster):
        before = cluster.secret()["data"]["tls.crt"]
        if how == "deleted":
            cluster.api.delete("secrets", "liqo", SECRET)
        else:
            data = {
                "garbled": {"ca": "%", "tls.crt": "%", "tls.key": "%"},
                "emptied": {"ca": None},
                "no certificate": {"tls.crt": text},
            }
            cluster.api.merge("secrets", "liqo", SECRET, {"data": data[how]})
        await cluster.api.until(
            lambda: cluster.secret().get("data", {}).get("tls.crt", before) not in (before, "%", text)
        )
        assert await cluster.answers(), "what was trusted before is still served"
        await cluster.api.until(cluster.trusted)
        await eventually(cluster.answers)


async def test_it_is_renewed_at_two_thirds_of_its_life_and_the_last_authority_trusted_beside(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(certificates, "LEAF_DAYS", 1 / 24)
    cluster = Cluster()
    async with at_work(cluster):
        before, begun = cluster.secret()["data"], clock.monotonic()
        await cluster.api.until(lambda: cluster.secret()["data"]["tls.crt"] != before["tls.crt"], 3000)
        assert 2300 <= clock.monotonic() - begun <= 2500
        old, new = (base64.b64decode(one["ca"]).decode() for one in (before, cluster.secret()["data"]))
        assert new.endswith(old), "no request falls between"
        assert len(new) > len(old)
        await cluster.api.until(cluster.trusted)
        await eventually(cluster.answers)


def made_by_another() -> Json:
    """A Secret as another process makes it."""
    made = certificates_child.answer(
        {
            "operation": "make_authority_and_leaf",
            "organization": "liqo.io",
            "common_name": "liqo-webhook",
            "dns": ["liqo-webhook.liqo.svc"],
            "authority_days": 10,
            "leaf_days": 10,
        }
    )
    data = {"ca": made["ca"], "tls.crt": made["certificate"], "tls.key": made["key"]}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    return {"metadata": {"name": SECRET, "namespace": "liqo"}, "data": encoded}


async def test_of_two_processes_that_make_one_the_first_wins() -> None:
    cluster = Cluster()
    held = cluster.api.hold(verb="create", plural="secrets")
    theirs: list[str] = []

    def interfere() -> bool:
        if held.hits and not theirs:
            theirs.append(cluster.api.create("secrets", made_by_another())["data"]["tls.crt"])
            cluster.api.faults.end(held)
        return bool(theirs)

    options = Options(cluster_id="rome", webhook_port=cluster.port)

    def setup(manager: Manager, options: Options) -> None:
        admission.setup(manager, options, Ledger())

    async with running(cluster.api, setup, options=options):
        await cluster.api.until(interfere)
        await cluster.api.until(cluster.trusted)
        await eventually(cluster.answers)
        assert cluster.secret()["data"]["tls.crt"] == theirs[0]


async def test_a_restarted_process_serves_the_certificate_there_is() -> None:
    cluster = Cluster()
    async with at_work(cluster):
        first = cluster.secret()
    async with at_work(cluster):
        assert cluster.secret() == first


async def test_what_cannot_be_answered_is_told_to_whoever_asked() -> None:
    cluster = Cluster()
    async with at_work(cluster):
        with pytest.raises(NotFound):
            await cluster.ask("/validate/nothing", {})
        with pytest.raises(BadRequest):
            await cluster.ask("/mutate/pods", body=b"{")
        unreadable = await cluster.ask("/validate/tenants", {"metadata": {"labels": 5}})
        assert unreadable["status"]["code"] == 400
        assert "the object cannot be read" in unreadable["status"]["message"]
        failed = await cluster.ask("/validate/broken", {})
        assert failed["status"]["code"] == 500
        assert "its log says why" in failed["status"]["message"]
        with cluster.api.failing(500, verb="get", plural="namespaceoffloadings"):
            away = await cluster.ask("/mutate/pods", {"metadata": {"namespace": "demo"}, "spec": {}})
        assert away["status"]["code"] == 500
        assert "could not read what it needs to decide" in away["status"]["message"]


async def test_new_pods_go_where_their_namespace_is_offloaded_to() -> None:
    cluster = Cluster()
    pod: Json = {"metadata": {"namespace": "demo"}, "spec": {"containers": [{"name": "c"}]}}
    async with at_work(cluster):
        assert "has no NamespaceOffloading" in await cluster.refusal("/mutate/pods", pod)
        meta = {"name": "offloading", "namespace": "demo"}
        spec = {"podOffloadingStrategy": "Remote"}
        cluster.api.create("namespaceoffloadings", {"metadata": meta, "spec": spec})
        patch = patch_of(await cluster.ask("/mutate/pods", pod))
        assert {one["path"] for one in patch} == {"/spec/tolerations", "/spec/affinity"}


async def test_namespace_offloadings_are_judged_for_this_cluster() -> None:
    cluster = Cluster()
    async with at_work(cluster):
        meta = {"name": "offloading", "namespace": "n" * 60}
        assert "not a valid namespace name" in await cluster.refusal(
            "/validate/namespaceoffloadings", {"metadata": meta, "spec": {}}
        )
        going = {"metadata": {**meta, "deletionTimestamp": "2026-11-30T10:00:00Z"}, "spec": {}}
        assert not await cluster.refusal("/validate/namespaceoffloadings", going)


def virtual_node(name: str = "milan", **spec: Any) -> Json:
    meta = {"name": name, "namespace": "liqo-tenant-milan"}
    return {"metadata": meta, "spec": {"clusterID": "milan", **spec}}


async def test_virtual_nodes_get_their_templates_defaults_or_are_told_that_there_is_none() -> None:
    cluster = Cluster()
    async with at_work(cluster):
        patch = patch_of(await cluster.ask("/mutate/virtualnodes", virtual_node()))
        assert {"op": "add", "path": "/spec/createNode", "value": True} in patch
        missing = virtual_node(vkOptionsTemplateRef={"name": "none", "namespace": "x"})
        assert "there is no VkOptionsTemplate x/none" in await cluster.refusal(
            "/mutate/virtualnodes", missing
        )
        meta = {"name": "mine", "namespace": "liqo"}
        cluster.api.create("vkoptionstemplates", {"metadata": meta, "spec": {"createNode": False}})
        chosen = virtual_node(vkOptionsTemplateRef={"name": "mine"})
        patch = patch_of(await cluster.ask("/mutate/virtualnodes", chosen))
        assert {"op": "add", "path": "/spec/createNode", "value": False} in patch
        going = {**missing, "metadata": {**missing["metadata"], "deletionTimestamp": "2026-11-30T10:00:00Z"}}
        assert not await cluster.refusal("/mutate/virtualnodes", going)


async def test_no_virtual_node_displaces_a_node() -> None:
    path = "/validate/virtualnodes"
    cluster = Cluster()
    own = {"liqo.io/type": "virtual-node", "liqo.io/remote-cluster-id": "milan"}
    for name, labels in (
        ("real", {}),
        ("milan", own),
        ("turin", {**own, "liqo.io/remote-cluster-id": "turin"}),
    ):
        cluster.api.create("nodes", {"metadata": {"name": name, "labels": labels}, "spec": {}})
    async with at_work(cluster):
        assert not await cluster.refusal(path, virtual_node())
        assert not await cluster.refusal(path, virtual_node("free"))
        assert "is not a virtual node" in await cluster.refusal(path, virtual_node("real"))
        assert "stands for cluster turin" in await cluster.refusal(path, virtual_node("turin"))
        assert "spec.clusterID is 'A'" in await cluster.refusal(path, virtual_node(clusterID="A"))
        assert not await cluster.refusal(path, virtual_node(), old=virtual_node())
        moved = await cluster.refusal(path, virtual_node(), old=virtual_node(clusterID="turin"))
        assert moved == "spec.clusterID is immutable"
        going = virtual_node("real")
        going["metadata"]["deletionTimestamp"] = "2026-11-30T10:00:00Z"
        assert not await cluster.refusal(path, going)


async def test_peers_objects_get_the_label_they_are_found_by() -> None:
    cluster = Cluster()
    label = "/metadata/labels"
    async with at_work(cluster):
        for path in ("/mutate/foreignclusters", "/mutate/tenants"):
            named = {"metadata": {"name": "milan"}, "spec": {"clusterID": "milan"}}
            patch = patch_of(await cluster.ask(path, named))
            assert patch == [{"op": "add", "path": label, "value": {"liqo.io/remote-cluster-id": "milan"}}]
            assert "patch" not in await cluster.ask(path, {"metadata": {"name": "milan"}, "spec": {}})


def slice_(name: str = "s", namespace: str = "liqo-tenant-milan", **metadata: Any) -> Json:
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, "spec": {"class": "default"}}


async def test_names_of_slices_are_unique_and_a_consumer_lifts_no_cordon() -> None:
    path = "/validate/resourceslices"
    peers = (names.GROUP_CONTROL_PLANE,)
    cluster = Cluster()
    async with at_work(cluster):
        cluster.api.create("resourceslices", slice_())
        copy = {"liqo.io/replicated": "true"}
        cluster.api.create("resourceslices", slice_("copy", "liqo-tenant-turin", labels=copy))
        assert not await cluster.refusal(path, slice_("other"))
        assert "already exists" in await cluster.refusal(path, slice_(namespace="liqo-tenant-turin"))
        assert not await cluster.refusal(path, slice_("copy")), "a consumer's names are its own"
        cordoned = slice_(annotations={"liqo.io/cordon": "true"})
        assert "cannot be changed by the consumer" in await cluster.refusal(
            path, slice_(), old=cordoned, groups=peers
        )
        assert not await cluster.refusal(path, slice_(), old=cordoned)
        going = slice_(namespace="liqo-tenant-turin", deletionTimestamp="2026-11-30T10:00:00Z")
        assert not await cluster.refusal(path, going)

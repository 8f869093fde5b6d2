"""The reflection engine between two real API servers, run in this process as the clusters' admin.

Each test has a namespace of its own in rome and its twin in milan. Nothing of Isthmus need be installed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from isthmus.api import labels
from isthmus.api.names import NAMESPACE_KEY, token_key
from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.events import EventRecorder
from isthmus.kube.informer import InformerSet
from isthmus.reflection import ReflectionSession, podtokens, setup_namespace
from tests.cluster.endings import Endings
from tests.cluster.support import TEST_IMAGE, Cluster, eventually

SOON = 60.0
"""Seconds; the engine takes tenths of one, kubectl on a busy machine many."""
MARKS = {labels.ORIGIN: "rome", labels.DESTINATION: "milan"}


@dataclass
class Twins:
    """A namespace in rome and its twin in milan."""

    rome: Cluster
    milan: Cluster
    local: str
    remote: str

    def here(self, kind: str, name: str) -> Any:
        return self.rome.get(kind, name, "-n", self.local)

    def there(self, kind: str, name: str) -> Any:
        return self.milan.get(kind, name, "-n", self.remote)

    def add(self, kind: str, name: str, **fields: Any) -> None:
        self.rome.apply(_object(kind, name, self.local, fields))

    def add_there(self, kind: str, name: str, **fields: Any) -> None:
        self.milan.apply(_object(kind, name, self.remote, fields))

    def patch_there(self, kind: str, name: str, patch: dict[str, Any]) -> None:
        self.milan.kubectl("patch", kind, name, "-n", self.remote, "--type=merge", "-p", json.dumps(patch))


def _object(kind: str, name: str, namespace: str, fields: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace} | fields.pop("metadata", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


@pytest.fixture
def twins(rome: Cluster, milan: Cluster, endings: Endings) -> Iterator[Twins]:
    suffix = uuid.uuid4().hex[:8]
    found = Twins(rome, milan, f"reflect-{suffix}", f"reflect-{suffix}-rome")
    rome.kubectl("create", "namespace", found.local)
    milan.kubectl("create", "namespace", found.remote)
    yield found
    # They are on nodes that are none, where nobody says that they have ended.
    rome.kubectl("delete", "pods", "--all", "-n", found.local, "--force", "--grace-period=0")
    endings.delete(rome, found.local)
    endings.delete(milan, found.remote)


@asynccontextmanager
async def reflecting(twins: Twins, **settings: Any) -> AsyncIterator[None]:
    """The engine at work between the twins."""
    rome = Client(load_kubeconfig(twins.rome.kubeconfig))
    milan = Client(load_kubeconfig(twins.milan.kubeconfig))
    events = EventRecorder(rome)
    session = ReflectionSession(
        local_client=rome,
        local_informers=InformerSet(rome),
        remote_client=milan,
        remote_informers=InformerSet(milan),
        events=events,
        home_id="rome",
        provider_id="milan",
        node_name=f"node-of-{twins.local}",
        **settings,
    )
    tasks = [
        asyncio.create_task(events.run()),
        asyncio.create_task(setup_namespace(session, twins.local, twins.remote)),
    ]
    try:
        yield
    finally:
        failed = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await session.local_informers.close()
        await session.remote_informers.close()
        await rome.close()
        await milan.close()
        assert not failed


async def soon(check: Callable[[], object], what: str, within: float = SOON) -> Any:
    """Wait, without stopping the engine, until `check` gives something true."""
    found: list[Any] = []

    def look() -> object:
        found.append(check())
        return found[-1]

    await asyncio.to_thread(eventually, look, within=within, what=what)
    return found[-1]


async def test_config_maps_and_secrets_follow_the_local_ones(twins: Twins) -> None:
    twins.add("ConfigMap", "c", data={"a": "1", "b": "2"}, metadata={"labels": {"app": "x"}})
    twins.add("Secret", "s", stringData={"password": "hunter2"}, metadata={"annotations": {"note": "n"}})
    async with reflecting(twins, labels_not_reflected=("hidden",)):
        config = await soon(lambda: twins.there("configmap", "c"), "the ConfigMap")
        assert config["data"] == {"a": "1", "b": "2"}
        assert config["metadata"]["labels"] == {"app": "x", **MARKS}
        assert "ownerReferences" not in config["metadata"]
        secret = await soon(lambda: twins.there("secret", "s"), "the Secret")
        assert base64.b64decode(secret["data"]["password"]) == b"hunter2"
        assert secret["type"] == "Opaque"
        assert secret["metadata"]["annotations"] == {"note": "n"}
        authority = await soon(lambda: twins.there("configmap", "kube-root-ca.crt.rome"), "our root CA")
        assert authority["data"] == twins.here("configmap", "kube-root-ca.crt")["data"]
        assert authority["data"] != twins.there("configmap", "kube-root-ca.crt")["data"]

        patch = {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"app": None, "hidden": "yes"}}}
        twins.rome.kubectl(
            "patch", "configmap", "c", "-n", twins.local, "--type=merge", "-p", json.dumps(patch)
        )
        await soon(lambda: twins.there("configmap", "c")["data"] == {"b": "2", "c": "3"}, "the change")
        assert twins.there("configmap", "c")["metadata"]["labels"] == MARKS

        twins.rome.kubectl("delete", "configmap", "c", "-n", twins.local)
        await soon(lambda: twins.there("configmap", "c") is None, "the deletion")


async def test_what_is_done_at_the_provider_is_mended(twins: Twins) -> None:
    twins.add("ConfigMap", "c", data={"a": "1"})
    async with reflecting(twins):
        first = await soon(lambda: twins.there("configmap", "c"), "the ConfigMap")
        twins.patch_there("configmap", "c", {"data": {"a": "2"}})
        await soon(lambda: twins.there("configmap", "c")["data"] == {"a": "1"}, "the repair")
        twins.patch_there("configmap", "c", {"data": {"a": None}})
        await soon(lambda: twins.there("configmap", "c").get("data") == {"a": "1"}, "the second repair")
        twins.milan.kubectl("delete", "configmap", "c", "-n", twins.remote)
        healed = await soon(lambda: twins.there("configmap", "c"), "the copy made anew")
        assert healed["metadata"]["uid"] != first["metadata"]["uid"]


async def test_a_foreign_object_is_never_touched(twins: Twins) -> None:
    twins.add_there("ConfigMap", "taken", data={"whose": "theirs"})
    twins.add_there("Secret", "marked-by-half", metadata={"labels": {labels.ORIGIN: "rome"}})
    before = [twins.there("configmap", "taken"), twins.there("secret", "marked-by-half")]
    twins.add("ConfigMap", "taken", data={"ours": "yes"})
    twins.add("Secret", "marked-by-half", stringData={"ours": "yes"})

    def events() -> list[Any]:
        found = twins.rome.items("events", "-n", twins.local, "--field-selector=reason=FailedReflection")
        return found if len(found) == 2 else []

    async with reflecting(twins):
        found = await soon(events, "a warning for each")
        assert {event["involvedObject"]["name"] for event in found} == {"taken", "marked-by-half"}
        assert all(event["type"] == "Warning" and "already exists" in event["message"] for event in found)
        twins.rome.kubectl("delete", "configmap/taken", "secret/marked-by-half", "-n", twins.local)
        twins.add("ConfigMap", "later", data={})
        await soon(lambda: twins.there("configmap", "later"), "the deletions to be seen")
    assert [twins.there("configmap", "taken"), twins.there("secret", "marked-by-half")] == before


async def test_what_has_no_original_any_more_is_removed(twins: Twins) -> None:
    twins.add_there("ConfigMap", "orphan", metadata={"labels": MARKS})
    twins.add_there("ConfigMap", "of-another", metadata={"labels": MARKS | {labels.ORIGIN: "naples"}})
    twins.add_there("Secret", "orphan", metadata={"labels": MARKS})
    async with reflecting(twins):
        await soon(lambda: twins.there("configmap", "orphan") is None, "the orphaned ConfigMap to go")
        await soon(lambda: twins.there("secret", "orphan") is None, "the orphaned Secret to go")
    assert twins.there("configmap", "of-another") is not None


async def test_what_cannot_be_changed_is_made_anew(twins: Twins) -> None:
    twins.add("Secret", "s", stringData={"v": "1"}, immutable=True)
    async with reflecting(twins):
        await soon(lambda: twins.there("secret", "s"), "the Secret")
        twins.rome.kubectl("delete", "secret", "s", "-n", twins.local)
        twins.add(
            "Secret", "s", stringData={"username": "2", "password": "2"}, type="kubernetes.io/basic-auth"
        )

        def renewed() -> bool:
            secret = twins.there("secret", "s")
            return secret is not None and secret["type"] == "kubernetes.io/basic-auth"

        await soon(renewed, "the Secret of the other type")


async def test_annotations_say_what_is_not_reflected(twins: Twins) -> None:
    skip = {"annotations": {labels.SKIP_REFLECTION: "true"}}
    twins.add("ConfigMap", "c", data={"a": "1"})
    twins.add("ConfigMap", "never", data={"a": "1"}, metadata=skip)
    twins.add("Secret", "helm", type="helm.sh/release.v1", stringData={"release": "x"})
    async with reflecting(twins):
        await soon(lambda: twins.there("configmap", "c"), "the ConfigMap")
        twins.rome.kubectl(
            "annotate",
            "configmap",
            "c",
            "kube-root-ca.crt",
            "-n",
            twins.local,
            f"{labels.SKIP_REFLECTION}=true",
        )
        await soon(lambda: twins.there("configmap", "c") is None, "its removal")
        await soon(
            lambda: twins.there("configmap", "kube-root-ca.crt.rome") is None, "removal of the root CA"
        )
        assert twins.there("configmap", "never") is None
        assert twins.there("secret", "helm") is None
        assert twins.there("configmap", "kube-root-ca.crt") is not None


async def test_a_large_object_is_copied_whole(twins: Twins) -> None:
    large = "x" * 900_000
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "large", "namespace": twins.local},
        "data": {"large": large},
    }
    async with reflecting(twins):
        twins.rome.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        copy = await soon(lambda: twins.there("configmap", "large"), "the large ConfigMap")
        assert copy["data"] == {"large": large}


async def test_a_pod_has_its_tokens_while_it_lives(twins: Twins) -> None:
    node = f"node-of-{twins.local}"
    source = {"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 1200}}
    pod = {
        "nodeName": node,
        "containers": [{"name": "c", "image": TEST_IMAGE}],
        "volumes": [{"name": "extra", "projected": {"sources": [source]}}],
    }
    twins.add("Pod", "p", spec=pod)
    twins.add("Pod", "elsewhere", spec={**pod, "nodeName": "another-node"})
    async with reflecting(twins, namespace_wide=False):
        secret = await soon(lambda: twins.there("secret", "p-token"), "the tokens")
        uid = twins.here("pod", "p")["metadata"]["uid"]
        api = next(v["name"] for v in twins.here("pod", "p")["spec"]["volumes"] if v["name"] != "extra")
        assert secret["metadata"]["labels"] == MARKS | {
            labels.NODE_NAME: node,
            labels.SERVICE_ACCOUNT_NAME: "default",
        }
        assert secret["metadata"]["annotations"][labels.SERVICE_ACCOUNT_POD_UID] == uid
        assert secret["type"] == "Opaque"
        assert set(secret["data"]) == {token_key("extra", "t"), token_key(api, "token"), NAMESPACE_KEY}
        assert base64.b64decode(secret["data"][NAMESPACE_KEY]).decode() == twins.local
        token = base64.b64decode(secret["data"][token_key("extra", "t")]).decode()
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": ["vault"]},
        }
        done = twins.rome.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
        status = json.loads(done.stdout)["status"]
        assert status["authenticated"] is True
        assert status["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [uid]

        twins.milan.kubectl("delete", "secret", "p-token", "-n", twins.remote)
        await soon(lambda: twins.there("secret", "p-token"), "the tokens made anew")
        twins.rome.kubectl("delete", "pod", "p", "-n", twins.local, "--force", "--grace-period=0")
        await soon(lambda: twins.there("secret", "p-token") is None, "the tokens to go with the pod")
        assert twins.there("secret", "elsewhere-token") is None
        assert twins.there("configmap", "kube-root-ca.crt.rome") is None


async def test_tokens_outlive_a_restart_and_are_renewed_when_due(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podtokens, "SOONEST", 0.1)
    node = {"nodeName": f"node-of-{twins.local}", "containers": [{"name": "c", "image": TEST_IMAGE}]}
    twins.add("Pod", "p", spec=node)
    async with reflecting(twins, namespace_wide=False):
        first = await soon(lambda: twins.there("secret", "p-token"), "the tokens")
    async with reflecting(twins, namespace_wide=False):
        twins.add("Pod", "later", spec=node)
        await soon(lambda: twins.there("secret", "later-token"), "the tokens of a later pod")
        assert twins.there("secret", "p-token") == first, "what is good is left alone"
        due = {"metadata": {"annotations": {labels.SERVICE_ACCOUNT_EXPIRATION: "2026-01-01T00:00:00Z"}}}
        twins.patch_there("secret", "p-token", due)

        def renewed() -> bool:
            return bool(twins.there("secret", "p-token")["data"] != first["data"])

        await soon(renewed, "the renewal")
        assert twins.there("secret", "p-token")["metadata"]["uid"] == first["metadata"]["uid"]


async def test_services_follow_and_the_two_servers_defaults_do_not_fight(twins: Twins) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    spec = {"selector": {"app": "web"}, "ports": ports}
    twins.add("Service", "web", spec=spec | {"type": "NodePort"})
    twins.add("Service", "headless", spec=spec | {"clusterIP": "None"})
    async with reflecting(twins, services=True, translate=False):
        web = await soon(lambda: twins.there("service", "web"), "the Service")
        assert web["metadata"]["labels"] == MARKS
        assert web["spec"]["selector"] == {"app": "web"}
        assert web["spec"]["clusterIP"] not in ("", "None")
        assert web["spec"]["ports"][0]["nodePort"]
        headless = await soon(lambda: twins.there("service", "headless"), "the headless Service")
        assert headless["spec"]["clusterIP"] == "None"

        twins.add("ConfigMap", "later", data={})
        await soon(lambda: twins.there("configmap", "later"), "what came later")
        versions = [
            twins.there("service", name)["metadata"]["resourceVersion"] for name in ("web", "headless")
        ]
        assert versions == [web["metadata"]["resourceVersion"], headless["metadata"]["resourceVersion"]]

        twins.rome.kubectl(
            "patch",
            "service",
            "web",
            "-n",
            twins.local,
            "--type=merge",
            "-p",
            '{"spec":{"type":"ClusterIP"}}',
        )
        changed = await soon(
            lambda: (found := twins.there("service", "web"))["spec"]["type"] == "ClusterIP" and found,
            "the type",
        )
        assert "nodePort" not in changed["spec"]["ports"][0]
        twins.rome.kubectl("delete", "service", "web", "-n", twins.local)
        twins.add("Service", "web", spec=spec | {"clusterIP": "None"})
        await soon(
            lambda: (twins.there("service", "web") or web)["spec"]["clusterIP"] == "None",
            "the headless successor",
        )
        twins.rome.kubectl("delete", "service", "headless", "-n", twins.local)
        await soon(lambda: twins.there("service", "headless") is None, "the deletion")
    assert twins.there("service", "kubernetes") is None

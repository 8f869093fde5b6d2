"""The permissions of each remote identity, as a table: what is in it is allowed, and nothing else is, anywhere.

The table is written down from behaviour.md 3.4 and wire.md 7, not from the roles that install applies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from isthmus.kube.client import Client
from isthmus.kube.errors import Conflict
from tests.cluster.safety.access import (
    Asker,
    Permission,
    Resource,
    discover,
    every_permission,
    refusals,
    rules_of,
)
from tests.cluster.safety.conftest import AWAY, IDENTITIES, Stage

ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
WRITE = ("create", "delete", "get", "list", "patch", "update", "watch")
CHANGE = ("create", "delete", "get", "list", "update")
READ = ("get", "list", "watch")
EVERYBODY = (
    ("authorization.k8s.io", "selfsubjectaccessreviews", ("create",)),
    ("authorization.k8s.io", "selfsubjectrulesreviews", ("create",)),
    ("authentication.k8s.io", "selfsubjectreviews", ("create",)),
)
"""What Kubernetes lets everybody do who has a certificate: ask who they are and what they may do."""

Rules = tuple[tuple[str, str, tuple[str, ...]], ...]

CONTROL_PLANE: Rules = (
    *(
        ("authentication.liqo.io", one, ALL)
        for one in ("renews", "renews/status", "resourceslices", "resourceslices/status")
    ),
    *(("offloading.liqo.io", one, ALL) for one in ("namespacemaps", "namespacemaps/status")),
)
SLICE: Rules = (
    *(("", one, WRITE) for one in ("configmaps", "events", "persistentvolumeclaims", "secrets", "services")),
    ("networking.k8s.io", "ingresses", WRITE),
    ("offloading.liqo.io", "shadowpods", WRITE),
    ("offloading.liqo.io", "shadowendpointslices", WRITE),
    ("", "pods", READ),
    ("metrics.k8s.io", "pods", READ),
    ("", "pods/log", ("get", "list")),
    ("", "pods/exec", ("create", "get")),
    ("", "pods/attach", ("create", "get")),
    ("", "pods/portforward", ("create", "get")),
)
SLICE_EVERYWHERE: Rules = (("metrics.liqo.io", "scrape/metrics", READ),)
PEERING_USER: Rules = (
    ("", "namespaces", ("get",)),
    ("", "services", ("get",)),
    ("", "secrets", ("create", "delete", "get", "list")),
    ("apps", "deployments", ("get",)),
    ("authentication.liqo.io", "tenants", CHANGE),
    ("ipam.liqo.io", "ips", ("create", "delete", "get", "update")),
    *(
        ("networking.liqo.io", one, CHANGE)
        for one in ("configurations", "gatewayclients", "gatewayservers", "publickeies")
    ),
    ("networking.liqo.io", "connections", ("get", "list")),
    ("networking.liqo.io", "gatewayclients/status", ("get",)),
    ("networking.liqo.io", "gatewayservers/status", ("get",)),
)
PEERING_USER_IN_LIQO: Rules = (
    ("", "configmaps", READ),
    ("ipam.liqo.io", "ips", ("get",)),
    ("ipam.liqo.io", "networks", ("get", "list")),
    ("networking.liqo.io", "wggatewayclienttemplates", ("get", "list")),
    ("networking.liqo.io", "wggatewayservertemplates", ("get", "list")),
)
TWINS = "twins"
TABLE: dict[str, dict[str, Rules]] = {
    "control plane": {AWAY: CONTROL_PLANE},
    "slice": {TWINS: SLICE, "": SLICE_EVERYWHERE},
    "peering user": {AWAY: PEERING_USER, "liqo": PEERING_USER_IN_LIQO},
}
"""By identity, what it may do in which namespace; "" is in all of them."""

URLS = {"/api": True, "/apis": True, "/openapi/v3": True, "/version": True, "/livez": True}
REFUSED_URLS = ("/", "/metrics", "/logs/", "/configz", "/debug/pprof/", "/flagz", "/statusz", "/metrics/slis")


def permissions(*several: Rules) -> set[Permission]:
    return {
        Permission(verb, group, name) for rules in several for group, name, verbs in rules for verb in verbs
    }


def expected(stage: Stage, identity: str, namespace: str) -> set[Permission]:
    """What the table says of a namespace."""
    rows = TABLE[identity]
    own = rows.get(TWINS, ()) if namespace == stage.twin else rows.get(namespace, ()) if namespace else ()
    return permissions(EVERYBODY, rows.get("", ()), own)


def places(stage: Stage) -> Iterable[str]:
    """Where everything is asked: in all namespaces at once, in its own, and in those of others."""
    own = ("", AWAY, stage.twin)
    return (*own, stage.others_tenant, stage.others_twin, "liqo", "kube-system", "default")


@pytest.mark.parametrize("identity", IDENTITIES)
async def test_the_rules_of_an_identity_are_the_table(stage: Stage, identity: str) -> None:
    async with stage.client(identity) as client:
        for namespace in places(stage):
            if namespace:
                found = await rules_of(client, namespace)
                assert found == expected(stage, identity, namespace), f"{identity} in namespace {namespace}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("identity", IDENTITIES)
async def test_an_identity_may_do_what_the_table_says_and_nothing_else(stage: Stage, identity: str) -> None:
    async with stage.client(identity) as client, stage.admin() as admin:
        asked = every_permission(await discover(admin))
        assert len(asked) > 800
        # Everything in all namespaces at once, and everything once more in one namespace or another.
        spread = list(places(stage))[1:]
        for number, namespace in enumerate(places(stage)):
            wanted = expected(stage, identity, namespace)
            share = asked[number - 1 :: len(spread)] if namespace else asked
            found = await Asker(client).allowed(wanted | set(share), namespace)
            assert found == wanted, f"{identity} in namespace {namespace!r}"


@pytest.mark.parametrize("identity", IDENTITIES)
async def test_urls(stage: Stage, identity: str) -> None:
    async with stage.client(identity) as client:
        asker = Asker(client)
        for url in URLS:
            assert await asker.may({"verb": "get", "path": url}, url=True), url
        for url in REFUSED_URLS:
            assert not await asker.may({"verb": "get", "path": url}, url=True), url
        assert not await refusals(client, [("GET", url, b"") for url in REFUSED_URLS])
        assert set((await refusals(client, [("GET", url, b"") for url in URLS])).values()) == {200}


def real_requests(
    resources: Iterable[Resource], namespace: str, granted: set[Permission]
) -> list[tuple[str, str, bytes]]:
    """A read, a creation and a deletion of everything in a namespace that an identity must be refused."""
    requests = []
    for one in resources:
        if "/" in one.name or (namespace and not one.namespaced):
            continue
        path = one.path(namespace)
        for verb, method, target in (
            ("list", "GET", path),
            ("create", "POST", path),
            ("get", "GET", f"{path}/nothing"),
            ("delete", "DELETE", f"{path}/nothing"),
        ):
            # Across namespaces the API server has no creation and no single objects of what is in one.
            possible = verb == "list" or namespace or not one.namespaced
            if verb in one.verbs and possible and Permission(verb, one.group, one.name) not in granted:
                requests.append((method, target, b"{}" if method in ("POST", "DELETE") else b""))
    return requests


@pytest.mark.timeout(300)
@pytest.mark.parametrize("identity", IDENTITIES)
async def test_what_is_not_in_the_table_is_really_refused(stage: Stage, identity: str) -> None:
    async with stage.client(identity) as client, stage.admin() as admin:
        resources = await discover(admin)
        spread = list(places(stage))[1:]
        sent = 0
        for number, namespace in enumerate(places(stage)):
            granted = expected(stage, identity, namespace)
            requests = real_requests(resources, namespace, granted)
            share = requests[number - 1 :: len(spread)] if namespace else requests
            passed = await refusals(client, share)
            assert passed == {}, f"{identity} was let through in namespace {namespace!r}"
            sent += len(share)
        assert sent > 200


def one_of(kind: str, api_version: str, name: str, **fields: object) -> dict[str, object]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


async def replace(client: Client, path: str, *, update: bool) -> None:
    """Read an object, and write it back; the controller may change it in between."""
    for attempt in range(5):
        found = (await client.request("GET", path)).body
        try:
            if update:
                await client.request("PUT", path, body=found)
        except Conflict:
            if attempt == 4:
                raise
        else:
            return


async def perform(client: Client, path: str, manifest: dict[str, object], verbs: Iterable[str]) -> None:
    """Really do what an identity may do with one object: create, read, change and delete it."""
    name = manifest["metadata"]["name"]  # type: ignore[index]
    merge = "application/merge-patch+json"
    change = json.dumps({"metadata": {"annotations": {"a": "b"}}}).encode()
    if "create" in verbs:
        await client.request("POST", path, body=json.dumps(manifest).encode())
    if "list" in verbs:
        await client.request("GET", path)
    if "get" in verbs:
        await replace(client, f"{path}/{name}", update="update" in verbs)
    if "patch" in verbs:
        await client.request("PATCH", f"{path}/{name}", body=change, content_type=merge)
    if "watch" in verbs:
        query = [("watch", "true"), ("timeoutSeconds", "1")]
        await client.request("GET", path, query=query)
    if "delete" in verbs:
        await client.request("DELETE", f"{path}/{name}")


async def test_a_slice_really_does_what_it_may(stage: Stage) -> None:
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "none",
    }
    origin = {"offloading.liqo.io/origin": "rome", "offloading.liqo.io/destination": "milan"}
    limited = {"requests": {"cpu": "1m", "memory": "1Mi"}}
    container = {"name": "c", "image": "none", "imagePullPolicy": "Never", "resources": limited}
    about = {"kind": "Pod", "name": "x", "namespace": stage.twin}
    objects: list[tuple[str, str, dict[str, object]]] = [
        ("/api/v1", "configmaps", one_of("ConfigMap", "v1", "t", data={"a": "b"})),
        ("/api/v1", "secrets", one_of("Secret", "v1", "t", stringData={"a": "b"})),
        ("/api/v1", "services", one_of("Service", "v1", "t", spec={"ports": [{"port": 80}]})),
        ("/api/v1", "persistentvolumeclaims", one_of("PersistentVolumeClaim", "v1", "t", spec=claim)),
        ("/api/v1", "events", one_of("Event", "v1", "t", involvedObject=about, reason="T")),
        (
            "/apis/networking.k8s.io/v1",
            "ingresses",
            one_of(
                "Ingress",
                "networking.k8s.io/v1",
                "t",
                spec={"defaultBackend": {"service": {"name": "t", "port": {"number": 80}}}},
            ),
        ),
        (
            "/apis/offloading.liqo.io/v1beta1",
            "shadowpods",
            one_of("ShadowPod", "offloading.liqo.io/v1beta1", "t", spec={"pod": {"containers": [container]}}),
        ),
        (
            "/apis/offloading.liqo.io/v1beta1",
            "shadowendpointslices",
            one_of(
                "ShadowEndpointSlice",
                "offloading.liqo.io/v1beta1",
                "t",
                spec={"template": {"addressType": "IPv4", "endpoints": [], "ports": []}},
            ),
        ),
    ]
    async with stage.client("slice") as client:
        for root, plural, manifest in objects:
            manifest["metadata"]["labels"] = origin  # type: ignore[index]
            await perform(client, f"{root}/namespaces/{stage.twin}/{plural}", manifest, WRITE)
        await client.request("GET", f"/api/v1/namespaces/{stage.twin}/pods")


async def test_a_control_plane_really_does_what_it_may(stage: Stage) -> None:
    marks = {
        "liqo.io/replication": "false",
        "liqo.io/replicated": "true",
        "liqo.io/originID": "rome",
        "liqo.io/remoteID": "milan",
        "liqo.io/remote-cluster-id": "rome",
    }
    authentication = "authentication.liqo.io/v1beta1"
    async with stage.client("control plane") as client:
        for plural, manifest in (
            ("resourceslices", one_of("ResourceSlice", authentication, "t", spec={"class": "other"})),
            ("renews", one_of("Renew", authentication, "t", spec={"consumerClusterID": "rome"})),
            ("namespacemaps", one_of("NamespaceMap", "offloading.liqo.io/v1beta1", "t", spec={})),
        ):
            manifest["metadata"]["labels"] = marks  # type: ignore[index]
            path = f"/apis/{manifest['apiVersion']}/namespaces/{AWAY}/{plural}"
            await perform(client, path, manifest, WRITE)

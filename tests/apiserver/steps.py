"""The requests of `script`: each group asks one thing of the server's rules."""

from __future__ import annotations

from typing import Any

from tests.apiserver.script import NAMESPACES, Json, Step

_HERE, _ENDING = NAMESPACES
MAPS = f"/api/v1/namespaces/{_HERE}/configmaps"
X, S = f"{MAPS}/x", f"{MAPS}/s"
PODS = f"/api/v1/namespaces/{_HERE}/pods"
P, Q = f"{PODS}/p", f"{PODS}/q"
SERVICE = f"/api/v1/namespaces/{_HERE}/services/s"
THINGS = f"/apis/test.example/v1/namespaces/{_HERE}/things"
W, V = f"{THINGS}/w", f"{THINGS}/v"
WS = f"{W}/status"
LATE = f"/api/v1/namespaces/{_ENDING}/configmaps"
A, B = {"fieldManager": "a", "force": "true"}, {"fieldManager": "b"}
TRIED = {"dryRun": "All"}
C, D = "test.example/c", "test.example/d"


def _object(api_version: str, kind: str, name: str, fields: Json, **metadata: Any) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}, **fields}


def _map(name: str, data: Json | None = None, **metadata: Any) -> Json:
    return _object("v1", "ConfigMap", name, {} if data is None else {"data": data}, **metadata)


def _thing(name: str, spec: Json | None = None, status: Json | None = None, **metadata: Any) -> Json:
    fields = {"spec": spec, "status": status}
    given = {name: value for name, value in fields.items() if value is not None}
    return _object("test.example/v1", "Thing", name, given, **metadata)


def _pod(name: str, status: Json, **spec: Any) -> Json:
    containers = [{"name": "c", "image": "i"}]
    whole = {"schedulerName": "nobody", "containers": containers, "terminationGracePeriodSeconds": 7, **spec}
    return _object("v1", "Pod", name, {"spec": whole, "status": status})


def _service(name: str, port: int) -> Json:
    ports = [{"name": name, "port": port, "protocol": "TCP"}]
    return _object("v1", "Service", "s", {"spec": {"ports": ports}})


def _meta(**fields: Any) -> Json:
    return {"metadata": fields}


def _op(op: str, path: str, value: Any) -> Json:
    return {"op": op, "path": path, "value": value}


def _by(field: str) -> Json:
    return {"fieldSelector": field}


CREATION = [
    Step("in no namespace", "POST", "/api/v1/namespaces/none/configmaps", _map("x")),
    Step("create", "POST", MAPS, _map("x", {"a": "1"})),
    Step("again", "POST", MAPS, _map("x")),
    Step("with a version", "POST", MAPS, _map("v", resourceVersion="5")),
    Step("nameless", "POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
    Step("of another kind", "POST", MAPS, _object("v1", "Secret", "q", {}), words=False),
    Step("of another namespace", "POST", MAPS, _map("q", namespace="other")),
    Step("for no namespace", "POST", "/api/v1/configmaps", _map("q")),
    Step("broken", "POST", MAPS, "{", words=False),
    Step("of no kind", "POST", MAPS, _meta(name="plain")),
    Step("generated", "POST", MAPS, _meta(generateName="g-"), look=("metadata.generateName", "kind")),
    Step("only tried", "POST", MAPS, _map("dry"), TRIED),
    Step("was only tried", "GET", f"{MAPS}/dry"),
    Step("empty fields", "POST", MAPS, _map("e", labels={}, annotations=None, finalizers=[])),
    Step("a namespace ends", "DELETE", f"/api/v1/namespaces/{_ENDING}", look=("status.phase",)),
    Step("in an ending namespace", "POST", LATE, _map("late")),
]
ABSENCE = [
    Step("absent", "GET", f"{MAPS}/none"),
    Step("absent thing", "GET", f"{THINGS}/none"),
    Step("unserved group", "GET", "/apis/other.example/v1/things"),
    Step("unserved kind", "GET", "/api/v1/things"),
    Step("patch absent", "merge", f"{MAPS}/none", {"data": {"a": "b"}}),
    Step("delete absent", "DELETE", f"{MAPS}/none"),
    Step("put absent", "PUT", f"{MAPS}/none", _map("none")),
    Step("status of absent", "merge", f"{THINGS}/none/status", {"status": {"a": 1}}),
    Step("apply status of absent", "apply", f"{THINGS}/none/status", _thing("none", status={"a": 1}), A),
    Step("unknown subresource", "GET", f"{X}/zap"),
]
REPLACEMENT = [
    Step("put old", "PUT", X, _map("x", {"a": "2"}, resourceVersion="1")),
    Step("put any", "PUT", X, _map("x", {"a": "2"})),
    Step("put other uid", "PUT", X, _map("x", {"a": "3"}, uid="other"), words=False),
    Step("put other name", "PUT", X, _map("y", {"a": "2"})),
]
MERGES = [
    Step("merge other uid", "merge", X, {**_meta(uid="other"), "data": {"a": "3"}}),
    Step("merge old", "merge", X, {**_meta(resourceVersion="1"), "data": {"a": "3"}}),
    Step("merge old and other", "merge", X, _meta(resourceVersion="1", uid="other", labels={"a": "b"})),
    Step("merge own uid", "merge", X, {**_meta(uid="<uid:create>"), "data": {"a": "3"}}),
    Step("merge name", "merge", X, _meta(name="z")),
    Step("merge namespace", "merge", X, _meta(namespace="z")),
    Step("merge creation", "merge", X, _meta(creationTimestamp="2020-01-01T00:00:00Z")),
    Step("merge no uid", "merge", X, {**_meta(uid=None), "data": {"a": "4"}}),
    Step("merge removes", "merge", X, {"data": {"a": None, "b": "1"}}),
    Step("merge only tried", "merge", X, {"data": {"a": "t"}}, TRIED),
    Step("merge labels", "merge", X, _meta(labels={"l": "1"})),
    Step("merge no labels", "merge", X, _meta(labels={"l": None})),
    Step("unknown patch", "unknown", X, {}, words=False),
]
JSON_PATCHES = [
    Step("test fails", "json", X, [_op("test", "/metadata/uid", "other"), _op("add", "/data/c", "1")]),
    Step("remove nothing", "json", X, [{"op": "remove", "path": "/data/z"}]),
    Step("add into nothing", "json", X, [_op("add", "/binaryData/z", "eA==")]),
    Step("replace nothing", "json", X, [_op("replace", "/data/z", "1")]),
    Step("unknown operation", "json", X, [_op("zap", "/data/z", "1")]),
    Step("test and add", "json", X, [_op("test", "/data/b", "1"), _op("add", "/data/c", "1")]),
    Step("change the version", "json", X, [_op("replace", "/metadata/resourceVersion", "1")]),
    Step("change the uid", "json", X, [_op("replace", "/metadata/uid", "1")]),
]
DELETION = [
    Step("strategic finalizer", "strategic", X, _meta(finalizers=[C])),
    Step("strategic second", "strategic", X, _meta(finalizers=[D])),
    Step("strategic less", "strategic", X, _meta(**{"$deleteFromPrimitiveList/finalizers": [D]})),
    Step("delete other uid", "DELETE", X, {"preconditions": {"uid": "other"}}),
    Step("delete old", "DELETE", X, {"preconditions": {"resourceVersion": "1"}}),
    Step("delete only tried", "DELETE", X, None, TRIED, look=("metadata.finalizers", "data")),
    Step("delete and wait", "DELETE", X),
    Step("delete again", "DELETE", X),
    Step("new finalizer at the end", "merge", X, _meta(finalizers=[C, "test.example/n"])),
    Step("apply at the end", "apply", X, _map("x", {"z": "1"}), A),
    Step("release", "merge", X, _meta(finalizers=None)),
    Step("released", "GET", X),
    Step("delete at once", "DELETE", f"{MAPS}/e", {"propagationPolicy": "Background"}),
]
APPLIES = [
    Step("by nobody", "apply", S, _map("s")),
    Step("absent uid", "apply", S, _map("s", uid="other"), A),
    Step("absent version", "apply", S, _map("s", {"a": "1", "b": "1"}, resourceVersion="1"), A),
    Step("that version again", "apply", S, _map("s", resourceVersion="1"), A),
    Step("other uid", "apply", S, _map("s", uid="other"), A),
    Step("other name", "apply", S, _map("t"), A),
    Step("the same", "apply", S, _map("s", {"a": "1", "b": "1"}), A),
    Step("less", "apply", S, _map("s", {"a": "1"}), A),
    Step("contested", "apply", S, _map("s", {"a": "2"}), B),
    Step("shared", "apply", S, _map("s", {"a": "1", "x": "1"}), B),
    Step("left by one", "apply", S, _map("s", labels={"l": "1"}), A),
    Step("left by both", "apply", S, _map("s"), B),
    Step("labels left", "apply", S, _map("s"), A),
    Step("finalizers", "apply", S, _map("s", finalizers=[C]), A),
    Step("more finalizers", "apply", S, _map("s", finalizers=[D]), B),
    Step("finalizers left", "apply", S, _map("s"), A),
    Step("null", "apply", S, {**_map("s"), "data": None}, A),
    Step("updated since", "merge", S, {"data": {"u": "1"}}, {"fieldManager": "u"}),
    Step("contested by an update", "apply", S, _map("s", {"u": "2"}), B),
]
THING = [
    Step("thing", "POST", THINGS, _thing("w", {"a": 1, "n": None}, {"phase": "Running"})),
    Step("thing put any", "PUT", W, _thing("w", {"a": 2})),
    Step("thing put", "PUT", W, _thing("w", {"a": 2}, resourceVersion="<version:thing>")),
    Step("thing other uid", "merge", W, _meta(uid="other", labels={"a": "b"})),
    Step("thing old", "merge", W, _meta(resourceVersion="1", labels={"a": "b"})),
    Step("thing generation", "merge", W, _meta(generation=77)),
    Step("thing strategic", "strategic", W, {}, words=False),
    Step("thing applied", "apply", V, _thing("v", {"l": [{"name": "a"}], "b": 1}, {"x": 1}), A),
    Step("thing's list replaced", "apply", V, _thing("v", {"l": [{"name": "b"}]}), A),
    Step("thing's fields left", "apply", V, _thing("v"), A),
    Step("thing applied other uid", "apply", V, _thing("v", uid="other"), A),
    Step("thing deleted", "DELETE", V, {"propagationPolicy": "Background"}),
]
STATUS = [
    Step("status by the way", "merge", W, {"status": {"phase": "Running"}}),
    Step("status", "merge", WS, {**_meta(labels={"x": "y"}), "spec": {}, "status": {"phase": "Up"}}),
    Step("status other uid", "merge", WS, {**_meta(uid="other"), "status": {"phase": "Other"}}),
    Step("status old", "merge", WS, {**_meta(resourceVersion="1"), "status": {"phase": "Old"}}),
    Step("status test fails", "json", WS, [_op("test", "/metadata/uid", "other"), _op("add", "/status", {})]),
    Step("status apply", "apply", WS, _thing("w", status={"phase": "Failed"}), A),
    Step("status apply other uid", "apply", WS, _thing("w", status={"x": 1}, uid="other"), A),
    Step("status apply less", "apply", WS, _thing("w", status={"more": 1}), A),
    Step("status put", "PUT", WS, _thing("w", status={}, resourceVersion="<version:status apply less>")),
    Step("status put any", "PUT", WS, _thing("w", status={"phase": "Pending"})),
    Step("status get", "GET", WS),
    Step("thing finalizer", "merge", W, _meta(finalizers=[C])),
    Step("finalizer by status", "merge", WS, _meta(finalizers=None)),
    Step("thing ends", "DELETE", W),
    Step("thing at its end", "merge", W, {"spec": {"b": 1}}),
    Step("status at its end", "merge", WS, {"status": {"phase": "Over"}}),
    Step("thing released", "merge", W, _meta(finalizers=[])),
]
POD_LOOK = ("metadata.labels", "metadata.generation", "status.phase", "status.reason", "spec.nodeName")
POD = [
    Step("pod", "POST", PODS, _pod("p", {"phase": "Running"}), look=POD_LOOK),
    Step(
        "pod status",
        "merge",
        f"{P}/status",
        {**_meta(labels={"l": "1"}), "status": {"reason": "R"}},
        look=POD_LOOK,
    ),
    Step(
        "pod status other uid",
        "merge",
        f"{P}/status",
        {**_meta(uid="other"), "status": {"reason": "O"}},
        look=POD_LOOK,
    ),
    Step("pod status by the way", "merge", P, {"status": {"reason": "W"}}, look=POD_LOOK),
    Step("pod image", "strategic", P, {"spec": {"containers": [{"name": "c", "image": "j"}]}}, look=POD_LOOK),
    Step("pods of a node", "GET", PODS, None, _by("spec.nodeName=ghost"), look=("items.0",)),
    Step("pods of none", "GET", PODS, None, _by("spec.nodeName="), look=("items.0.metadata.name",)),
    Step("kinds in lists", "GET", PODS, None, look=("items.0.kind", "items.0.apiVersion", "kind")),
    Step("pods by an unknown field", "GET", PODS, None, _by("spec.zap=1")),
    Step("evict absent", "POST", f"{PODS}/none/eviction", _object("policy/v1", "Eviction", "none", {})),
    Step("delete an unbound pod", "DELETE", P, look=("kind", "metadata.name")),
    Step("unbound pod gone", "GET", P),
    Step("bound pod", "POST", PODS, _pod("q", {}, nodeName="ghost"), look=POD_LOOK),
    Step("delete a bound pod", "DELETE", Q, look=("metadata.deletionGracePeriodSeconds",)),
    Step("delete it now", "DELETE", Q, {"gracePeriodSeconds": 0}, look=("metadata.name",)),
    Step("bound pod gone", "GET", Q),
]
PORTS = ("metadata.generation", *(f"spec.ports.{number}.port" for number in range(3)))
SERVICES = [
    Step("service", "apply", SERVICE, _service("a", 80), A, PORTS),
    Step("service of two", "apply", SERVICE, _service("b", 81), B, PORTS),
    Step("service changed", "apply", SERVICE, _service("c", 82), A, PORTS),
    Step("service status", "merge", f"{SERVICE}/status", {"status": {"loadBalancer": {}}}, look=PORTS),
    Step("service deleted", "DELETE", SERVICE, look=("kind",)),
]
READING = [
    Step("empty list", "GET", MAPS, None, _by("metadata.name=nope")),
    Step("empty list of things", "GET", THINGS),
    Step("unknown field", "GET", THINGS, None, _by("data.x=1")),
    Step("unfinished selector", "GET", MAPS, None, {"labelSelector": "a in"}, words=False),
    Step("empty term", "GET", MAPS, None, {"labelSelector": "a,,b"}, words=False),
    Step("nameless term", "GET", MAPS, None, {"labelSelector": "=b"}, words=False),
    Step("set without commas", "GET", MAPS, None, {"labelSelector": "a in (b c)"}, words=False),
    Step("initial events of any", "GET", MAPS, None, {"watch": "1", "sendInitialEvents": "true"}),
    Step("broken token", "GET", MAPS, None, {"limit": "1", "continue": "zap"}, words=False),
]
GROUPS = (
    CREATION,
    ABSENCE,
    REPLACEMENT,
    MERGES,
    JSON_PATCHES,
    DELETION,
    APPLIES,
    THING,
    STATUS,
    POD,
    SERVICES,
)
STEPS = [step for group in (*GROUPS, READING) for step in group]

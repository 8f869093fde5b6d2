"""What is asked of an API server besides objects: versions, discovery, health, reviews, tokens, evictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.apiserver import errors
from tests.apiserver.patches import merge_patch
from tests.apiserver.requests import Request
from tests.apiserver.store import Json, Place
from tests.apiserver.writes import Admission

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}
_REVIEWS = {
    "selfsubjectaccessreviews": {"allowed": True},
    "subjectaccessreviews": {"allowed": True},
    "localsubjectaccessreviews": {"allowed": True},
    "tokenreviews": {"authenticated": False},
    "selfsubjectreviews": {"userInfo": {"username": "kubernetes-admin", "groups": ["system:masters"]}},
}
_SUBRESOURCES = {
    ("serviceaccounts", "token"),
    ("pods", "eviction"),
    ("pods", "binding"),
}


def _allow(_: Json) -> Json:
    return {}


def is_virtual(request: Request) -> bool:
    """Whether a request is about a part of an object that is none itself."""
    return (request.plural, request.subresource) in _SUBRESOURCES


def virtual(api: ApiServer, request: Request) -> tuple[int, Any]:
    """The answer to such a request. Raises 404 for what is not served."""
    if is_virtual(request):
        return _of_object(api, request)
    parts = request.path.strip("/").split("/")
    if request.path == "/version":
        return 200, VERSION
    if parts[0] in ("livez", "readyz", "healthz"):
        return 200, b"ok"
    if request.verb == "create" and parts[-1] in _REVIEWS:
        review = request.body
        return 201, {**review, "status": api.reviews.get(parts[-1], _allow)(review) or _REVIEWS[parts[-1]]}
    if parts == ["apis"]:
        return 200, _groups(api)
    if parts[0] in ("api", "apis") and len(parts) == (2 if parts[0] == "api" else 3):
        return 200, _resources(api, "/".join(parts[1:]))
    if parts[0] in ("api", "apis") and _served(api, parts):
        raise errors.not_served()
    raise errors.no_page()


def _served(api: ApiServer, parts: list[str]) -> bool:
    """Whether there is anything of the group and version that a path begins with."""
    group_version = "/".join(parts[1:2] if parts[0] == "api" else parts[1:3])
    return any(api.kinds[key].api_version == group_version for key in api.kinds)


def _of_object(api: ApiServer, request: Request) -> tuple[int, Any]:
    place = Place(request.plural, request.namespace, request.name)
    if place not in api.objects:
        raise errors.not_found(api.kinds[request.plural].resource, request.name)
    body = request.body or {}
    value = api.objects[place]
    review = Admission("CREATE", place, request.subresource, body, value)
    for hook in api.admission:
        hook(review)
    if request.subresource == "token":
        seconds = body.get("spec", {}).get("expirationSeconds", 3600)
        status = {"token": f"token-{api.version}", "expirationTimestamp": api.store.now(seconds)}
        return 201, {**body, "status": status}
    if request.subresource == "eviction":
        api.writer.delete(place, body.get("deleteOptions"))
    else:
        api.writer.patch(place, lambda old: merge_patch(old, {"spec": {"nodeName": body["target"]["name"]}}))
    return 201, {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def _groups(api: ApiServer) -> Json:
    versions = {api.kinds[key].group: api.kinds[key].version for key in api.kinds}
    groups = []
    for name, version in versions.items():
        if name:
            one = {"groupVersion": f"{name}/{version}", "version": version}
            groups.append({"name": name, "versions": [one], "preferredVersion": one})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resources(api: ApiServer, group_version: str) -> Json:
    kinds = [api.kinds[key] for key in api.kinds if api.kinds[key].api_version == group_version]
    if not kinds:
        raise errors.not_served()
    verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    resources = []
    for kind in kinds:
        one = {"name": kind.plural, "namespaced": kind.namespaced, "kind": kind.name, "verbs": verbs}
        resources.append(one)
        if kind.status:
            resources.append({**one, "name": f"{kind.plural}/status", "verbs": ["get", "patch", "update"]})
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }

"""What an identity may do, asked of a real API server about everything its discovery lists.

A permission is `verb group resource[/subresource]`, asked in one namespace or, with "", in all of them. The questions
are access reviews over a few kept connections: of the identity itself with its own kubeconfig, or of another, asked
by the admin.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
OF_SUBRESOURCES = ("get", "create", "update", "patch", "delete")
SPECIAL = (
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("impersonate", "", "serviceaccounts"),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    ("bind", "rbac.authorization.k8s.io", "roles"),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
    ("escalate", "rbac.authorization.k8s.io", "roles"),
    ("approve", "certificates.k8s.io", "signers"),
    ("sign", "certificates.k8s.io", "signers"),
    ("get", "", "nodes/metrics"),
    ("get", "metrics.k8s.io", "nodes"),
    ("get", "custom.metrics.k8s.io", "pods"),
    ("*", "*", "*"),
)
"""Verbs that are no request, and resources that this cluster does not serve but roles may speak of."""
WORKERS = 24
_REVIEWS = "/apis/authorization.k8s.io/v1"


class Permission(NamedTuple):
    """One verb on one resource, which may be a subresource."""

    verb: str
    group: str
    resource: str


class Resource(NamedTuple):
    """A resource as discovery lists it, with the path its collection is at."""

    group: str
    version: str
    name: str
    namespaced: bool
    verbs: frozenset[str]

    def path(self, namespace: str = "") -> str:
        """Of the collection, in a namespace or in all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.name}" if namespace else f"{root}/{self.name}"


async def discover(client: Client) -> list[Resource]:
    """Every resource and subresource that the API server lists, of every group and version."""
    groups = json.loads((await client.request("GET", "/apis")).body)["groups"]
    versions = [version["groupVersion"] for group in groups for version in group["versions"]]
    found: list[Resource] = []
    for at in ("v1", *versions):
        body = (await client.request("GET", f"/apis/{at}" if "/" in at else f"/api/{at}")).body
        group, _, version = at.rpartition("/")
        found += [
            Resource(group, version, each["name"], each["namespaced"], frozenset(each["verbs"]))
            for each in json.loads(body)["resources"]
        ]
    return found


def every_permission(resources: Iterable[Resource]) -> list[Permission]:
    """Every verb on every resource, whether it is served under that verb or not."""
    asked = {
        Permission(verb, each.group, each.name)
        for each in resources
        for verb in (OF_SUBRESOURCES if "/" in each.name else VERBS)
    }
    return sorted(asked | {Permission(*each) for each in SPECIAL})


class Asker:
    """Asks an API server what an identity may do: the client's own, or (for an admin) another."""

    def __init__(self, client: Client, user: str = "", groups: tuple[str, ...] = ()) -> None:
        self._client = client
        self._user = user
        self._groups = groups

    async def may(self, attributes: dict[str, str], *, url: bool = False) -> bool:
        """The answer to one review."""
        spec: dict[str, Any] = {"nonResourceAttributes" if url else "resourceAttributes": attributes}
        kind = "SelfSubjectAccessReview"
        if self._user:
            kind = "SubjectAccessReview"
            spec |= {"user": self._user, "groups": [*self._groups, "system:authenticated"]}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        path = f"{_REVIEWS}/{kind.lower()}s"
        answer = await self._client.request("POST", path, body=json.dumps(review).encode())
        return bool(json.loads(answer.body)["status"]["allowed"])

    async def allowed(self, permissions: Iterable[Permission], namespace: str) -> set[Permission]:
        """Those of the permissions that the identity has in the namespace ("" for all of them)."""
        queue = list(permissions)
        found: set[Permission] = set()

        async def work() -> None:
            while queue:
                one = queue.pop()
                resource, _, subresource = one.resource.partition("/")
                attributes = {"verb": one.verb, "group": one.group, "resource": resource}
                if await self.may({**attributes, "subresource": subresource, "namespace": namespace}):
                    found.add(one)

        await asyncio.gather(*(work() for _ in range(WORKERS)))
        return found


async def rules_of(client: Client, namespace: str) -> set[Permission]:
    """All that the client's own identity may do in a namespace, as the authorizer's rules put it, wildcards as such."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = await client.request(
        "POST", f"{_REVIEWS}/selfsubjectrulesreviews", body=json.dumps(review).encode()
    )
    return {
        Permission(verb, group, resource)
        for rule in json.loads(answer.body)["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


async def refusals(client: Client, requests: Iterable[tuple[str, str, bytes]]) -> dict[str, int]:
    """Really send requests (method, path, body); by "METHOD path" the code of those that were not refused with 403."""
    queue = list(requests)
    passed: dict[str, int] = {}

    async def work() -> None:
        while queue:
            method, path, body = queue.pop()
            query = [("dryRun", "All")] if method != "GET" else [("limit", "1")]
            try:
                code = (await client.request(method, path, query=query, body=body)).status
            except ApiError as error:
                code = error.code
            if code != 403:
                passed[f"{method} {path}"] = code

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return passed

"""What `kubectl get -o json` would say, over one kept connection: a kubectl costs 0.13 s of CPU each time.

Tests look thousands of times in a run, mostly while they wait. Takes the words of `kubectl get` that the tests use:
kinds by any of their names, a name, `-n`, `-A`, `-l` and `--field-selector`. Everything that fails raises ReadError.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

TIMEOUT_SECONDS = 30.0
RETRIES = 10
"""Of a request that is answered 429 with the seconds to wait, as any client of Kubernetes does: an API server that has
just started says so while it reads its storage."""
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
FLAGS = {
    "-n": "namespace",
    "--namespace": "namespace",
    "-l": "labelSelector",
    "--selector": "labelSelector",
    "--field-selector": "fieldSelector",
}


class ReadError(AssertionError):
    """The API server did not answer, or not with success."""


@dataclass(frozen=True)
class Resource:
    """A kind that the cluster serves."""

    prefix: str
    """The path of its group and version."""
    plural: str
    namespaced: bool
    version: str
    kind: str

    def path(self, namespace: str, name: str = "") -> str:
        """Where its objects are; of all namespaces where none is given."""
        within = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{self.prefix}{within}/{self.plural}" + (f"/{quote(name)}" if name else "")


@dataclass(frozen=True)
class Query:
    """The words of one `kubectl get`."""

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    namespace: str
    selectors: tuple[tuple[str, str], ...]


def parse(words: Sequence[str]) -> Query:
    """What is asked for. Raises ValueError for a flag that is not known here."""
    given = {"namespace": "default"}
    plain: list[str] = []
    rest: Iterator[str] = iter(words)
    for word in rest:
        flag, _, value = word.partition("=")
        if word in ("-A", "--all-namespaces"):
            given["namespace"] = ""
        elif flag in FLAGS:
            given[FLAGS[flag]] = value or next(rest)
        elif word.startswith("-"):
            raise ValueError(f"{word} is no flag of a look at objects")
        else:
            plain.append(word)
    namespace = given.pop("namespace")
    kinds, names = plain[0], plain[1:]
    if "/" in kinds:
        kinds, _, name = kinds.partition("/")
        names = [name, *names]
    return Query(tuple(kinds.split(",")), tuple(names), namespace, tuple(given.items()))


def resources(document: dict[str, Any]) -> Iterator[tuple[str, Resource]]:
    """Each name that a kind of a discovery document answers to, in the order of preference."""
    for group in document.get("items", []):
        name = group["metadata"].get("name", "")
        for version in group.get("versions", []):
            text = f"{name}/{version['version']}" if name else version["version"]
            prefix = f"/apis/{text}" if name else f"/api/{text}"
            for one in version.get("resources", []):
                kind = one.get("responseKind", {}).get("kind", "")
                found = Resource(prefix, one["resource"], one["scope"] == "Namespaced", text, kind)
                words = {
                    one["resource"],
                    one.get("singularResource", ""),
                    kind.lower(),
                    *one.get("shortNames", []),
                }
                for word in words - {""}:
                    yield word, found
                    yield f"{word}.{name}", found


class Reader:
    """One cluster as its administrator reads it. Threads take turns."""

    def __init__(self, server: str, pki: Path) -> None:
        self._address = urlsplit(server)
        self._pki = pki
        self._connection: http.client.HTTPSConnection | None = None
        self._resources: dict[str, Resource] = {}
        self._lock = threading.Lock()

    def __del__(self) -> None:
        """Close the kept connection: whoever has a cluster keeps it as long as it is of use."""
        if self._connection is not None:
            self._connection.close()

    def get(self, *words: str) -> Any:
        """One object, or a List of those asked for; None where a single object is not there."""
        query = parse(words)
        with self._lock:
            kinds = [self._resource(word) for word in query.kinds]
            if len(kinds) == len(query.names) == 1:
                return self._object(kinds[0], query.namespace, query.names[0])
            items: list[Any] = []
            for kind in kinds:
                if query.names:
                    found = (self._object(kind, query.namespace, name) for name in query.names)
                    items += [one for one in found if one is not None]
                else:
                    items += self._list(kind, query)
        return {"apiVersion": "v1", "kind": "List", "items": items}

    def _object(self, kind: Resource, namespace: str, name: str) -> Any:
        status, body = self._request(kind.path(namespace, name))
        if status == http.client.NOT_FOUND:
            return None
        return _answer(status, body)

    def _list(self, kind: Resource, query: Query) -> list[Any]:
        selected = f"?{urlencode(query.selectors)}" if query.selectors else ""
        found = _answer(*self._request(kind.path(query.namespace) + selected))
        # Lists leave out what is the same for each of their objects.
        return [{"apiVersion": kind.version, "kind": kind.kind, **one} for one in found["items"]]

    def _resource(self, word: str) -> Resource:
        word = word.lower()
        if word not in self._resources:
            self._resources = {}
            for path in ("/api", "/apis"):
                for name, found in resources(_answer(*self._request(path, DISCOVERY))):
                    self._resources.setdefault(name, found)
        if word not in self._resources:
            raise ReadError(f"the server doesn't have a resource type {word!r}")
        return self._resources[word]

    def _request(self, path: str, accept: str = "application/json") -> tuple[int, bytes]:
        for _ in range(RETRIES):
            status, body, wait = self._reached(path, accept)
            if status != http.client.TOO_MANY_REQUESTS or not wait:
                break
            time.sleep(float(wait))
        return status, body

    def _reached(self, path: str, accept: str) -> tuple[int, bytes, str]:
        kept = self._connection is not None
        try:
            return self._ask(path, accept)
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            if not kept:
                raise ReadError(f"GET {path}: {error}") from error
        return self._reached(path, accept)  # The server has closed the kept connection; a new one tells more.

    def _ask(self, path: str, accept: str) -> tuple[int, bytes, str]:
        if self._connection is None:
            context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
            context.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
            host, port = str(self._address.hostname), self._address.port
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
            try:
                connection.connect()
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        connection = self._connection
        try:
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("Retry-After", "")
        except BaseException:
            connection.close()
            raise


def _answer(status: int, body: bytes) -> Any:
    if status >= 300:
        raise ReadError(f"the API server answered {status}: {body[:500].decode(errors='replace')}")
    return json.loads(body)

"""A request as an API server understands it: the verb, and what it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import msgspec

from tests.apiserver.errors import bad_request
from tests.apiserver.kinds import Kinds
from tests.kube.fake import Exchange

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Request:
    """`verb` is Kubernetes' word, or "apply" for a server-side one; `plural` is the key of the kind, "" for none."""

    exchange: Exchange
    verb: str
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    code: int = 0
    """What was answered, 0 before that and where the answer was lost."""
    answer: Any = None

    @property
    def path(self) -> str:
        """The path of its URL."""
        return self.exchange.path

    @cached_property
    def query(self) -> dict[str, str]:
        """Its parameters."""
        return self.exchange.query

    @cached_property
    def body(self) -> Any:
        """What was sent, None for nothing. Raises 400 for what is no JSON."""
        try:
            return self.exchange.json() if self.exchange.body else None
        except msgspec.DecodeError as error:
            raise bad_request(f"the object provided is unrecognized: {error}") from None

    @property
    def content_type(self) -> str:
        """What the body is."""
        return self.exchange.headers.get("content-type", "").partition(";")[0]

    @property
    def metadata_only(self) -> bool:
        """Whether PartialObjectMetadata is asked for."""
        return "as=PartialObjectMetadata" in self.exchange.headers.get("accept", "")

    @property
    def manager(self) -> str:
        """The field manager: the parameter, else the program's name."""
        agent = self.exchange.headers.get("user-agent", "").partition("/")[0]
        return self.query.get("fieldManager") or agent or "unknown"

    def __str__(self) -> str:
        what = "/".join(one for one in (self.plural or self.path, self.subresource) if one)
        return f"{self.verb} {what} {self.namespace}/{self.name} -> {self.code}"


def parse(exchange: Exchange, kinds: Kinds) -> Request:
    """What a request is about; `plural` "" where its kind is not served or its path is none of objects."""
    parts = [unquote(one) for one in exchange.path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Request(exchange, exchange.method.lower())
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural = kinds.find(group, rest[0], version) or ""
    name = rest[1] if len(rest) > 1 else ""
    request = Request(exchange, "", plural, namespace, name, "/".join(rest[2:]))
    request.verb = _verb(request)
    return request


def _verb(request: Request) -> str:
    method = request.exchange.method
    if method == "GET":
        if request.query.get("watch") in ("1", "true"):
            return "watch"
        return "get" if request.name else "list"
    if method == "PATCH" and request.content_type == "application/apply-patch+yaml":
        return "apply"
    if method == "DELETE" and not request.name:
        return "deletecollection"
    return _VERBS.get(method, method.lower())


@dataclass(frozen=True)
class Match:
    """Which requests are meant; "" and None mean any. `verb` "write" is every one that changes something."""

    verb: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str | None = None
    when: Callable[[Request], bool] | None = None

    def __call__(self, request: Request) -> bool:
        verbs = ("create", "update", "patch", "apply", "delete", "deletecollection")
        return (
            (self.verb in ("", request.verb) or (self.verb == "write" and request.verb in verbs))
            and self.plural in ("", request.plural)
            and self.namespace in ("", request.namespace)
            and self.name in ("", request.name)
            and self.subresource in (None, request.subresource)
            and (self.when is None or self.when(request))
        )

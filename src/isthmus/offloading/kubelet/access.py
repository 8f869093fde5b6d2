"""Who may use the kubelet API: the same clients as of any kubelet, asked of the same API server.

A client certificate of the cluster's client authority says who somebody is (the TLS layer has verified it), else
a bearer token that the API server reviews; nobody is anonymous. What somebody may do on a node is reviewed by the
API server too. Reviews are remembered for a minute, in bounded memory, and tokens only by their digest. When the
API server cannot be asked, the request fails; nothing is allowed for lack of an answer.
"""

from __future__ import annotations

import asyncio
import hashlib

from msgspec import Struct, field, json

from isthmus.kube.client import Client
from isthmus.kube.objects import Base, Manifest
from isthmus.kube.server import Request
from isthmus.offloading.kubelet.expiring import Expiring

REMEMBERED = 60.0
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 -- a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
AUTHENTICATED = "system:authenticated"
MAX_TOKEN = 16 * 1024


class User(Base, frozen=True, kw_only=True):
    """Who asks, as the API server names them."""

    username: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)


class Ask(Struct, frozen=True):
    """What somebody wants to do; `node` "" stands for all nodes."""

    verb: str
    subresource: str
    node: str


class _TokenStatus(Base, frozen=True, kw_only=True):
    authenticated: bool = False
    user: User = field(default_factory=User)


class _TokenReview(Base, frozen=True, kw_only=True):
    status: _TokenStatus = field(default_factory=_TokenStatus)


class _AccessStatus(Base, frozen=True, kw_only=True):
    allowed: bool = False
    denied: bool = False


class _AccessReview(Base, frozen=True, kw_only=True):
    status: _AccessStatus = field(default_factory=_AccessStatus)


def certified_user(subject: tuple[tuple[str, str], ...]) -> User | None:
    """Who a verified client certificate is of: its common name, its organizations as groups."""
    names = [value for name, value in subject if name == "commonName"]
    if len(names) != 1 or not names[0]:
        return None
    groups = [value for name, value in subject if name == "organizationName"]
    return User(username=names[0], groups=[*groups, AUTHENTICATED])


def bearer_token(headers: dict[str, str]) -> str:
    """The token of an Authorization header, "" where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and len(token) <= MAX_TOKEN else ""


def forge_access_review(user: User, ask: Ask) -> Manifest:
    """The SubjectAccessReview of what a user wants to do on a node."""
    attributes = {"verb": ask.verb, "version": "v1", "resource": "nodes", "subresource": ask.subresource}
    if ask.node:
        attributes["name"] = ask.node
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
            "resourceAttributes": attributes,
        },
    }


class Access:
    """Authentication and authorization by the API server of our own cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._users: Expiring[bytes, User] = Expiring(REMEMBERED)
        self._decisions: Expiring[bytes, bool] = Expiring(REMEMBERED)

    async def authenticate(self, request: Request) -> User | None:
        """Who asks, None where that is not known. Raises KubeError where it cannot be found out."""
        if request.peer_subject:
            return certified_user(request.peer_subject)
        token = bearer_token(request.headers)
        if not token:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._users.get(digest, _now())
        if known is not None:
            return known
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        answer = await self._client.request("POST", TOKEN_REVIEWS, body=json.encode(review))
        status = json.decode(answer.body, type=_TokenReview).status
        if not status.authenticated or not status.user.username:
            return None
        self._users.put(digest, status.user, _now())
        return status.user

    async def allows(self, user: User, ask: Ask) -> bool:
        """Whether somebody may do that. Raises KubeError where it cannot be found out."""
        body = json.encode(forge_access_review(user, ask), order="deterministic")
        digest = hashlib.sha256(body).digest()
        known = self._decisions.get(digest, _now())
        if known is not None:
            return known
        answer = await self._client.request("POST", ACCESS_REVIEWS, body=body)
        status = json.decode(answer.body, type=_AccessReview).status
        allowed = status.allowed and not status.denied
        self._decisions.put(digest, allowed, _now())
        return allowed


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Service account tokens: what of a pod's Secret of tokens is decided here, with no I/O.

A pod that talks to its home API server needs tokens of its service account there, which the provider cannot
issue. They are requested here, bound to the local pod, and put into a Secret `<pod>-token` of the twin namespace
that the forged pod mounts in place of its projected tokens (wire.md 1.2 and 2). The values exist only in the
answers to the requests and in that Secret.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, field

from isthmus.api import labels
from isthmus.api.names import NAMESPACE_KEY, token_key, token_secret
from isthmus.kube.builtin import Pod
from isthmus.kube.objects import Base, Key, Manifest, Object, ObjectMeta
from isthmus.reflection.session import ReflectionSession

DEFAULT_LIFE = 3600
"""Seconds a token lives where the pod does not say (the API's own default)."""
REFRESH_AT = 0.8
"""The part of its life after which a token is replaced."""
JITTER = 30.0
"""Seconds by which a refresh may come earlier, so that the tokens of a burst of pods do not end together."""
LABEL_LENGTH = 63
TERMINAL = frozenset({"Succeeded", "Failed"})
NO_TOKENS = frozenset({"remote", "disabled"})
"""Values of the API server support annotation under which a pod has no tokens of ours."""


class TokenSource(Struct, frozen=True):
    """One projected service account token of a pod; "" is the API server's own audience."""

    key: str
    audience: str
    life: int


class IssuedToken(Struct, frozen=True):
    """A token as it was issued: its end in seconds since the epoch, and its life in seconds."""

    value: str
    expires: float
    life: float

    def __repr__(self) -> str:
        return f"IssuedToken(expires={self.expires}, life={self.life})"


class _TokenProjection(Base, frozen=True, kw_only=True):
    path: str = ""
    audience: str = ""
    expiration_seconds: int | None = None


class _Projection(Base, frozen=True, kw_only=True):
    service_account_token: _TokenProjection | None = None


class _Projected(Base, frozen=True, kw_only=True):
    sources: list[_Projection] | None = None


class _Volume(Base, frozen=True, kw_only=True):
    name: str = ""
    projected: _Projected | None = None


class _PodSpec(Base, frozen=True, kw_only=True):
    service_account_name: str = "default"
    volumes: list[_Volume] | None = None


class _PodStatus(Base, frozen=True, kw_only=True):
    phase: str = ""


class _RequestSpec(Base, frozen=True, kw_only=True):
    expiration_seconds: int = DEFAULT_LIFE


class _RequestStatus(Base, frozen=True, kw_only=True):
    token: str
    expiration_timestamp: datetime


class _TokenRequest(Base, frozen=True, kw_only=True):
    spec: _RequestSpec = field(default_factory=_RequestSpec)
    status: _RequestStatus


class PodTokens(Struct, frozen=True):
    """What tokens a pod projects, and of which service account."""

    service_account: str
    sources: tuple[TokenSource, ...]


def wanted_tokens(pod: Pod) -> PodTokens:
    """The tokens a pod projects; none where it asked for no access to its home API server."""
    if pod.metadata.annotations.get(labels.API_SERVER_SUPPORT, "").lower() in NO_TOKENS:
        return PodTokens("", ())
    spec = msgspec.json.decode(pod.spec, type=_PodSpec)
    sources = tuple(
        TokenSource(
            token_key(volume.name, token.path), token.audience, token.expiration_seconds or DEFAULT_LIFE
        )
        for volume in spec.volumes or ()
        if volume.projected is not None
        for projection in volume.projected.sources or ()
        if (token := projection.service_account_token) is not None
    )
    return PodTokens(spec.service_account_name or "default", sources)


def is_terminal(pod: Pod) -> bool:
    """Whether the pod has ended, so that its tokens are renewed no more."""
    return msgspec.json.decode(pod.status, type=_PodStatus).phase in TERMINAL


def forge_request(pod: ObjectMeta, source: TokenSource) -> Manifest:
    """The TokenRequest of one projected token, bound to the pod so that it ends with it."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [source.audience] if source.audience else [],
            "expirationSeconds": source.life,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid},
        },
    }


def read_issued(answer: bytes) -> IssuedToken:
    """The token of an answered TokenRequest. Raises msgspec.DecodeError, without the token's value."""
    request = msgspec.json.decode(answer, type=_TokenRequest)
    return IssuedToken(
        request.status.token,
        request.status.expiration_timestamp.timestamp(),
        float(request.spec.expiration_seconds),
    )


def forge_labels(session: ReflectionSession, service_account: str) -> dict[str, str]:
    """The labels of a Secret of tokens; a long name of a service account is cut to a label's length."""
    return {
        labels.ORIGIN: session.home_id,
        labels.DESTINATION: session.provider_id,
        labels.NODE_NAME: session.node_name,
        labels.SERVICE_ACCOUNT_NAME: service_account[:LABEL_LENGTH].rstrip("-._"),
    }


def forge_secret(
    session: ReflectionSession,
    pod: ObjectMeta,
    namespace: str,
    service_account: str,
    issued: dict[str, IssuedToken],
) -> Manifest:
    """The Secret that holds the tokens of a pod, and the namespace they are for.

    Its expiration is that of the token that ends first.
    """
    expires = min(token.expires for token in issued.values())
    values = {key: token.value for key, token in issued.items()} | {NAMESPACE_KEY: pod.namespace}
    return {
        "metadata": {
            "name": token_secret(pod.name),
            "namespace": namespace,
            "labels": forge_labels(session, service_account),
            "annotations": {
                labels.SERVICE_ACCOUNT_POD_NAME: pod.name,
                labels.SERVICE_ACCOUNT_POD_UID: pod.uid,
                labels.SERVICE_ACCOUNT_EXPIRATION: _timestamp(expires),
            },
        },
        "type": "Opaque",
        "immutable": False,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def is_current(session: ReflectionSession, pod: ObjectMeta, service_account: str, secret: Object) -> bool:
    """Whether a Secret is the one of this very pod, whatever the age of its tokens.

    Which tokens a pod has never changes, so it holds them all.
    """
    annotations = secret.metadata.annotations
    wanted = forge_labels(session, service_account).items()
    return (
        annotations.get(labels.SERVICE_ACCOUNT_POD_UID) == pod.uid
        and annotations.get(labels.SERVICE_ACCOUNT_POD_NAME) == pod.name
        and wanted <= secret.metadata.labels.items()
    )


def expiration(secret: Object) -> float:
    """When the tokens of a Secret end, in seconds since the epoch; 0 where it does not say."""
    try:
        text = secret.metadata.annotations.get(labels.SERVICE_ACCOUNT_EXPIRATION, "")
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def refresh_in(expires: float, life: float, now: float, random: float) -> float:
    """Seconds until tokens that end at `expires` are to be replaced, 0 or less when they are due.

    `life` is theirs in seconds, `expires` and `now` are seconds since the epoch, `random` is of 0 to 1.
    """
    jitter = random * min(JITTER, 0.05 * life)
    return expires - (1 - REFRESH_AT) * life - jitter - now


def selector(session: ReflectionSession) -> str:
    """What else than our marks selects the Secrets of tokens of this virtual node's pods."""
    return f"{labels.SERVICE_ACCOUNT_NAME},{labels.NODE_NAME}={session.node_name}"


def holds_tokens(secret: Object) -> bool:
    """Whether a Secret at the provider holds the tokens of a pod rather than the copy of a Secret."""
    return labels.SERVICE_ACCOUNT_NAME in secret.metadata.labels


def is_of_node(session: ReflectionSession, secret: Object) -> bool:
    """Whether a Secret holds tokens of a pod of this virtual node."""
    return holds_tokens(secret) and secret.metadata.labels.get(labels.NODE_NAME) == session.node_name


def pod_of(secret: Object, local_namespace: str) -> tuple[Key, ...]:
    """The local pod a Secret of tokens is of, none where its name and annotation do not agree."""
    name = secret.metadata.annotations.get(
        labels.SERVICE_ACCOUNT_POD_NAME
    ) or secret.metadata.name.removesuffix("-token")
    return (Key(local_namespace, name),) if token_secret(name) == secret.metadata.name else ()


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

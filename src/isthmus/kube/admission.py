"""AdmissionReview v1 as it is read and answered; only the fields used are decoded."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw, field

from isthmus.kube.objects import Base, Key

NOTHING = Raw(b"null")
Operations = list[dict[str, Any]]
"""A JSON patch."""


class UserInfo(Base, frozen=True, kw_only=True):
    """Who asks."""

    username: str = ""
    groups: list[str] = field(default_factory=list)


class AdmissionRequest(Base, frozen=True, kw_only=True):
    """What is asked: `object` is null for DELETE, `old_object` for CREATE."""

    uid: str = ""
    operation: str = ""
    name: str = ""
    namespace: str = ""
    user_info: UserInfo = field(default_factory=UserInfo)
    object: Raw = NOTHING
    old_object: Raw = NOTHING
    dry_run: bool | None = None

    @property
    def key(self) -> Key:
        """The namespace and name asked about."""
        return Key(self.namespace, self.name)


class Review(Base, frozen=True, kw_only=True):
    """The envelope."""

    request: AdmissionRequest


class Verdict(msgspec.Struct, frozen=True):
    """What is answered: allowed, with a patch and warnings; or denied with a message and HTTP code."""

    allowed: bool = True
    message: str = ""
    code: int = 403
    patch: Operations = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


ALLOWED = Verdict()
Handler = Callable[[AdmissionRequest], Awaitable[Verdict]]
"""What answers the requests of one webhook."""


def deny(message: str, code: int = 403) -> Verdict:
    """A denial; the message is what the user reads."""
    return Verdict(allowed=False, message=message, code=code)


def encode_review(uid: str, verdict: Verdict) -> bytes:
    """The AdmissionReview that answers the request of that uid."""
    response: dict[str, Any] = {"uid": uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        response["status"] = {"code": verdict.code, "message": verdict.message}
    if verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(msgspec.json.encode(verdict.patch)).decode()
    if verdict.warnings:
        response["warnings"] = verdict.warnings
    return msgspec.json.encode(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    )


def set_label(metadata_labels: dict[str, str], key: str, value: str) -> Operations:
    """The operations that give an object a label; `metadata_labels` are those it has."""
    if metadata_labels.get(key) == value:
        return []
    if not metadata_labels:
        return [{"op": "add", "path": "/metadata/labels", "value": {key: value}}]
    return [{"op": "add", "path": f"/metadata/labels/{escape(key)}", "value": value}]


def escape(key: str) -> str:
    """A key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")

"""Requests whose answers are recorded from a real API server, for the one in memory to be held against.

`play` sends them one after the other, in two namespaces that are there, with the kind of `THINGS` served. What is
recorded of an answer is its code, a refusal's reason and words, an object without what differs from run to run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError

Json = dict[str, Any]

RECORDED = Path(__file__).parent / "recorded.json"
NAMESPACES = ("script", "script-ending")
"""In the second there is a ConfigMap `held` with a finalizer."""
HELD: Json = {"metadata": {"name": "held", "namespace": NAMESPACES[1], "finalizers": ["test.example/held"]}}
_FREE: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
THINGS: Json = {
    "metadata": {"name": "things.test.example"},
    "spec": {
        "group": "test.example",
        "names": {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "properties": {"spec": _FREE, "status": _FREE}}
                },
            }
        ],
    },
}
"""A kind without webhooks or policies, whatever is installed."""

_CONTENT = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
    "unknown": "application/unknown",
}
_LEFT_OUT = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields", "selfLink")


@dataclass
class Step:
    """One request. `verb` is a method or a kind of patch; of an answer only the paths in `look` count, () all of it.

    In texts, <uid:title> and <version:title> stand for those that an earlier answer had. `words` False does not hold
    the server to the words of its refusal.
    """

    title: str
    verb: str
    path: str
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    look: tuple[str, ...] = ()
    words: bool = True


async def play(client: Client, steps: list[Step]) -> dict[str, Any]:
    """The answers by title."""
    told: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for step in steps:
        text = "" if step.body is None else step.body if isinstance(step.body, str) else json.dumps(step.body)
        for mark, value in seen.items():
            text = text.replace(mark, value)
        method = "PATCH" if step.verb in _CONTENT else step.verb
        try:
            answer = await client.request(
                method,
                step.path,
                query=list(step.query.items()),
                body=text.encode(),
                content_type=_CONTENT.get(step.verb, "application/json"),
            )
        except ApiError as error:
            words = re.sub(r"\(\d+\)", "(N)", error.detail)
            for mark, value in seen.items():
                words = words.replace(value, mark) if mark.startswith("<uid") else words
            told[step.title] = [error.code, error.reason, words if step.words else ""]
            continue
        value = json.loads(answer.body) if answer.body else {}
        metadata = value.get("metadata", {})
        for mark, name in (("uid", "uid"), ("version", "resourceVersion")):
            if name in metadata:
                seen[f"<{mark}:{step.title}>"] = metadata[name]
        told[step.title] = [answer.status, _shown(value, step.look)]
    return told


def _shown(value: Json, look: tuple[str, ...]) -> Json:
    """What of an object is the same in each run."""
    if look:
        return {path: _at(value, path) for path in look}
    shown = dict(value)
    if isinstance(metadata := shown.get("metadata"), dict):
        kept = {k: v for k, v in metadata.items() if k not in _LEFT_OUT and v != ""}
        shown["metadata"] = kept | ({"deleting": True} if "deletionTimestamp" in metadata else {})
    if isinstance(details := shown.get("details"), dict):
        shown["details"] = {k: v for k, v in details.items() if k != "uid"}
    if "items" in shown:
        shown["items"] = [_shown(one, ()) for one in shown["items"]]
    return shown


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value

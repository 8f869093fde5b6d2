"""Placeholders in labels and annotations that a user wants on every object, as ArgoCD's tracking annotation needs.

`${group}`, `${kind}`, `${namespace}` and `${name}` stand for those of the object (behaviour 1.2). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\$\{(group|kind|namespace|name)\}")


def facts_of(group: str, kind: str, metadata: Mapping[str, Any]) -> dict[str, str]:
    """What the placeholders stand for in an object."""
    return {
        "group": group,
        "kind": kind,
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
    }


def fill(pairs: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """The labels or annotations with their placeholders filled in, in the same order."""
    return {key: _PLACEHOLDER.sub(lambda match: facts[match[1]], value) for key, value in pairs.items()}


def sample(text: str) -> str:
    """The text as it may look when it is filled in, to check its form before any object is known."""
    return _PLACEHOLDER.sub("x", text)

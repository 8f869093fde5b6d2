"""Placeholders in labels and annotations that a user wants on every object, as ArgoCD's tracking annotation needs.

`${group}`, `${kind}`, `${namespace}` and `${name}` stand for those of the object (behaviour 1.2). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$\{(group|kind|namespace|name)\}")


def fill(text: str, facts: Mapping[str, str]) -> str:
    """The text with its placeholders filled in; facts are `group`, `kind`, `namespace` and `name`."""
    return _PLACEHOLDER.sub(lambda match: facts[match[1]], text)


def sample(text: str) -> str:
    """The text as it may look when it is filled in, to check its form before any object is known."""
    return _PLACEHOLDER.sub("x", text)

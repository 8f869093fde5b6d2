"""`--set` and other short ways of giving values: text to plain data.

As with Helm: `a.b=c`, several separated by commas, `{x,y}` for a list, a backslash before a dot or comma that
means itself. What type a text becomes is decided by the value it is for. Pure functions; failures are
`InstallError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from isthmus.install.errors import InstallError
from isthmus.install.values import Tree, merge

_COMMA = re.compile(r",(?![^{]*\})")


def parse_assignments(source: str, texts: Iterable[str]) -> Tree:
    """What the texts given to a flag say, later ones winning."""
    result: Tree = {}
    for text in texts:
        for part in _split(text, _COMMA):
            name, equals, value = part.partition("=")
            if not equals or not name or "[" in name:
                raise InstallError(
                    f'{source}: "{part}" is not a valid assignment',
                    "write name=value, or put it into a --values file",
                )
            result = merge(result, _nested(_path(name), _value(value)))
    return result


def parse_labels(source: str, texts: Iterable[str]) -> dict[str, str]:
    """Labels given as `key=value`, several separated by commas."""
    labels: dict[str, str] = {}
    for text in texts:
        for part in filter(None, text.split(",")):
            key, equals, value = part.partition("=")
            if not equals or not key:
                raise InstallError(f'{source}: "{part}" is not a valid label', "write key=value")
            labels[key.strip()] = value.strip()
    return labels


def parse_list(texts: Iterable[str]) -> list[str]:
    """Values of a flag that may be repeated and may hold several, separated by commas."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    marked = text.replace(r"\,", "\0")
    return [part.replace("\0", ",") for part in separator.split(marked) if part]


def _path(name: str) -> list[str]:
    return [part.replace("\0", ".") for part in name.replace(r"\.", "\0").split(".")]


def _value(text: str) -> str | list[str] | None:
    if text.startswith("{") and text.endswith("}"):
        return [part.strip() for part in text[1:-1].split(",") if part.strip()]
    return None if text == "null" else text


def _nested(path: list[str], value: str | list[str] | None) -> Tree:
    tree: Tree = {path[-1]: value}
    for name in reversed(path[:-1]):
        tree = {name: tree}
    return tree

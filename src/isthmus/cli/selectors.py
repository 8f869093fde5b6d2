"""Label selectors as users type them, as the terms of a core NodeSelector.

Each --selector is one term, all of whose requirements must hold; several are alternatives. The grammar is
kubectl's: `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key`, `!key`, `key>1`, `key<1`.
"""

from __future__ import annotations

import re
from typing import Any

from isthmus.api import names
from isthmus.cli.parameters import is_label_key

_COMMA = re.compile(r",(?![^(]*\))")
_SET = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_COMPARISON = re.compile(r"([^=!<>\s]+)\s*(==|=|!=|>|<)\s*([^=!<>\s]*)")
_OPERATORS = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt", "in": "In", "notin": "NotIn"}


def parse_selectors(texts: tuple[str, ...]) -> dict[str, Any] | None:
    """A NodeSelector whose terms are the selectors, None where there is none. Raises ValueError."""
    if not texts:
        return None
    return {"nodeSelectorTerms": [{"matchExpressions": parse_selector(text)} for text in texts]}


def parse_selector(text: str) -> list[dict[str, Any]]:
    """The requirements of one selector. Raises ValueError naming the part that cannot be read."""
    return [_requirement(part.strip(), text) for part in _COMMA.split(text)]


def _requirement(part: str, whole: str) -> dict[str, Any]:
    if found := _SET.fullmatch(part):
        values = [value.strip() for value in found[3].split(",")]
        return _checked(found[1], _OPERATORS[found[2]], values, whole)
    if found := _COMPARISON.fullmatch(part):
        return _checked(found[1], _OPERATORS[found[2]], [found[3]], whole)
    if part.startswith("!"):
        return _checked(part[1:].strip(), "DoesNotExist", None, whole)
    return _checked(part, "Exists", None, whole)


def _checked(key: str, operator: str, values: list[str] | None, whole: str) -> dict[str, Any]:
    if not is_label_key(key):
        raise ValueError(
            f'"{whole}": "{key}" is not a valid label: write for instance region=europe or "zone in (a,b),!gpu"'
        )
    for value in values or ():
        if not names.is_label_value(value):
            raise ValueError(f'"{whole}": "{value}" is not a valid label value')
        if operator in ("Gt", "Lt") and not value.isdecimal():
            raise ValueError(f'"{whole}": {key} is compared with "{value}", which is not a whole number')
    return {"key": key, "operator": operator, **({"values": values} if values is not None else {})}

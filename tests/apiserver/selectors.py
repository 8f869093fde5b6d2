"""Label and field selectors as lists and watches carry them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.apiserver.errors import bad_request
from tests.apiserver.kinds import Kind

Json = dict[str, Any]
Selects = Callable[[Json], bool]

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_SET = re.compile(rf"({_NAME})\s+(in|notin)\s*\(([-A-Za-z0-9_., ]*)\)")
_EQUALITY = re.compile(rf"({_NAME})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)")
_ORDER = re.compile(rf"({_NAME})\s*([<>])\s*(-?\d+)")
_PRESENCE = re.compile(rf"(!?)\s*({_NAME})")
_OUTSIDE = re.compile(r",(?![^()]*\))")
"""A comma that is not within parentheses."""


def select_labels(selector: str) -> Callable[[dict[str, str]], bool]:
    """Whether labels are selected. Raises 400 for a selector that cannot be parsed."""
    terms = [_term(one.strip()) for one in _OUTSIDE.split(selector)] if selector.strip() else []
    return lambda labels: all(term(labels) for term in terms)


def _term(text: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.fullmatch(text):
        name, operator, listed = found.groups()
        values = {one.strip() for one in listed.split(",")}
        if any(" " in one for one in values):
            raise bad_request(f"unable to parse requirement: {text!r}")
        if operator == "in":
            return lambda labels: labels.get(name) in values
        return lambda labels: labels.get(name) not in values
    if found := _EQUALITY.fullmatch(text):
        name, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(name) != value
        return lambda labels: labels.get(name) == value
    if found := _ORDER.fullmatch(text):
        return _ordered(*found.groups())
    if found := _PRESENCE.fullmatch(text):
        absent, name = found.groups()
        return lambda labels: (name in labels) != bool(absent)
    raise bad_request(f"unable to parse requirement: {text!r}")


def _ordered(name: str, operator: str, bound: str) -> Callable[[dict[str, str]], bool]:
    def holds(labels: dict[str, str]) -> bool:
        found = labels.get(name, "")
        if not re.fullmatch(r"-?\d+", found):
            return False
        return int(found) > int(bound) if operator == ">" else int(found) < int(bound)

    return holds


def select_fields(kind: Kind, selector: str) -> Selects:
    """Whether an object is selected. Raises 400 for fields that the kind cannot be selected by."""
    terms = [_field_term(kind, one.strip()) for one in selector.split(",")] if selector.strip() else []
    return lambda value: all(term(value) for term in terms)


def _field_term(kind: Kind, text: str) -> Selects:
    found = re.fullmatch(r"([^=!]+)(!=|==|=)(.*)", text)
    if found is None:
        raise bad_request(f"invalid selector: {text!r}; can't understand {text!r}")
    path, operator, wanted = found.groups()
    if path not in ("metadata.name", "metadata.namespace", *kind.fields):
        if kind.fields or kind.custom:
            raise bad_request(f"field label not supported: {path}")
        known = '"metadata.name", "metadata.namespace"'
        raise bad_request(f'"{path}" is not a known field selector: only {known}')
    return lambda value: (_field(value, path) == wanted) == (operator != "!=")


def _field(value: Any, path: str) -> str:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path in ("spec.hostNetwork", "spec.unschedulable"):
        return str(bool(value)).lower()
    return "" if value is None else str(value)


def selection(kind: Kind, namespace: str, labels: str, fields: str) -> Selects:
    """Which objects of a kind a list or watch is about."""
    by_labels, by_fields = select_labels(labels), select_fields(kind, fields)

    def selects(value: Json) -> bool:
        metadata = value["metadata"]
        return (
            namespace in ("", metadata.get("namespace", ""))
            and by_labels(metadata.get("labels") or {})
            and by_fields(value)
        )

    return selects

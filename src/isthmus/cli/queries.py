"""Taking one field out of a report by its path, as `info --get` does: `local.clusterid`, case-insensitive."""

from __future__ import annotations

import json
from typing import Any

from isthmus.cli.errors import CommandError


def pick(document: Any, path: str) -> Any:
    """The field at a dotted path; a list's items are reached by number or by their `clusterID`.

    Keys may hold dots themselves (label keys do): the longest key that fits is taken. Raises CommandError naming
    what there is instead.
    """
    found = _descend(document, path.strip("."))
    if found is None:
        known = (
            ", ".join(str(key) for key in document) if isinstance(document, dict) and document else "nothing"
        )
        raise CommandError(f'--get "{path}": there is no such field', f"at the top there is {known}", code=2)
    return found[0]


def _descend(document: Any, path: str) -> tuple[Any] | None:
    if not path:
        return (document,)
    for key, value in _entries(document):
        name = key.lower()
        wanted = path.lower()
        if wanted == name or wanted.startswith(f"{name}."):
            found = _descend(value, path[len(name) + 1 :])
            if found is not None:
                return found
    return None


def _entries(document: Any) -> list[tuple[str, Any]]:
    if isinstance(document, dict):
        return sorted(document.items(), key=lambda entry: -len(entry[0]))
    if isinstance(document, list):
        numbered = [(str(index), value) for index, value in enumerate(document)]
        named = [
            (str(value["clusterID"]), value)
            for value in document
            if isinstance(value, dict) and "clusterID" in value
        ]
        return named + numbered
    return []


def as_text(value: Any) -> str:
    """A field as a shell would want it: bare text and numbers, JSON for what has parts, one line an item."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        return "\n".join(as_text(item) for item in value)
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return "" if value is None else str(value)

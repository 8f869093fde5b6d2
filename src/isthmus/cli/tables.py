"""How results are printed on stdout: JSON and YAML for programs, aligned tables and sections for people.

Plain text without colours, so that it can be cut, searched and compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def print_document(document: Any, output: str) -> None:
    """Print JSON-ready data as `output`: json or yaml."""
    click.echo(render_document(document, output), nl=False)


def render_document(document: Any, output: str) -> str:
    """JSON-ready data as text; several documents of YAML for a list of manifests are the caller's affair."""
    if output == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=False)


def render_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], indent: str = "") -> str:
    """Columns aligned as kubectl does: capital headings, three spaces between, `-` for nothing."""
    cells = [[heading.upper() for heading in columns]]
    cells += [["-" if value in (None, "") else str(value) for value in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = (
        indent + "   ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def render_fields(fields: Mapping[str, Any], indent: str = "") -> str:
    """Names and values aligned in two columns, lists on one line, nothing for empty values."""
    shown = {name: value for name, value in fields.items() if value not in (None, "", [], {})}
    width = max((len(name) for name in shown), default=0) + 1
    return "".join(f"{indent}{name + ':':<{width}} {_flat(value)}\n" for name, value in shown.items())


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)

"""Reads fields.txt: the interface of the 28 kinds as facts, noted apart from the code that is to honour them.

`define NAME: TYPE` names a piece that occurs several times and `&NAME` stands for it; `kind` starts a kind with
its group and version, plural, short names, scope and whether it has a status subresource; `column` lines are the
columns of `kubectl get` in order; what is indented are the fields, `*` marking required ones, `[]` the items of a
list and `{key}` the values of a map.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FACTS = Path(__file__).parent / "fields.txt"


@dataclass
class Field:
    """One field: its type as noted, and its fields if it has some."""

    type: str
    required: bool = False
    fields: dict[str, Field] = field(default_factory=dict)


@dataclass
class KindFacts:
    """One kind."""

    name: str
    api_version: str
    plural: str
    short_names: list[str]
    namespaced: bool
    status_subresource: bool
    gateway_template: bool
    columns: list[tuple[str, str, bool]] = field(default_factory=list)
    root: Field = field(default_factory=lambda: Field("object"))


def _kind(line: str) -> KindFacts:
    _, name, api_version, plural, short, scope, status, *labels = line.split()
    return KindFacts(
        name=name,
        api_version=api_version,
        plural=plural,
        short_names=[] if short == "-" else short.split(","),
        namespaced=scope == "Namespaced",
        status_subresource=status == "status",
        gateway_template=labels == ["gatewaytemplate"],
    )


def _column(line: str) -> tuple[str, str, bool]:
    match = re.fullmatch(r"column (.+?) (\.\S+)( \(wide\))?", line)
    assert match, line
    return match[1], match[2], bool(match[3])


def read_facts() -> list[KindFacts]:
    """Every kind, with the named pieces put in place."""
    kinds: list[KindFacts] = []
    pieces: dict[str, Field] = {}
    parents: list[Field] = []
    for line in FACTS.read_text().splitlines():
        if line.startswith("define "):
            name, _, type_ = line.removeprefix("define ").partition(": ")
            pieces[name] = Field(type_)
            parents = [pieces[name]]
        elif line.startswith("kind "):
            kinds.append(_kind(line))
            parents = [kinds[-1].root]
        elif line.startswith("column "):
            kinds[-1].columns.append(_column(line))
        else:
            depth = (len(line) - len(line.lstrip())) // 2
            name, _, type_ = line.strip().partition(": ")
            entry = Field(type_, required=name.endswith("*"))
            parents[depth - 1].fields[name.removesuffix("*")] = entry
            parents[depth:] = [entry]
    for kind in kinds:
        _resolve(kind.root, pieces)
    return kinds


def _resolve(entry: Field, pieces: dict[str, Field]) -> None:
    if entry.type.startswith("&"):
        piece = pieces[entry.type[1:]]
        entry.type, entry.fields = (
            piece.type,
            {
                name: Field(child.type, child.required, dict(child.fields))
                for name, child in piece.fields.items()
            },
        )
    for child in entry.fields.values():
        _resolve(child, pieces)

"""How results are printed."""

from __future__ import annotations

import json

import yaml

from isthmus.cli.tables import render_document, render_fields, render_table


def test_documents_round_trip() -> None:
    document = {"name": "rome", "peers": [{"id": "mílan", "up": True}]}
    assert json.loads(render_document(document, "json")) == document
    assert yaml.safe_load(render_document(document, "yaml")) == document


def test_tables_align_and_show_nothing_as_a_dash() -> None:
    shown = render_table(["name", "role"], [["milan", "Provider"], ["x", None]], indent="  ")
    assert shown == "  NAME    ROLE\n  milan   Provider\n  x       -\n"


def test_fields_leave_out_what_is_empty() -> None:
    shown = render_fields({"Cluster": "rome", "Version": "", "Labels": {"a": "b", "c": "d"}, "Peers": [1, 2]})
    assert shown == "Cluster: rome\nLabels:  a=b, c=d\nPeers:   1, 2\n"

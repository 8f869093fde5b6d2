"""Label selectors as kubectl's users type them."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.cli.selectors import parse_selector, parse_selectors


def term(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("region=europe", [term("region", "In", "europe")]),
        ("region==europe", [term("region", "In", "europe")]),
        ("region != europe", [term("region", "NotIn", "europe")]),
        ("zone in (a, b),gpu", [term("zone", "In", "a", "b"), term("gpu", "Exists")]),
        ("zone notin (a),!gpu", [term("zone", "NotIn", "a"), term("gpu", "DoesNotExist")]),
        ("liqo.io/remote-cluster-id=milan", [term("liqo.io/remote-cluster-id", "In", "milan")]),
        ("cores>8,cores<64", [term("cores", "Gt", "8"), term("cores", "Lt", "64")]),
        ("empty=", [term("empty", "In", "")]),
    ],
)
def test_the_grammar_of_kubectl(text: str, terms: list[dict[str, Any]]) -> None:
    assert parse_selector(text) == terms


def test_several_selectors_are_alternatives() -> None:
    assert parse_selectors(("a=1", "b=2")) == {
        "nodeSelectorTerms": [
            {"matchExpressions": [term("a", "In", "1")]},
            {"matchExpressions": [term("b", "In", "2")]},
        ]
    }
    assert parse_selectors(()) is None


@pytest.mark.parametrize(
    "text",
    ["", "=x", "a=b=c", "a b", "a in b", "a in (b", "-a=1", "a=b c", "cores>many", "a,,b", "a=ä", "a in ()x"],
)
def test_what_is_no_selector_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r'^"') as caught:
        parse_selector(text)
    assert f'"{text}"' in str(caught.value)

"""Cluster selectors mean what core NodeSelectors mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.offloading.namespaces.selector import cross_product, selector_problems, selects, term_matches

LABELS = {"region": "eu", "size": "12", "empty": ""}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


@pytest.mark.parametrize(
    ("requirement", "matches"),
    [
        (expression("region", "In", "eu", "us"), True),
        (expression("region", "In", "us"), False),
        (expression("absent", "In", "us"), False),
        (expression("region", "NotIn", "us"), True),
        (expression("absent", "NotIn", "us"), True),
        (expression("region", "NotIn", "eu"), False),
        (expression("empty", "Exists"), True),
        (expression("absent", "Exists"), False),
        (expression("absent", "DoesNotExist"), True),
        (expression("empty", "DoesNotExist"), False),
        (expression("size", "Gt", "11"), True),
        (expression("size", "Gt", "12"), False),
        (expression("size", "Lt", "13"), True),
        (expression("region", "Gt", "1"), False),
        (expression("absent", "Lt", "1"), False),
        (expression("size", "Gt", "x"), False),
        (expression("size", "Gt", "1", "2"), False),
        (expression("size", "Like", "1"), False),
        (expression("size", "In"), False),
    ],
)
def test_expressions(requirement: dict[str, Any], matches: bool) -> None:
    assert term_matches({"matchExpressions": [requirement]}, LABELS, "milan") is matches


def test_fields_match_the_name() -> None:
    field = {"matchFields": [expression("metadata.name", "In", "milan")]}
    assert term_matches(field, {}, "milan")
    assert not term_matches(field, {}, "rome")
    assert not term_matches({"matchFields": [expression("metadata.uid", "In", "milan")]}, {}, "milan")


def test_terms_are_alternatives_and_requirements_add_up() -> None:
    eu, us = expression("region", "In", "eu"), expression("region", "In", "us")
    big = expression("size", "Gt", "100")
    assert selects(
        {"nodeSelectorTerms": [{"matchExpressions": [us]}, {"matchExpressions": [eu]}]}, LABELS, ""
    )
    assert not selects({"nodeSelectorTerms": [{"matchExpressions": [eu, big]}]}, LABELS, "")


def test_no_selector_selects_all_but_an_empty_term_nothing() -> None:
    assert selects(None, LABELS, "milan")
    assert selects({"nodeSelectorTerms": []}, LABELS, "milan")
    assert not selects({"nodeSelectorTerms": [{}]}, LABELS, "milan")


def test_problems_name_the_field() -> None:
    selector = {"nodeSelectorTerms": [{"matchExpressions": [expression("size", "Gt", "x")]}]}
    assert selector_problems(selector) == [
        "nodeSelectorTerms[0].matchExpressions[0]: operator Gt needs exactly one value, an integer"
    ]


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2", "x", ""])
EXPRESSIONS = st.one_of(
    st.builds(
        lambda k, o, v: {"key": k, "operator": o, "values": v},
        KEYS,
        st.sampled_from(["In", "NotIn"]),
        st.lists(VALUES, min_size=1, max_size=3),
    ),
    st.builds(lambda k, o: {"key": k, "operator": o}, KEYS, st.sampled_from(["Exists", "DoesNotExist"])),
    st.builds(
        lambda k, o, v: {"key": k, "operator": o, "values": [v]},
        KEYS,
        st.sampled_from(["Gt", "Lt"]),
        st.sampled_from(["1", "2", "-3"]),
    ),
)
NAMES = st.sampled_from(["milan", "rome"])
FIELDS = st.builds(
    lambda o, v: {"key": "metadata.name", "operator": o, "values": [v]},
    st.sampled_from(["In", "NotIn"]),
    NAMES,
)
TERMS = st.builds(
    lambda e, f: {**({"matchExpressions": e} if e else {}), **({"matchFields": f} if f else {})},
    st.lists(EXPRESSIONS, max_size=3),
    st.lists(FIELDS, max_size=1),
)


@given(
    st.lists(TERMS, max_size=3), st.lists(TERMS, max_size=3), st.dictionaries(KEYS, VALUES, max_size=3), NAMES
)
def test_the_cross_product_selects_what_both_select(
    left: list[Any], right: list[Any], labels: dict[str, str], name: str
) -> None:
    both = selects({"nodeSelectorTerms": left}, labels, name) and selects(
        {"nodeSelectorTerms": right}, labels, name
    )
    assert selects({"nodeSelectorTerms": cross_product(left, right)}, labels, name) is both


@given(st.lists(TERMS, max_size=3), st.dictionaries(KEYS, VALUES, max_size=3), NAMES)
def test_every_problem_free_negation_excludes(terms: list[Any], labels: dict[str, str], name: str) -> None:
    opposite = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}
    for term in terms:
        for requirement in term.get("matchExpressions", ()):
            if requirement["operator"] in opposite:
                negated = {**requirement, "operator": opposite[requirement["operator"]]}
                assert term_matches({"matchExpressions": [requirement]}, labels, name) is not term_matches(
                    {"matchExpressions": [negated]}, labels, name
                )

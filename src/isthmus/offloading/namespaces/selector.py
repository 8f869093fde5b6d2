"""Core NodeSelectors as pure functions: whether one matches, and what is wrong with one.

A selector is the JSON of core/v1 NodeSelector: its terms are alternatives, the requirements of a term all
must hold, a term without any requirement matches nothing. No selector, or one without terms, is a
NamespaceOffloading's way to say every cluster (behaviour.md 2.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Term = dict[str, Any]

_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NAME = "metadata.name"


def terms_of(selector: Mapping[str, Any] | None) -> list[Term]:
    """The alternatives of a selector; an empty list where it selects everything."""
    return list((selector or {}).get("nodeSelectorTerms") or [])


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str], name: str) -> bool:
    """Whether a node of that name and labels is selected."""
    terms = terms_of(selector)
    return not terms or any(term_matches(term, labels, name) for term in terms)


def term_matches(term: Term, labels: Mapping[str, str], name: str) -> bool:
    """Whether all requirements of a term hold; a term with none, or with a malformed one, matches nothing."""
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if (not expressions and not fields) or term_problems(term):
        return False
    return all(_holds(e, labels) for e in expressions) and all(_holds(f, {_NAME: name}) for f in fields)


def _holds(requirement: Term, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement["key"])
    values = requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _is_integer(value) and int(str(value)) > int(values[0])
        case _:
            return _is_integer(value) and int(str(value)) < int(values[0])


def selector_problems(selector: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with a selector, one sentence a fault, each naming its field."""
    return [
        f"nodeSelectorTerms[{i}].{problem}"
        for i, term in enumerate(terms_of(selector))
        for problem in term_problems(term)
    ]


def term_problems(term: Term) -> list[str]:
    """What is wrong with one term."""
    found = []
    for field in ("matchExpressions", "matchFields"):
        for i, requirement in enumerate(term.get(field) or []):
            problem = _requirement_problem(requirement, is_field=field == "matchFields")
            if problem:
                found.append(f"{field}[{i}]: {problem}")
    return found


def _requirement_problem(requirement: Term, *, is_field: bool) -> str:
    key, operator = requirement.get("key"), requirement.get("operator")
    values = requirement.get("values") or []
    if not key or not isinstance(key, str):
        return "key must be set"
    if operator not in _OPERATORS:
        return f"operator {operator!r} is none of {', '.join(sorted(_OPERATORS))}"
    if is_field and (key != _NAME or operator not in ("In", "NotIn") or len(values) != 1):
        return "only metadata.name with In or NotIn and exactly one value is supported"
    if operator in ("In", "NotIn") and not values:
        return f"operator {operator} needs at least one value"
    if operator in ("Exists", "DoesNotExist") and values:
        return f"operator {operator} takes no values"
    if operator in ("Gt", "Lt") and (len(values) != 1 or not _is_integer(values[0])):
        return f"operator {operator} needs exactly one value, an integer"
    return ""


def _is_integer(value: Any) -> bool:
    return isinstance(value, str) and _INTEGER.fullmatch(value) is not None


def cross_product(left: list[Term], right: list[Term]) -> list[Term]:
    """The terms that match where both lists match: each term of one joined with each of the other.

    Terms without requirements match nothing and take no part; where they are all a list has, nothing can
    match and one such term is the result. An empty list is no restriction.
    """
    if not left or not right:
        return left or right
    joined = [_join(a, b) for a in left if _restricts(a) for b in right if _restricts(b)]
    return joined or [{}]


def _restricts(term: Term) -> bool:
    return bool(term.get("matchExpressions") or term.get("matchFields"))


def _join(a: Term, b: Term) -> Term:
    joined: Term = {}
    for field in ("matchExpressions", "matchFields"):
        requirements = [*(a.get(field) or [])]
        requirements += [r for r in b.get(field) or [] if r not in requirements]
        if requirements:
            joined[field] = requirements
    return joined

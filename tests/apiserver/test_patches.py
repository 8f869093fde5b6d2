"""Merge and JSON patches keep what their standards say of any document."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apiserver.errors import StatusError
from tests.apiserver.patches import json_patch, merge_patch, strategic_patch

_LEAVES = st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "a/b~c"])
_NAMES = st.sampled_from(["a", "b", "c/d", "e~f"])


def documents(leaves: Any) -> Any:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=3),
        max_leaves=8,
    )


_OBJECTS = st.dictionaries(_NAMES, documents(_LEAVES), max_size=3)
_PATCHES = st.dictionaries(_NAMES, documents(_LEAVES | st.none()), max_size=3)


def difference(old: Any, new: Any) -> Any:
    """The merge patch from one to another, as RFC 7386 has it for documents without nulls."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    gone = dict.fromkeys(old.keys() - new.keys())
    changed = {k: difference(old.get(k), v) for k, v in new.items() if k not in old or old[k] != v}
    return {**gone, **changed}


@given(_OBJECTS, _OBJECTS)
def test_the_difference_of_two_documents_makes_one_of_the_other(old: Any, new: Any) -> None:
    before = copy.deepcopy(old)
    assert merge_patch(old, difference(old, new)) == new
    assert old == before


@given(_OBJECTS, _PATCHES)
def test_a_merge_patch_done_twice_is_done_once(old: Any, patch: Any) -> None:
    once = merge_patch(old, patch)
    assert merge_patch(once, patch) == once


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_the_standard(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(_OBJECTS, _NAMES, documents(_LEAVES))
def test_what_a_json_patch_adds_can_be_tested_moved_and_removed(old: Any, name: str, value: Any) -> None:
    path = "/" + name.replace("~", "~0").replace("/", "~1")
    added = json_patch(old, [{"op": "add", "path": path, "value": value}])
    assert added == {**old, name: value}
    steps = [
        {"op": "test", "path": path, "value": value},
        {"op": "copy", "from": path, "path": "/copy"},
        {"op": "move", "from": path, "path": "/moved"},
        {"op": "remove", "path": "/copy"},
    ]
    rest = {k: v for k, v in old.items() if k != name}
    assert json_patch(added, steps) == {**rest, "moved": value}


def test_json_patches_of_lists() -> None:
    def patched(*operations: dict[str, Any]) -> Any:
        return json_patch({"l": [1, 2]}, list(operations))["l"]

    assert patched({"op": "add", "path": "/l/-", "value": 3}) == [1, 2, 3]
    assert patched({"op": "add", "path": "/l/0", "value": 3}) == [3, 1, 2]
    assert patched({"op": "replace", "path": "/l/1", "value": 3}) == [1, 3]
    assert patched({"op": "remove", "path": "/l/0"}) == [2]
    for wrong in (
        {"op": "remove", "path": "/l/2"},
        {"op": "replace", "path": "/none/x", "value": 1},
        {"op": "add", "path": "/none/x", "value": 1},
        {"op": "test", "path": "/l/0", "value": 2},
        {"op": "test", "path": "/none", "value": 2},
    ):
        with pytest.raises(StatusError) as refused:
            patched(wrong)
        assert refused.value.code == 422


def test_a_strategic_patch_merges_members_by_their_keys() -> None:
    old = {
        "containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}],
        "tolerations": [{"key": "x"}],
        "finalizers": ["one"],
    }
    patch = {
        "containers": [{"name": "a", "image": "2"}, {"name": "c"}, {"name": "b", "$patch": "delete"}],
        "tolerations": [{"key": "y"}],
        "finalizers": ["two"],
    }
    assert strategic_patch(old, patch) == {
        "containers": [{"name": "a", "image": "2", "args": ["x"]}, {"name": "c"}],
        "tolerations": [{"key": "y"}],
        "finalizers": ["two", "one"],
    }

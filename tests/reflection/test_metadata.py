"""Which objects are reflected, and the metadata of their copies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api import labels
from isthmus.kube.objects import ObjectMeta
from isthmus.reflection.content import LAST_APPLIED
from isthmus.reflection.metadata import forge_metadata, is_ours, is_wanted, same_metadata, selector
from isthmus.reflection.session import ReflectionType
from tests.reflection.support import session

MARKS = {labels.ORIGIN: "rome", labels.DESTINATION: "milan"}
NAMES = st.dictionaries(
    st.sampled_from(["app", "tier", "hidden", labels.ORIGIN]), st.sampled_from(["a", "b"])
)


def test_labels_and_annotations_are_copied_but_for_what_is_held_back() -> None:
    view = session(labels_not_reflected=("hidden",), annotations_not_reflected=("lb/id",))
    local = ObjectMeta(
        name="c",
        namespace="shop",
        uid="1",
        finalizers=["f"],
        labels={"app": "web", "hidden": "x", labels.ORIGIN: "naples"},
        annotations={"note": "n", "lb/id": "7", LAST_APPLIED: "{}"},
    )
    assert forge_metadata(local, view, "shop-rome", "c2") == {
        "name": "c2",
        "namespace": "shop-rome",
        "labels": {"app": "web", **MARKS},
        "annotations": {"note": "n"},
    }


@given(NAMES, NAMES)
def test_what_was_forged_is_ours_and_the_same(names: dict[str, str], annotations: dict[str, str]) -> None:
    view = session(labels_not_reflected=("hidden",), annotations_not_reflected=("hidden",))
    local = ObjectMeta(labels=names, annotations=annotations)
    forged = forge_metadata(local, view, "n", "c")
    copy = ObjectMeta(labels=forged["labels"], annotations=forged["annotations"])
    assert is_ours(copy, view)
    assert same_metadata(local, copy, view)
    assert not same_metadata(local, ObjectMeta(labels=forged["labels"] | {"more": "x"}), view)


@pytest.mark.parametrize(
    "marks", [{}, {labels.ORIGIN: "rome"}, {labels.DESTINATION: "milan"}, MARKS | {labels.ORIGIN: "naples"}]
)
def test_what_lacks_a_mark_is_foreign(marks: dict[str, str]) -> None:
    assert not is_ours(ObjectMeta(labels=marks), session())


def test_only_what_is_ours_is_watched() -> None:
    assert selector(session()) == "offloading.liqo.io/origin=rome,offloading.liqo.io/destination=milan"


@pytest.mark.parametrize(
    ("annotations", "deny_list", "allow_list"),
    [
        ({}, True, False),
        ({labels.SKIP_REFLECTION: "true"}, False, False),
        ({labels.SKIP_REFLECTION: ""}, False, False),
        ({labels.SKIP_REFLECTION: "False"}, True, False),
        ({labels.ALLOW_REFLECTION: "true"}, True, True),
        ({labels.ALLOW_REFLECTION: "false"}, True, False),
        ({labels.ALLOW_REFLECTION: "true", labels.SKIP_REFLECTION: "true"}, False, False),
    ],
)
def test_annotations_decide(annotations: dict[str, str], deny_list: bool, allow_list: bool) -> None:
    wanted: dict[ReflectionType, bool] = {"DenyList": deny_list, "AllowList": allow_list}
    for type_, expected in wanted.items():
        assert is_wanted(ObjectMeta(annotations=annotations), type_) is expected

"""Label selectors say of any labels what Kubernetes says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apiserver.errors import StatusError
from tests.apiserver.selectors import select_labels

_NAMES = st.sampled_from(["app", "liqo.io/type", "x"])
_VALUES = st.sampled_from(["", "web", "virtual-node", "1.2_3"])
_LABELS = st.dictionaries(_NAMES, _VALUES)


@given(_NAMES, st.lists(_VALUES, min_size=1, max_size=3), _LABELS)
def test_terms_and_their_opposites(name: str, values: list[str], labels: dict[str, str]) -> None:
    def selected(selector: str) -> bool:
        return select_labels(selector)(labels)

    listed = ", ".join(values)
    assert selected(f"{name} in ({listed})") == (name in labels and labels[name] in values)
    assert selected(f"{name} notin ({listed})") != selected(f"{name} in ({listed})")
    assert selected(f"{name}={values[0]}") == selected(f"{name} in ({values[0]})")
    assert selected(f"{name} == {values[0]}") == selected(f"{name}={values[0]}")
    assert selected(f"{name}!={values[0]}") != selected(f"{name}={values[0]}")
    assert selected(name) == (name in labels)
    assert selected(f"!{name}") != selected(name)


@given(
    _LABELS, st.lists(st.sampled_from(["app", "!x", "app=web", "liqo.io/type!=virtual-node", "x in (,web)"]))
)
def test_all_terms_have_to_hold(labels: dict[str, str], terms: list[str]) -> None:
    together = select_labels(",".join(terms))(labels)
    assert together == all(select_labels(one)(labels) for one in terms)


def test_orders_are_those_of_whole_numbers() -> None:
    assert select_labels("n>9")({"n": "10"})
    assert not select_labels("n<9")({"n": "10"})
    assert not select_labels("n>9")({"n": "x"})
    assert not select_labels("n>9")({})


@pytest.mark.parametrize("wrong", ["a in", "a in (b", "=b", "a,,b", "a b", "-a", "a=(b)", "a in (b c)"])
def test_what_cannot_be_parsed_is_refused(wrong: str) -> None:
    with pytest.raises(StatusError) as refused:
        select_labels(wrong)
    assert refused.value.code == 400

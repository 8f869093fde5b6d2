"""Which texts can be the id of a cluster, since they become parts of names."""

from __future__ import annotations

import pytest

from isthmus.api.names import is_dns_label


@pytest.mark.parametrize("text", ["milan", "m", "1", "a-1", "m" * 63])
def test_dns_labels(text: str) -> None:
    assert is_dns_label(text)


@pytest.mark.parametrize(
    "text", ["", "Milan", "milan_1", "-milan", "milan-", "milan.it", "m" * 64, "milan\n"]
)
def test_what_is_no_dns_label(text: str) -> None:
    assert not is_dns_label(text)

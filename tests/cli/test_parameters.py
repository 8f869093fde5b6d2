"""What users may type as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.cli.parameters import is_label_key, parse_assignment, parse_count, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("2m0.5s", 120.5),
        ("0s", 0),
    ],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "10x", "10 m", "m10", "10m!", "-5s", "1d", "1..2s", ".s"])
def test_what_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="for instance 90s or 10m") as caught:
        parse_duration(text)
    assert f'"{text}"' in str(caught.value)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    "text", ["0", "4", "500m", "8Gi", "1.5", ".5", "1.", "100Ki", "1e3", "2E", "10M", "1E-2"]
)
def test_quantities_are_kubernetes(text: str) -> None:
    assert parse_quantity(text) == text


@pytest.mark.parametrize("text", ["", "four", "4 Gi", "4GiB", "4gi", "Gi", "--1", "1,5", "0x10", "4\n"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid quantity"):
        parse_quantity(text)


def test_negative_quantities_are_refused_as_such() -> None:
    with pytest.raises(ValueError, match='"-1" is negative'):
        parse_quantity("-1")


@pytest.mark.parametrize("text", ["-1", "1.5", "1k", "", "²"])
def test_counts_are_whole(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_count(text)


def test_resources_are_assigned_by_name() -> None:
    assert parse_assignment("nvidia.com/gpu=2") == ("nvidia.com/gpu", "2")
    assert parse_assignment("ephemeral-storage=20Gi") == ("ephemeral-storage", "20Gi")


@pytest.mark.parametrize(
    "text", ["gpu", "=2", "a b=1", "nvidia.com/=1", "gpu=", "gpu=x", "gpu=-1", "UP.com/a=1"]
)
def test_what_assigns_no_resource_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r'"|no quantity'):
        parse_assignment(text)


def test_label_keys() -> None:
    assert is_label_key("liqo.io/type")
    assert is_label_key("a")
    assert not is_label_key("a/b/c")
    assert not is_label_key("x" * 64)

"""Quantities are exact, whatever the notation."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.api.quantity import NANO, format_quantity, parse_quantity, parse_resources

SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", NANO),
        ("100m", NANO // 10),
        ("0.5", NANO // 2),
        (".5", NANO // 2),
        ("5.", 5 * NANO),
        ("8Gi", 8 * 2**30 * NANO),
        ("1e3", 1000 * NANO),
        ("1E3", 1000 * NANO),
        ("1E", 10**18 * NANO),
        ("1e-3", NANO // 1000),
        ("-1", -NANO),
        ("+1", NANO),
        ("1n", 1),
        ("0.1n", 1),
        ("-0.1n", -1),
        ("0", 0),
        (4, 4 * NANO),
        (0.5, NANO // 2),
    ],
)
def test_notations(text: object, amount: int) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-",
        "Gi",
        "1 Gi",
        "1gi",
        "1K",
        "0x10",
        "1e",
        "1e1.5",
        "1Gim",
        "١",
        "NaN",
        "inf",
        True,
        None,
        [],
    ],
)
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="quantity"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["1e999", "1e-999", "9" * 100_000, "1e99999999999999"])
def test_hostile_text_is_refused_at_once(text: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="quantit"):
        parse_quantity(text)
    assert time.perf_counter() - begun < 0.1


@given(
    sign=st.sampled_from(["", "+", "-"]),
    whole=st.integers(0, 10**18),
    part=st.text("0123456789", max_size=12),
    suffix=st.sampled_from(sorted(SUFFIXES)),
)
@example(sign="-", whole=0, part="0000000001", suffix="")
def test_agrees_with_exact_fractions(sign: str, whole: int, part: str, suffix: str) -> None:
    text = f"{sign}{whole}{'.' + part if part else ''}{suffix}"
    exact = Fraction(f"{whole}.{part or 0}") * SUFFIXES[suffix] * NANO
    rounded_up = -(-exact.numerator // exact.denominator)
    assert parse_quantity(text) == (-rounded_up if sign == "-" else rounded_up)


@given(st.integers(-(10**30), 10**30))
def test_formatting_keeps_the_amount(amount: int) -> None:
    assert parse_quantity(format_quantity(amount)) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (NANO, "1"),
        (NANO // 4, "250m"),
        (8 * 2**30 * NANO, "8Gi"),
        (3 * 2**20 * NANO, "3Mi"),
        (1, "1n"),
    ],
)
def test_formatting_reads_well(amount: int, text: str) -> None:
    assert format_quantity(amount) == text


def test_a_bad_resource_is_named() -> None:
    with pytest.raises(ValueError, match=r"resource memory: 'lots' is not a quantity"):
        parse_resources({"cpu": "1", "memory": "lots"})

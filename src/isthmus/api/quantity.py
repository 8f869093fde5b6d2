"""Kubernetes quantities ("500m", "8Gi", "1e3") as exact integers.

A quantity is held as a count of its smallest unit, the nano (10^-9), so that sums and comparisons are exact
and cheap: 250m is 250_000_000. Finer fractions are rounded up, as the API server does. The text may come
from another cluster: lengths and exponents are bounded before any arithmetic.
"""

from __future__ import annotations

import re
from typing import Any

NANO = 10**9
"""How many units make one."""

LARGEST = (2**63 - 1) * NANO
"""The largest amount Kubernetes can hold."""

_BINARY = {suffix: 1024**power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_TEXT = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d*)(?:\.(?P<part>\d*))?"
    r"(?:[eE](?P<exponent>[+-]?\d{1,3})|(?P<suffix>[numkMGTPE]|[KMGTPE]i)?)",
    re.ASCII,
)
_MAX_LENGTH = 64
_MAX_EXPONENT = 30


def parse_quantity(value: Any) -> int:
    """The amount in nano units of a quantity as JSON has it: text, or a number.

    Raises ValueError naming the value where it is not a valid quantity.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a quantity")
    text = value if isinstance(value, str) else repr(value)
    found = _TEXT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        raise ValueError(f"{text[:_MAX_LENGTH]!r} is not a quantity")
    whole, part = found["whole"], found["part"] or ""
    if not whole and not part:
        raise ValueError(f"{text!r} is not a quantity")
    exponent = int(found["exponent"] or _DECIMAL.get(found["suffix"] or "", 0))
    if abs(exponent) > _MAX_EXPONENT:
        raise ValueError(f"{text!r} is out of the range of quantities")
    digits = int(whole + part) * _BINARY.get(found["suffix"] or "", 1)
    return _scale(-digits if found["sign"] == "-" else digits, exponent - len(part) + 9)


def _scale(digits: int, power: int) -> int:
    """`digits` times ten to the `power`, rounded away from zero."""
    if power >= 0:
        return digits * int(10**power)
    amount = -(-abs(digits) // int(10**-power))
    return -amount if digits < 0 else amount


def format_quantity(amount: int) -> str:
    """The shortest exact text of an amount in nano units, with a binary suffix where it divides by Mi."""
    for suffix, factor in reversed(_BINARY.items()):
        if factor > 1024 and amount and amount % (factor * NANO) == 0:
            return f"{amount // (factor * NANO)}{suffix}"
    for suffix, power in (("", 9), ("m", 6), ("u", 3)):
        if amount % 10**power == 0:
            return f"{amount // 10**power}{suffix}"
    return f"{amount}n"


def parse_resources(resources: dict[str, Any]) -> dict[str, int]:
    """A ResourceList as amounts in nano units. Raises ValueError naming the resource at fault."""
    amounts = {}
    for name, value in resources.items():
        try:
            amounts[name] = parse_quantity(value)
        except ValueError as error:
            raise ValueError(f"resource {name}: {error}") from error
    return amounts

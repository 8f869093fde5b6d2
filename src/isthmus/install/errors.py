"""What stops an installation or a removal: the fault and its mend, as one line."""

from __future__ import annotations

from collections.abc import Sequence


class InstallError(Exception):
    """`problem` names the flag, value or object at fault, `mend` what to do about it."""

    def __init__(self, problem: str, mend: str = "") -> None:
        super().__init__(f"{problem}: {mend}" if mend else problem)
        self.problem = problem
        self.mend = mend


def listed(found: Sequence[str], most: int) -> str:
    """The first of what was found, at most so many, and how many more there are."""
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more

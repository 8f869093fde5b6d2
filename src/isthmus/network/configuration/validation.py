"""What a peer may announce as its ranges. Pure.

spec.remote comes from the other cluster's administrator and decides where packets go here, so it is judged before
anything is made of it. That a range is one of our own is no fault: it is remapped.
"""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.api.cidr import CIDR, parse_cidr
from isthmus.api.networking import Cidrs
from isthmus.network.ipam.special import special_in

MAXIMUM_POD = 16
MAXIMUM_EXTERNAL = 4
"""Ranges a peer may have: clusters have one or two, and each costs rules in every gateway."""
LARGEST = 8
"""The shortest prefix: no pool has a larger range free."""
SMALLEST = 30
"""The longest prefix: a smaller range has no address left beside its first and last."""


class AnnouncementError(ValueError):
    """Ranges that a peer cannot have; the text names the field, the value and the mend."""


def require_ranges(remote: Cidrs) -> None:
    """The announced ranges can be a cluster's. Raises AnnouncementError."""
    pods = _read("pod", remote.pod, MAXIMUM_POD)
    externals = _read("external", remote.external, MAXIMUM_EXTERNAL)
    seen: list[tuple[str, CIDR]] = []
    for field, cidr in [*pods, *externals]:
        for other_field, other in seen:
            if cidr.overlaps(other):
                raise AnnouncementError(
                    f"{field}: {cidr} overlaps {other} of {other_field}: a cluster's own ranges must be disjoint"
                )
        seen.append((field, cidr))


def _read(name: str, texts: Sequence[str], most: int) -> list[tuple[str, CIDR]]:
    field = f"spec.remote.cidr.{name}"
    if not texts:
        raise AnnouncementError(
            f"{field} is empty: write at least one range, as `generate configuration` does"
        )
    if len(texts) > most:
        raise AnnouncementError(f"{field}: {len(texts)} ranges are too many: join them to at most {most}")
    return [(field, _require(field, text)) for text in texts]


def _require(field: str, text: str) -> CIDR:
    try:
        cidr = parse_cidr(text)
    except ValueError as error:
        raise AnnouncementError(f"{field}: {error}") from error
    if cidr.prefix < LARGEST:
        raise AnnouncementError(f"{field}: {cidr} is too large: a range has a prefix of /{LARGEST} at least")
    if cidr.prefix > SMALLEST:
        raise AnnouncementError(f"{field}: {cidr} is too small: a range has a prefix of /{SMALLEST} at most")
    if special := special_in(cidr):
        raise AnnouncementError(
            f"{field}: {cidr} has {special}, which no other cluster's pods or hosts can have"
        )
    return cidr

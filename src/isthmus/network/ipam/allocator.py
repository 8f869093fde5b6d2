"""Which ranges are held, and which one a new holder gets (behaviour.md 5.2). Pure, no I/O, owned by the ledger.

Ranges nest or are disjoint, so one sorted list of those that are held answers everything: what contains a range is
one of at most 32 look-ups, what lies in it is one slice. What is chosen depends only on what is held, never on the
order in which it came to be, so a restart that reads the objects again goes on as before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from msgspec import Struct

from isthmus.api.cidr import BITS, CIDR


class RangeRefusedError(Exception):
    """No range can be had; `reason` is CamelCase for an event, the text names the ranges and the mend."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Wish(Struct, frozen=True, kw_only=True):
    """What a new holder asks for: this range and no other where `immutable`, with other holders where `shared`."""

    cidr: CIDR
    immutable: bool = False
    shared: bool = False


class _Holder(Struct, frozen=True):
    cidr: CIDR
    shared: bool
    pending: bool


class Allocator:
    """The ranges that are held, by whom, in which pools."""

    def __init__(self, pools: Sequence[CIDR]) -> None:
        self.pools = tuple(pools)
        self._holders: dict[str, _Holder] = {}
        self._by_range: dict[CIDR, list[str]] = {}
        self._sorted: list[CIDR] = []
        # By pool and prefix the place before which no gap of that size is: true until someone gives a range up.
        self._no_gap_before: dict[tuple[CIDR, int], int] = {}

    def hold(self, holder: str, cidr: CIDR, *, shared: bool = False, pending: bool = False) -> None:
        """Note that the range is held, whatever else is: what the objects say is so. Replaces the holder's last.

        A `pending` one is only asked for by somebody who can have no other: whoever can is kept off it.
        """
        entry = _Holder(cidr, shared, pending)
        if self._holders.get(holder) == entry:
            return
        self.release(holder)
        self._holders[holder] = entry
        if cidr in self._by_range:
            self._by_range[cidr].append(holder)
        else:
            self._by_range[cidr] = [holder]
            insort(self._sorted, cidr)

    def release(self, holder: str) -> None:
        """Forget a holder; harmless where it holds nothing."""
        entry = self._holders.pop(holder, None)
        if entry is None:
            return
        self._no_gap_before.clear()
        held_by = self._by_range[entry.cidr]
        held_by.remove(holder)
        if not held_by:
            del self._by_range[entry.cidr]
            del self._sorted[bisect_left(self._sorted, entry.cidr)]

    def held(self, holder: str) -> CIDR | None:
        """The range of a holder."""
        entry = self._holders.get(holder)
        return entry.cidr if entry is not None else None

    def overlapping(self, cidr: CIDR) -> Iterator[str]:
        """Everyone who holds an address of the range, the holders of larger ranges first."""
        for prefix in range(cidr.prefix):
            above = CIDR(cidr.first >> (BITS - prefix) << (BITS - prefix), prefix)
            yield from self._by_range.get(above, ())
        for index in range(bisect_left(self._sorted, cidr), len(self._sorted)):
            if self._sorted[index].first > cidr.last:
                return
            yield from self._by_range[self._sorted[index]]

    def rivals(self, cidr: CIDR, *, shared: bool, pending: bool = False, but: str = "") -> Iterator[str]:
        """Those who cannot be beside a holder of the range: all others, or for a shared one the exclusive ones.

        `pending` counts those who only ask for their range; `but` is whom not to count.
        """
        for name in self.overlapping(cidr):
            holder = self._holders[name]
            if name != but and not (shared and holder.shared) and (pending or not holder.pending):
                yield name

    def in_pools(self, cidr: CIDR) -> bool:
        """Whether the range lies in one of the pools."""
        return any(pool.contains(cidr) for pool in self.pools)

    def choose(self, wish: Wish, but: str = "") -> CIDR:
        """The range for a holder; the caller notes it with `hold`, `but` is whom not to count.

        Raises RangeRefusedError. The wished range where it can be had; otherwise, unless it is immutable, the first
        free one of the same size. A shared immutable range outside the pools is always granted: it names what others
        use anyway.
        """
        cidr = wish.cidr
        inside = self.in_pools(cidr)
        if wish.immutable and wish.shared and not inside:
            return cidr
        rival = next(self.rivals(cidr, shared=wish.shared, pending=not wish.immutable, but=but), None)
        if inside and rival is None:
            return cidr
        if wish.immutable:
            raise self._refusal(cidr, rival)
        free = self._first_free(cidr.prefix, but)
        if free is None:
            raise RangeRefusedError(
                "PoolsExhausted",
                f"{cidr} is taken or outside the pools, and the pools ({_listed(self.pools)}) have no other free "
                f"/{cidr.prefix}: remove Networks no longer needed or add a range to ipam.pools",
            )
        return free

    def _refusal(self, cidr: CIDR, rival: str | None) -> RangeRefusedError:
        if rival is not None:
            return RangeRefusedError(
                "RangeTaken",
                f"{cidr} may not be remapped, and {self._holders[rival].cidr} is held by Network {rival}: "
                "choose another range, or remove that Network",
            )
        return RangeRefusedError(
            "OutsidePools",
            f"{cidr} may not be remapped and is in none of the pools ({_listed(self.pools)}): "
            "choose a range in a pool or add one to ipam.pools",
        )

    def _first_free(self, prefix: int, but: str) -> CIDR | None:
        for pool in self.pools:
            if pool.prefix > prefix or self._is_inside_held(pool, but):
                continue
            if but in self._holders:
                first = self._first_free_from(pool.first, pool, prefix, but)
            else:
                begin = self._no_gap_before.get((pool, prefix), pool.first)
                first = self._first_free_from(begin, pool, prefix, but)
                self._no_gap_before[pool, prefix] = first
            if first + (1 << (BITS - prefix)) - 1 <= pool.last:
                return CIDR(first, prefix)
        return None

    def _first_free_from(self, cursor: int, pool: CIDR, prefix: int, but: str) -> int:
        """Where the first gap of that size begins at or after `cursor`; beyond the pool where there is none."""
        size = 1 << (BITS - prefix)
        for above in range(pool.prefix, prefix):
            whole = CIDR(cursor >> (BITS - above) << (BITS - above), above)
            if self._is_held(whole, but):
                cursor = whole.last + 1
                break
        for index in range(bisect_left(self._sorted, CIDR(cursor, 0)), len(self._sorted)):
            taken = self._sorted[index]
            if taken.first > pool.last or cursor + size <= taken.first:
                break
            if taken.last >= cursor and self._is_held(taken, but):
                cursor = -(-(taken.last + 1) // size) * size
        return cursor

    def _is_inside_held(self, pool: CIDR, but: str) -> bool:
        return any(
            self._is_held(CIDR(pool.first >> (BITS - above) << (BITS - above), above), but)
            for above in range(pool.prefix)
        )

    def _is_held(self, cidr: CIDR, but: str) -> bool:
        holders = self._by_range.get(cidr, ())
        return any(holder != but for holder in holders)


def _listed(ranges: Sequence[CIDR]) -> str:
    return ", ".join(str(one) for one in ranges)

"""Who is where: up to a million members of tenants, of which only the changes are held.

The seed puts everybody somewhere by arithmetic: tenants own contiguous ranges of indexes, and
one in each block of a range is the odd one (a suspended person, a distribution list). A change
takes a member out of the seed's line-up and appends it to another. The n-th member of any
selection is found in O(log changes), so that no page costs more than its own rows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

# Members added later are numbered from here, so that their ids don't depend on the size at start.
ADDED = 1 << 40


class MemberSequence:
    """The seed's ordinals 0…base-1 without those that left, followed by newcomers."""

    __slots__ = ("base", "extra", "gone")

    def __init__(self, base: int) -> None:
        self.base = base
        self.gone: list[int] = []
        self.extra: list[int] = []

    def __len__(self) -> int:
        return self.base - len(self.gone) + len(self.extra)

    def leave(self, ordinal: int) -> None:
        insort(self.gone, ordinal)

    def come_back(self, ordinal: int) -> None:
        del self.gone[bisect_left(self.gone, ordinal)]

    def has_left(self, ordinal: int) -> bool:
        place = bisect_left(self.gone, ordinal)
        return place < len(self.gone) and self.gone[place] == ordinal

    def slice(self, offset: int, limit: int) -> tuple[list[int], list[int]]:
        """At most `limit` members from `offset`: (ordinals of the seed, newcomers)."""
        present = self.base - len(self.gone)
        ordinals = self._ordinals(offset, min(limit, present - offset))
        start = max(0, offset - present)
        return ordinals, self.extra[start : start + limit - len(ordinals)]

    def _ordinals(self, offset: int, limit: int) -> list[int]:
        if limit <= 0:
            return []
        skipped = self._gone_before(offset)
        ordinal, found = offset + skipped, list[int]()
        while len(found) < limit:
            barrier = self.gone[skipped] if skipped < len(self.gone) else self.base
            stop = min(barrier, ordinal + limit - len(found))
            found.extend(range(ordinal, stop))
            ordinal, skipped = barrier + 1, skipped + 1
        return found

    def _gone_before(self, offset: int) -> int:
        """How many have left before the member that is `offset`-th among those present."""
        low, high = 0, len(self.gone)
        while low < high:
            middle = (low + high) // 2
            if self.gone[middle] - middle <= offset:
                low = middle + 1
            else:
                high = middle
        return low


class IndexRange(NamedTuple):
    """The part of the seed's indexes that one tenant owns; one in each `block` is odd."""

    tenant_id: str
    start: int
    size: int
    key: int
    block: int

    def odd_place(self, block: int) -> int:
        return ((block * 2654435761 + self.key) >> 7) % self.block

    def odd_before(self, position: int) -> int:
        block, place = divmod(position, self.block)
        return block + (self.odd_place(block) < place)

    def is_odd(self, position: int) -> bool:
        return self.odd_place(position // self.block) == position % self.block

    def ordinal(self, position: int) -> int:
        """The rank among those of its own kind."""
        odd_before = self.odd_before(position)
        return odd_before if self.is_odd(position) else position - odd_before

    def position(self, ordinal: int, *, odd: bool) -> int:
        if odd:
            return ordinal * self.block + self.odd_place(ordinal)
        block, place = divmod(ordinal, self.block - 1)
        return block * self.block + place + (place >= self.odd_place(block))


class Chunk(NamedTuple):
    """Neighbours on a page: same tenant, same kind; the first are where the seed put them."""

    tenant_id: str
    kind: str
    seeded: list[int]
    moved: list[int]


class MembershipIndex:
    """Line-ups by tenant and kind; the kind is a person's status or a group's type."""

    def __init__(self, *, ranges: list[IndexRange], kinds: tuple[str, str]) -> None:
        self.kinds = kinds
        self.ranges = {range_.tenant_id: range_ for range_ in ranges}
        self._ordered = ranges
        self._starts = [range_.start for range_ in ranges]
        self.size = sum(range_.size for range_ in ranges)
        self.added = 0
        self._moved: dict[int, tuple[str, str] | None] = {}
        self._lineups = {range_.tenant_id: self._seeded(range_) for range_ in ranges}

    def _seeded(self, range_: IndexRange) -> dict[str, MemberSequence]:
        odd = range_.odd_before(range_.size)
        return {
            self.kinds[0]: MemberSequence(range_.size - odd),
            self.kinds[1]: MemberSequence(odd),
        }

    def home(self, index: int) -> IndexRange:
        """The range that owns an index below `size`."""
        return self._ordered[bisect_right(self._starts, index) - 1]

    def where(self, index: int) -> tuple[str, str] | None:
        """(tenant id, kind) of a member; None when it was removed or never was."""
        if index in self._moved:
            return self._moved[index]
        return self._seed_place(index) if 0 <= index < self.size else None

    def _seed_place(self, index: int) -> tuple[str, str]:
        range_ = self.home(index)
        return range_.tenant_id, self.kinds[range_.is_odd(index - range_.start)]

    def add(self, tenant_id: str, kind: str) -> int:
        index = ADDED + self.added
        self.added += 1
        self._moved[index] = None
        self.place(index, (tenant_id, kind))
        return index

    def place(self, index: int, target: tuple[str, str] | None) -> None:
        """Put a member elsewhere; None removes it."""
        current = self.where(index)
        if current == target:
            return
        seeded = self._seed_place(index) if index < self.size else None
        if current is not None:
            self._take_out(index, current, seeded)
        if target is not None:
            self._put_in(index, target, seeded)
        self._moved[index] = target

    def _take_out(self, index: int, place: tuple[str, str], seeded: tuple[str, str] | None) -> None:
        lineup = self._lineups[place[0]][place[1]]
        if place == seeded:
            lineup.leave(self._ordinal(index))
        else:
            lineup.extra.remove(index)

    def _put_in(self, index: int, place: tuple[str, str], seeded: tuple[str, str] | None) -> None:
        lineup = self._lineups.setdefault(place[0], {}).setdefault(place[1], MemberSequence(0))
        if place == seeded:
            lineup.come_back(self._ordinal(index))
        else:
            lineup.extra.append(index)

    def _ordinal(self, index: int) -> int:
        range_ = self.home(index)
        return range_.ordinal(index - range_.start)

    def select(
        self, tenant_ids: list[str], kind: str | None
    ) -> list[tuple[str, str, MemberSequence]]:
        return [
            (tenant_id, name, lineup)
            for tenant_id in tenant_ids
            for name, lineup in self._lineups.get(tenant_id, {}).items()
            if kind in (None, name)
        ]

    def chunks(
        self, selection: list[tuple[str, str, MemberSequence]], offset: int, limit: int
    ) -> Iterator[Chunk]:
        for tenant_id, kind, lineup in selection:
            if limit <= 0:
                return
            size = len(lineup)
            if offset < size:
                chunk = self._chunk(tenant_id, kind, lineup.slice(offset, limit))
                limit -= len(chunk.seeded) + len(chunk.moved)
                yield chunk
            offset = max(0, offset - size)

    def _chunk(self, tenant_id: str, kind: str, found: tuple[list[int], list[int]]) -> Chunk:
        ordinals, moved = found
        if not ordinals:
            return Chunk(tenant_id, kind, [], moved)
        range_, odd = self.ranges[tenant_id], kind == self.kinds[1]
        seeded = [range_.start + range_.position(ordinal, odd=odd) for ordinal in ordinals]
        return Chunk(tenant_id, kind, seeded, moved)

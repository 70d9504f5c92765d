"""The placement of up to a million members in tenants. Only changes of it are stored.

The seed places members by arithmetic: tenants own contiguous ranges of indexes, and one member in
each block of a range is the odd one (a suspended person, a distribution list). A change removes a
member from its seeded sequence and appends it to another. The n-th member of any selection is found
in O(log changes), so a page takes time for its own rows only.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

FIRST_ADDED_INDEX = 1 << 40
"""Members added later are numbered from here, so that their IDs don't depend on the sizes."""


class MemberSequence:
    """The seeded ordinals 0…base-1 without the removed ones, followed by the added indexes."""

    __slots__ = ("added", "base", "removed")

    def __init__(self, base: int) -> None:
        self.base = base
        self.removed: list[int] = []
        self.added: list[int] = []

    def __len__(self) -> int:
        return self.base - len(self.removed) + len(self.added)

    def remove(self, ordinal: int) -> None:
        insort(self.removed, ordinal)

    def restore(self, ordinal: int) -> None:
        del self.removed[bisect_left(self.removed, ordinal)]

    def is_removed(self, ordinal: int) -> bool:
        offset = bisect_left(self.removed, ordinal)
        return offset < len(self.removed) and self.removed[offset] == ordinal

    def get_slice(self, offset: int, limit: int) -> tuple[list[int], list[int]]:
        """Return at most `limit` members from `offset` as (seeded ordinals, added indexes)."""
        present = self.base - len(self.removed)
        ordinals = self._list_ordinals(offset, min(limit, present - offset))
        start = max(0, offset - present)
        return ordinals, self.added[start : start + limit - len(ordinals)]

    def _list_ordinals(self, offset: int, limit: int) -> list[int]:
        if limit <= 0:
            return []
        skipped = self._count_removed_before(offset)
        ordinal, ordinals = offset + skipped, list[int]()
        while len(ordinals) < limit:
            barrier = self.removed[skipped] if skipped < len(self.removed) else self.base
            stop = min(barrier, ordinal + limit - len(ordinals))
            ordinals.extend(range(ordinal, stop))
            ordinal, skipped = barrier + 1, skipped + 1
        return ordinals

    def _count_removed_before(self, offset: int) -> int:
        """Count the removed ordinals before the `offset`-th of the present ones."""
        low, high = 0, len(self.removed)
        while low < high:
            middle = (low + high) // 2
            if self.removed[middle] - middle <= offset:
                low = middle + 1
            else:
                high = middle
        return low


class IndexRange(NamedTuple):
    """The seeded indexes that one tenant owns; one in each `block` is odd."""

    tenant_id: str
    start: int
    size: int
    key: int
    block: int

    def get_odd_offset(self, block: int) -> int:
        return ((block * 2654435761 + self.key) >> 7) % self.block

    def count_odd_before(self, position: int) -> int:
        block, offset = divmod(position, self.block)
        return block + (self.get_odd_offset(block) < offset)

    def is_odd(self, position: int) -> bool:
        return self.get_odd_offset(position // self.block) == position % self.block

    def get_ordinal(self, position: int) -> int:
        """Return the rank among the members of the same kind."""
        odd_before = self.count_odd_before(position)
        return odd_before if self.is_odd(position) else position - odd_before

    def get_position(self, ordinal: int, *, odd: bool) -> int:
        if odd:
            return ordinal * self.block + self.get_odd_offset(ordinal)
        block, offset = divmod(ordinal, self.block - 1)
        return block * self.block + offset + (offset >= self.get_odd_offset(block))


class Chunk(NamedTuple):
    """Consecutive members on a page with the same tenant and kind: seeded ones, then moved ones."""

    tenant_id: str
    kind: str
    seeded: list[int]
    moved: list[int]


class MembershipIndex:
    """Sequences by tenant and kind; the kind is a person's status or a group's type."""

    def __init__(self, *, ranges: list[IndexRange], kinds: tuple[str, str]) -> None:
        self.kinds = kinds
        self.ranges = {range_.tenant_id: range_ for range_ in ranges}
        self._ordered = ranges
        self._starts = [range_.start for range_ in ranges]
        self.size = sum(range_.size for range_ in ranges)
        self.added = 0
        self._moved: dict[int, tuple[str, str] | None] = {}
        self._sequences = {range_.tenant_id: self._build_sequences(range_) for range_ in ranges}

    def _build_sequences(self, range_: IndexRange) -> dict[str, MemberSequence]:
        odd = range_.count_odd_before(range_.size)
        return {
            self.kinds[0]: MemberSequence(range_.size - odd),
            self.kinds[1]: MemberSequence(odd),
        }

    def get_range(self, index: int) -> IndexRange:
        """Return the range that contains an index below `size`."""
        return self._ordered[bisect_right(self._starts, index) - 1]

    def get_placement(self, index: int) -> tuple[str, str] | None:
        """Return (tenant ID, kind) of a member, or None if it was removed or never existed."""
        if index in self._moved:
            return self._moved[index]
        return self._get_seeded_placement(index) if 0 <= index < self.size else None

    def _get_seeded_placement(self, index: int) -> tuple[str, str]:
        range_ = self.get_range(index)
        return range_.tenant_id, self.kinds[range_.is_odd(index - range_.start)]

    def add(self, tenant_id: str, kind: str) -> int:
        index = FIRST_ADDED_INDEX + self.added
        self.added += 1
        self._moved[index] = None
        self.move(index, (tenant_id, kind))
        return index

    def move(self, index: int, target: tuple[str, str] | None) -> None:
        """Move a member to another tenant or kind; None removes it."""
        current = self.get_placement(index)
        if current == target:
            return
        seeded = self._get_seeded_placement(index) if index < self.size else None
        if current is not None:
            self._remove(index, current, seeded)
        if target is not None:
            self._insert(index, target, seeded)
        self._moved[index] = target

    def _remove(
        self, index: int, placement: tuple[str, str], seeded: tuple[str, str] | None
    ) -> None:
        sequence = self._sequences[placement[0]][placement[1]]
        if placement == seeded:
            sequence.remove(self._get_ordinal(index))
        else:
            sequence.added.remove(index)

    def _insert(
        self, index: int, placement: tuple[str, str], seeded: tuple[str, str] | None
    ) -> None:
        sequence = self._sequences.setdefault(placement[0], {}).setdefault(
            placement[1], MemberSequence(0)
        )
        if placement == seeded:
            sequence.restore(self._get_ordinal(index))
        else:
            sequence.added.append(index)

    def _get_ordinal(self, index: int) -> int:
        range_ = self.get_range(index)
        return range_.get_ordinal(index - range_.start)

    def select_sequences(
        self, tenant_ids: list[str], kind: str | None
    ) -> list[tuple[str, str, MemberSequence]]:
        return [
            (tenant_id, name, sequence)
            for tenant_id in tenant_ids
            for name, sequence in self._sequences.get(tenant_id, {}).items()
            if kind in (None, name)
        ]

    def split_into_chunks(
        self, selection: list[tuple[str, str, MemberSequence]], offset: int, limit: int
    ) -> Iterator[Chunk]:
        for tenant_id, kind, sequence in selection:
            if limit <= 0:
                return
            size = len(sequence)
            if offset < size:
                chunk = self._build_chunk(tenant_id, kind, sequence.get_slice(offset, limit))
                limit -= len(chunk.seeded) + len(chunk.moved)
                yield chunk
            offset = max(0, offset - size)

    def _build_chunk(
        self, tenant_id: str, kind: str, members: tuple[list[int], list[int]]
    ) -> Chunk:
        ordinals, moved = members
        if not ordinals:
            return Chunk(tenant_id, kind, [], moved)
        range_, odd = self.ranges[tenant_id], kind == self.kinds[1]
        seeded = [range_.start + range_.get_position(ordinal, odd=odd) for ordinal in ordinals]
        return Chunk(tenant_id, kind, seeded, moved)

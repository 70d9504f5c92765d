"""The placement of up to a million members in tenants. Only changes of it are stored.

The seed places members by arithmetic: tenants own contiguous ranges of indexes, and one member in
each block of a range is the odd one (a suspended person, a distribution list). A change removes a
member from its seeded sequence and appends it to another. The n-th member of any selection is found
in O(log changes), so a page takes time for its own rows only.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from scaiwave.sandbox.data.ids import Ids

Row = dict[str, Any]
"""An entity as JSON."""
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
        # The number of removed ordinals before the `offset`-th of the present ones.
        removed = self.removed
        skipped = bisect_right(range(len(removed)), offset, key=lambda at: removed[at] - at)
        ordinal, ordinals = offset + skipped, list[int]()
        while len(ordinals) < limit:
            barrier = self.removed[skipped] if skipped < len(self.removed) else self.base
            stop = min(barrier, ordinal + limit - len(ordinals))
            ordinals.extend(range(ordinal, stop))
            ordinal, skipped = barrier + 1, skipped + 1
        return ordinals


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
        self._sequences: dict[str, dict[str, MemberSequence]] = {}
        for range_ in ranges:
            odd = range_.count_odd_before(range_.size)
            sizes = zip(kinds, (range_.size - odd, odd), strict=True)
            self._sequences[range_.tenant_id] = {kind: MemberSequence(n) for kind, n in sizes}

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
        seeded, ordinal = None, -1
        if index < self.size:
            range_ = self.get_range(index)
            seeded = self._get_seeded_placement(index)
            ordinal = range_.get_ordinal(index - range_.start)
        if current is not None:
            sequence = self._sequences[current[0]][current[1]]
            if current == seeded:
                sequence.remove(ordinal)
            else:
                sequence.added.remove(index)
        if target is not None:
            sequences = self._sequences.setdefault(target[0], {})
            sequence = sequences.setdefault(target[1], MemberSequence(0))
            if target == seeded:
                sequence.restore(ordinal)
            else:
                sequence.added.append(index)
        self._moved[index] = target

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
                ordinals, moved = sequence.get_slice(offset, limit)
                seeded = []
                if ordinals:
                    range_, odd = self.ranges[tenant_id], kind == self.kinds[1]
                    seeded = [range_.start + range_.get_position(n, odd=odd) for n in ordinals]
                limit -= len(seeded) + len(moved)
                yield Chunk(tenant_id, kind, seeded, moved)
            offset = max(0, offset - size)


class Entities:
    """The people or the groups: their IDs, their placement, and the changes of their rows."""

    def __init__(
        self, *, prefix: str, seed: int, ranges: list[IndexRange], kinds: tuple[str, str]
    ) -> None:
        self.ids = Ids(prefix=prefix, seed=seed)
        self.roster = MembershipIndex(ranges=ranges, kinds=kinds)
        self.changed: dict[int, dict[str, object]] = {}

    def find(self, entity_id: str) -> tuple[int, str, str] | None:
        """Return (index, tenant ID, kind), or None if it was removed or never existed."""
        index = self.ids.decode(entity_id)
        placement = None if index is None else self.roster.get_placement(index)
        return (index, *placement) if index is not None and placement else None

    def change(self, index: int, fields: dict[str, object]) -> None:
        if fields:
            self.changed[index] = {**self.changed.get(index, {}), **fields}

    def get_placement(self, index: int) -> tuple[str, str]:
        """Return (tenant ID, kind). Raises LookupError."""
        placement = self.roster.get_placement(index)
        if placement is None:
            raise LookupError(f"Not found: {self.ids.encode(index)}.")
        return placement

    def build_rows(self, chunks: Iterable[Chunk]) -> list[str]:
        raise NotImplementedError

    def build_row(self, index: int) -> str:
        raise NotImplementedError

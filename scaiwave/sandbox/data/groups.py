"""The groups of the directory and their members.

A group's members are every n-th person of its tenant's range from some start. So the n-th member
is found, and a person's membership checked, without storing a list. Changes are stored on top.
"""

from __future__ import annotations

from math import gcd
from typing import Any, NamedTuple

import msgspec

from scaiwave.sandbox.data.ids import Ids, derive_key, scramble
from scaiwave.sandbox.data.names import GROUP_NAMES, number_word
from scaiwave.sandbox.data.roster import Chunk, IndexRange, MemberSequence, MembershipIndex

GROUP_TYPES = ("SECURITY", "DISTRIBUTION_LIST")
TYPE_BLOCK = 12
"""One in twelve groups is a distribution list."""
MEMBERSHIPS_PER_PERSON = 2.5
# Most groups are small, a few are big; the mean is 1.
WEIGHTS = (0.1, 0.2, 0.3, 0.3, 0.5, 0.6, 1.0, 1.5, 2.0, 3.5)
# Two in seven groups of a tenant contain the next one: a chain of three levels.
NESTING = (2, 3)
NESTING_ROUND = 7


class MemberPattern(NamedTuple):
    """The seeded members: positions `(offset + n * stride) % people` for n below `size`."""

    start: int
    people: int
    size: int
    offset: int
    stride: int

    def get_index(self, ordinal: int) -> int:
        return self.start + (self.offset + ordinal * self.stride) % self.people

    def find_ordinal(self, index: int) -> int | None:
        position = index - self.start
        if not 0 <= position < self.people:
            return None
        ordinal = (position - self.offset) * pow(self.stride, -1, self.people) % self.people
        return ordinal if ordinal < self.size else None


EMPTY_PATTERN = MemberPattern(0, 0, 0, 0, 1)


class Groups:
    """Rows and memberships of groups; `people` is the index of the people in each tenant."""

    def __init__(self, *, seed: int, ranges: list[IndexRange], people: MembershipIndex) -> None:
        self.ids = Ids(prefix="grp", seed=seed)
        self.roster = MembershipIndex(ranges=ranges, kinds=GROUP_TYPES)
        self.changed: dict[int, dict[str, Any]] = {}
        self._people = people
        self._key = derive_key(seed, "shapes")
        self._patterns: dict[int, MemberPattern] = {}
        self._sequences: dict[int, MemberSequence] = {}
        self._children: dict[int, list[int]] = {}
        self._added: dict[str, list[int]] = {}

    def find(self, group_id: str) -> int | None:
        index = self.ids.decode(group_id)
        return index if index is not None and self.roster.get_placement(index) else None

    def add(self, tenant_id: str, fields: dict[str, Any]) -> int:
        index = self.roster.add(tenant_id, fields.pop("group_type", GROUP_TYPES[0]))
        self._added.setdefault(tenant_id, []).append(index)
        self.change(index, {"name": f"Group {self.roster.added}", **fields})
        return index

    def change(self, index: int, fields: dict[str, Any]) -> None:
        self.changed[index] = {**self.changed.get(index, {}), **fields}

    def build_rows(self, chunks: list[Chunk]) -> list[str]:
        return [self.build_row(i) for chunk in chunks for i in chunk.seeded + chunk.moved]

    def build_row(self, index: int) -> str:
        placement = self.roster.get_placement(index)
        if placement is None:
            raise LookupError(f"Group not found: index {index}.")
        row = {
            "id": self.ids.encode(index),
            "name": self._build_name(index),
            "description": None,
            "tenant_id": placement[0],
            "group_type": placement[1],
        }
        return msgspec.json.encode({**row, **self.changed.get(index, {})}).decode()

    def _build_name(self, index: int) -> str:
        if index >= self.roster.size:
            return ""
        return number_word(GROUP_NAMES, index - self.roster.get_range(index).start)

    def get_pattern(self, index: int) -> MemberPattern:
        if index not in self._patterns:
            self._patterns[index] = self._build_pattern(index)
        return self._patterns[index]

    def _build_pattern(self, index: int) -> MemberPattern:
        if index >= self.roster.size:
            return EMPTY_PATTERN
        range_ = self.roster.get_range(index)
        people = self._people.ranges[range_.tenant_id]
        if not people.size:
            return EMPTY_PATTERN
        random_bits = scramble(index ^ self._key)
        mean = people.size * MEMBERSHIPS_PER_PERSON / range_.size
        size = min(people.size, max(1, round(mean * WEIGHTS[random_bits % len(WEIGHTS)])))
        return MemberPattern(
            people.start,
            people.size,
            size,
            random_bits >> 16,
            _choose_stride(random_bits >> 8, people.size),
        )

    def list_members(self, index: int, offset: int, limit: int) -> tuple[list[int], list[int], int]:
        """Return (member groups, people, total) of one page; member groups come first."""
        children = self.list_children(index)
        sequence, pattern = self._get_sequence(index), self.get_pattern(index)
        nested = children[offset : offset + limit]
        ordinals, extra = sequence.get_slice(max(0, offset - len(children)), limit - len(nested))
        people = [pattern.get_index(ordinal) for ordinal in ordinals] + extra
        return nested, people, len(children) + len(sequence)

    def _get_sequence(self, index: int) -> MemberSequence:
        sequence = self._sequences.get(index)
        return MemberSequence(self.get_pattern(index).size) if sequence is None else sequence

    def list_children(self, index: int) -> list[int]:
        """Return the member groups that still exist."""
        children = self._children.get(index)
        seeded = self._list_seeded_children(index) if children is None else children
        return [child for child in seeded if self.roster.get_placement(child)]

    def _list_seeded_children(self, index: int) -> list[int]:
        if index >= self.roster.size:
            return []
        range_ = self.roster.get_range(index)
        position = index - range_.start
        nests = position % NESTING_ROUND in NESTING and position + 1 < range_.size
        return [index + 1] if nests else []

    def set_child(self, index: int, child: int, *, present: bool) -> bool:
        """Add or remove a member group; return False if nothing changed."""
        children = self.list_children(index)
        if (child in children) is present:
            return False
        self._children[index] = [c for c in children if c != child] + [child] * present
        return True

    def set_member(self, index: int, person: int, *, present: bool) -> bool:
        """Add or remove a person; return False if nothing changed."""
        sequence = self._sequences.setdefault(index, self._get_sequence(index))
        ordinal = self.get_pattern(index).find_ordinal(person)
        inside = person in sequence.added if ordinal is None else not sequence.is_removed(ordinal)
        if inside is present:
            return False
        if ordinal is None:
            (sequence.added.append if present else sequence.added.remove)(person)
        else:
            (sequence.restore if present else sequence.remove)(ordinal)
        return True

    def remove_person(self, person: int, tenant_id: str) -> None:
        """Remove a person from all groups of a tenant."""
        range_ = self.roster.ranges.get(tenant_id)
        seeded = range(range_.start, range_.start + range_.size) if range_ else range(0)
        for index in [*seeded, *self._added.get(tenant_id, [])]:
            if index in self._sequences or self.get_pattern(index).find_ordinal(person) is not None:
                self.set_member(index, person, present=False)


def _choose_stride(random_bits: int, count: int) -> int:
    """Return a stride that reaches everyone: the first from a random start coprime to `count`."""
    stride = random_bits % count + 1
    while gcd(stride, count) != 1:
        stride += 1
    return stride

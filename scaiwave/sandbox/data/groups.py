"""The groups of the directory and their members.

A group's members are every n-th person of its tenant's range from some start. So the n-th member
is found, and a person's membership checked, without storing a list. Changes are stored on top.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import NamedTuple

import msgspec

from scaiwave.sandbox.data.ids import derive_key, scramble
from scaiwave.sandbox.data.names import GROUP_NAMES, number_word
from scaiwave.sandbox.data.roster import (
    Chunk,
    Entities,
    IndexRange,
    MemberSequence,
    MembershipIndex,
    Row,
)

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


class Groups(Entities):
    """Rows and memberships of groups; `people` is the index of the people in each tenant."""

    def __init__(self, *, seed: int, ranges: list[IndexRange], people: MembershipIndex) -> None:
        super().__init__(prefix="grp", seed=seed, ranges=ranges, kinds=GROUP_TYPES)
        self._people = people
        self._key = derive_key(seed, "shapes")
        self._patterns: dict[int, MemberPattern] = {}
        self._sequences: dict[int, MemberSequence] = {}
        self._children: dict[int, list[int]] = {}
        self._added: dict[str, list[int]] = {}

    def add(self, tenant_id: str, fields: Row) -> int:
        index = self.roster.add(tenant_id, fields.pop("group_type", GROUP_TYPES[0]))
        self._added.setdefault(tenant_id, []).append(index)
        self.change(index, {"name": f"Group {self.roster.added}", **fields})
        return index

    def build_rows(self, chunks: Iterable[Chunk]) -> list[str]:
        return [self.build_row(i) for chunk in chunks for i in chunk.seeded + chunk.moved]

    def build_row(self, index: int) -> str:
        tenant_id, group_type = self.get_placement(index)
        row = {"id": self.ids.encode(index), "name": "", "description": None}
        if index < self.roster.size:
            row["name"] = number_word(GROUP_NAMES, index - self.roster.get_range(index).start)
        row |= {"tenant_id": tenant_id, "group_type": group_type}
        return msgspec.json.encode({**row, **self.changed.get(index, {})}).decode()

    def get_pattern(self, index: int) -> MemberPattern:
        if index in self._patterns or index >= self.roster.size:
            return self._patterns.get(index, EMPTY_PATTERN)
        range_ = self.roster.get_range(index)
        people = self._people.ranges[range_.tenant_id]
        if not people.size:
            return EMPTY_PATTERN
        random_bits = scramble(index ^ self._key)
        mean = people.size * MEMBERSHIPS_PER_PERSON / range_.size
        size = min(people.size, max(1, round(mean * WEIGHTS[random_bits % len(WEIGHTS)])))
        # The first stride from a random start that is coprime to the number of people reaches all.
        stride = (random_bits >> 8) % people.size + 1
        while gcd(stride, people.size) != 1:
            stride += 1
        pattern = MemberPattern(people.start, people.size, size, random_bits >> 16, stride)
        self._patterns[index] = pattern
        return pattern

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
        if children is None:
            children = []
            if index < self.roster.size:
                range_ = self.roster.get_range(index)
                position = index - range_.start
                if position % NESTING_ROUND in NESTING and position + 1 < range_.size:
                    children = [index + 1]
        return [child for child in children if self.roster.get_placement(child)]

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

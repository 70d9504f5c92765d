"""The groups of the directory and who is in them.

A group's members are every n-th person of its tenant's range from some start, which makes both
questions cheap: who is the n-th member, and is this person a member. Changes lie on top.
"""

from __future__ import annotations

from math import gcd
from typing import Any, NamedTuple

import msgspec

from scaiwave.sandbox.data.ids import Ids, derive_key, scramble
from scaiwave.sandbox.data.names import GROUPS, numbered
from scaiwave.sandbox.data.roster import Chunk, IndexRange, MemberSequence, MembershipIndex

TYPES = ("SECURITY", "DISTRIBUTION_LIST")
BLOCK = 12  # one in twelve groups is a distribution list
MEMBERSHIPS_PER_PERSON = 2.5
# Most groups are small, a few are big; the mean is 1.
WEIGHTS = (0.1, 0.2, 0.3, 0.3, 0.5, 0.6, 1.0, 1.5, 2.0, 3.5)
# Of every seven groups of a tenant, two contain the next one: a chain of three levels.
NESTING = (2, 3)
NESTING_ROUND = 7


class MemberPattern(NamedTuple):
    """The seed's members: positions `(offset + n * stride) % people`, n below `size`."""

    start: int
    people: int
    size: int
    offset: int
    stride: int

    def at(self, ordinal: int) -> int:
        return self.start + (self.offset + ordinal * self.stride) % self.people

    def ordinal(self, index: int) -> int | None:
        position = index - self.start
        if not 0 <= position < self.people:
            return None
        ordinal = (position - self.offset) * pow(self.stride, -1, self.people) % self.people
        return ordinal if ordinal < self.size else None


EMPTY = MemberPattern(0, 0, 0, 0, 1)


class Groups:
    """Rows and memberships; `people` is the roster that says who is still in a tenant."""

    def __init__(self, *, seed: int, ranges: list[IndexRange], people: MembershipIndex) -> None:
        self.ids = Ids(prefix="grp", seed=seed)
        self.roster = MembershipIndex(ranges=ranges, kinds=TYPES)
        self.changed: dict[int, dict[str, Any]] = {}
        self._people = people
        self._key = derive_key(seed, "shapes")
        self._shapes: dict[int, MemberPattern] = {}
        self._lineups: dict[int, MemberSequence] = {}
        self._children: dict[int, list[int]] = {}
        self._added: dict[str, list[int]] = {}

    def find(self, group_id: str) -> int | None:
        index = self.ids.decode(group_id)
        return index if index is not None and self.roster.where(index) else None

    def add(self, tenant_id: str, fields: dict[str, Any]) -> int:
        index = self.roster.add(tenant_id, fields.pop("group_type", TYPES[0]))
        self._added.setdefault(tenant_id, []).append(index)
        self.change(index, {"name": f"Group {self.roster.added}", **fields})
        return index

    def change(self, index: int, fields: dict[str, Any]) -> None:
        self.changed[index] = {**self.changed.get(index, {}), **fields}

    def rows(self, chunks: list[Chunk]) -> list[str]:
        return [self.row(i) for chunk in chunks for i in chunk.seeded + chunk.moved]

    def row(self, index: int) -> str:
        place = self.roster.where(index)
        if place is None:
            raise LookupError(f"There is no group with index {index}.")
        row = {
            "id": self.ids.encode(index),
            "name": self._name(index),
            "description": None,
            "tenant_id": place[0],
            "group_type": place[1],
        }
        return msgspec.json.encode({**row, **self.changed.get(index, {})}).decode()

    def _name(self, index: int) -> str:
        if index >= self.roster.size:
            return ""
        return numbered(GROUPS, index - self.roster.home(index).start)

    def shape(self, index: int) -> MemberPattern:
        if index not in self._shapes:
            self._shapes[index] = self._make_shape(index)
        return self._shapes[index]

    def _make_shape(self, index: int) -> MemberPattern:
        if index >= self.roster.size:
            return EMPTY
        home = self.roster.home(index)
        people = self._people.ranges[home.tenant_id]
        if not people.size:
            return EMPTY
        luck = scramble(index ^ self._key)
        mean = people.size * MEMBERSHIPS_PER_PERSON / home.size
        size = min(people.size, max(1, round(mean * WEIGHTS[luck % len(WEIGHTS)])))
        return MemberPattern(
            people.start, people.size, size, luck >> 16, _coprime(luck >> 8, people.size)
        )

    def members(self, index: int, offset: int, limit: int) -> tuple[list[int], list[int], int]:
        """(member groups, people, total) of one page; member groups come first."""
        children = self.children(index)
        lineup, shape = self._lineup(index), self.shape(index)
        nested = children[offset : offset + limit]
        ordinals, extra = lineup.slice(max(0, offset - len(children)), limit - len(nested))
        people = [shape.at(ordinal) for ordinal in ordinals] + extra
        return nested, people, len(children) + len(lineup)

    def _lineup(self, index: int) -> MemberSequence:
        lineup = self._lineups.get(index)
        return MemberSequence(self.shape(index).size) if lineup is None else lineup

    def children(self, index: int) -> list[int]:
        """The member groups that still exist."""
        children = self._children.get(index)
        seeded = self._seeded_children(index) if children is None else children
        return [child for child in seeded if self.roster.where(child)]

    def _seeded_children(self, index: int) -> list[int]:
        if index >= self.roster.size:
            return []
        home = self.roster.home(index)
        position = index - home.start
        nests = position % NESTING_ROUND in NESTING and position + 1 < home.size
        return [index + 1] if nests else []

    def set_child(self, index: int, child: int, *, present: bool) -> bool:
        """Put a group into a group or take it out; False when it is so already."""
        children = self.children(index)
        if (child in children) is present:
            return False
        self._children[index] = [c for c in children if c != child] + [child] * present
        return True

    def set_member(self, index: int, person: int, *, present: bool) -> bool:
        """Put a person into a group or take one out; False when it is so already."""
        lineup = self._lineups.setdefault(index, self._lineup(index))
        ordinal = self.shape(index).ordinal(person)
        inside = person in lineup.extra if ordinal is None else not lineup.has_left(ordinal)
        if inside is present:
            return False
        if ordinal is None:
            (lineup.extra.append if present else lineup.extra.remove)(person)
        else:
            (lineup.come_back if present else lineup.leave)(ordinal)
        return True

    def forget_person(self, person: int, tenant_id: str) -> None:
        """Take a person who leaves the tenant out of its groups."""
        range_ = self.roster.ranges.get(tenant_id)
        seeded = range(range_.start, range_.start + range_.size) if range_ else range(0)
        for index in [*seeded, *self._added.get(tenant_id, [])]:
            if index in self._lineups or self.shape(index).ordinal(person) is not None:
                self.set_member(index, person, present=False)


def _coprime(luck: int, count: int) -> int:
    """A stride that visits everybody: the first number from a random one without common factor."""
    stride = luck % count + 1
    while gcd(stride, count) != 1:
        stride += 1
    return stride

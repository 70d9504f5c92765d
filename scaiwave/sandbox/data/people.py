"""The people of the directory: rows as JSON text, computed when asked for.

An untouched person is a function of (seed, index) and is written straight as text, since a page
of a hundred must cost next to nothing. A changed one is that text decoded, changed and encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from scaiwave.sandbox.data.ids import FIRST, MASK, SECOND, Ids, derive_key, scramble
from scaiwave.sandbox.data.names import CULTURES, SpelledName, spellings
from scaiwave.sandbox.data.roster import ADDED, Chunk, IndexRange, MembershipIndex

STATUSES = ("ACTIVE", "SUSPENDED")
BLOCK = 40  # one in forty people is suspended
NAMELESS = SpelledName('"first_name":null,"last_name":null,"display_name":null', "", "mailbox")
# The first so many of a tenant have e-mail addresses without a number.
UNNUMBERED = 200


class TenantRef(NamedTuple):
    """What people of one tenant have in common."""

    domain: str
    start: int
    cultures: tuple[tuple[SpelledName, ...], ...]


class People:
    """`tenant_members` gives the JSON members that say which tenant a row belongs to."""

    def __init__(
        self, *, seed: int, ranges: list[IndexRange], tenant_members: Callable[[str], str]
    ) -> None:
        self.ids = Ids(prefix="usr", seed=seed)
        self.roster = MembershipIndex(ranges=ranges, kinds=STATUSES)
        self.changed: dict[int, dict[str, Any]] = {}
        self._seed = seed
        self._tenant_members = tenant_members
        self._homes: dict[str, TenantRef] = {}
        self._homes_of_added: dict[int, str] = {}

    def welcome(self, tenant_id: str, slug: str) -> None:
        """Make a tenant known; its mail domain is its first slug's for good."""
        range_ = self.roster.ranges.get(tenant_id)
        self._homes[tenant_id] = TenantRef(
            f"{slug}.example", range_.start if range_ else ADDED, self._cultures(tenant_id)
        )

    def _cultures(self, tenant_id: str) -> tuple[tuple[SpelledName, ...], ...]:
        """Sixteen places: half of them one language, the rest from all over."""
        key = derive_key(self._seed, f"cultures/{tenant_id}")
        native = key % len(CULTURES)
        others = [(native + 1 + (key >> 8) + step * 3) % len(CULTURES) for step in range(8)]
        return tuple(spellings(place) for place in [native] * 8 + others)

    def find(self, user_id: str) -> int | None:
        index = self.ids.decode(user_id)
        return index if index is not None and self.roster.where(index) else None

    def add(self, tenant_id: str, fields: dict[str, Any]) -> int:
        index = self.roster.add(tenant_id, fields.pop("status", STATUSES[0]))
        self._homes_of_added[index] = tenant_id
        self.change(index, fields)
        return index

    def change(self, index: int, fields: dict[str, Any]) -> None:
        if fields:
            self.changed[index] = {**self.changed.get(index, {}), **fields}

    def rows(self, chunks: Iterable[Chunk]) -> list[str]:
        return [row for chunk in chunks for row in self._chunk_rows(chunk)]

    def _chunk_rows(self, chunk: Chunk) -> list[str]:
        rows = self._texts(self._homes[chunk.tenant_id], chunk.kind, chunk.tenant_id, chunk.seeded)
        if self.changed:
            for place, index in enumerate(chunk.seeded):
                if index in self.changed:
                    rows[place] = self._changed_row(index, rows[place])
        return rows + [self.row(index) for index in chunk.moved]

    def row(self, index: int) -> str:
        """One person's row; the address keeps the domain of the tenant it was made in."""
        place = self.roster.where(index)
        if place is None:
            raise LookupError(f"There is no person with index {index}.")
        (text,) = self._texts(self._home_of(index), place[1], place[0], [index])
        return self._changed_row(index, text) if index in self.changed else text

    def _home_of(self, index: int) -> TenantRef:
        added = self._homes_of_added.get(index)
        return self._homes[self.roster.home(index).tenant_id if added is None else added]

    def _changed_row(self, index: int, text: str) -> str:
        row = {**msgspec.json.decode(text), **self.changed[index]}
        return msgspec.json.encode(row).decode()

    def spelling(self, index: int) -> SpelledName:
        cultures = self._home_of(index).cultures
        scrambled = scramble(index ^ self.ids.key)
        spelt = cultures[scrambled & 15]
        return spelt[(scrambled >> 4) % len(spelt)]

    def _texts(self, home: TenantRef, status: str, tenant_id: str, indices: list[int]) -> list[str]:
        """The hot loop: `mix` is written out here, as a call would cost half of the row."""
        domain, start, cultures = home
        key, prefix = self.ids.key, f'{{"id":"{self.ids.prefix}'
        tail = f',"status":"{status}",{self._tenant_members(tenant_id)},"avatar_url":null'
        tails = f'{tail},"mfa_enabled":false}}', f'{tail},"mfa_enabled":true}}'
        rows = []
        for index in indices:
            scrambled = index ^ key
            scrambled = ((scrambled ^ (scrambled >> 30)) * FIRST) & MASK
            scrambled = ((scrambled ^ (scrambled >> 27)) * SECOND) & MASK
            scrambled ^= scrambled >> 31
            spelt = cultures[scrambled & 15]
            full, plain, local = spelt[(scrambled >> 4) % len(spelt)]
            # One in 32 has no display name, one in 256 no name at all.
            luck = (scrambled >> 50) & 255
            names = full if luck & 31 else (plain if luck else NAMELESS.full)
            number = index - start
            rows.append(
                f'{prefix}{scrambled:016x}","email":"{local}{"" if number < UNNUMBERED else number}'
                f'@{domain}",{names}{tails[scrambled >> 63]}'
            )
        return rows

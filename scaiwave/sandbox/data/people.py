"""The people of the directory: rows as JSON text, computed on request.

An unchanged person depends on seed and index only, and its row is formatted directly as text, which
makes a page of a hundred cheap. For a changed person that text is decoded, changed and encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from scaiwave.sandbox.data.ids import FIRST, MASK, SECOND, derive_key
from scaiwave.sandbox.data.names import LOCALES, SpelledName, build_names
from scaiwave.sandbox.data.roster import FIRST_ADDED_INDEX, Chunk, Entities, IndexRange, Row

STATUSES = ("ACTIVE", "SUSPENDED")
STATUS_BLOCK = 40
"""One in forty people is suspended."""
NAMELESS = SpelledName('"first_name":null,"last_name":null,"display_name":null', "", "mailbox")
UNNUMBERED = 200
"""The first 200 people of a tenant have e-mail addresses without a number."""


class TenantRef(NamedTuple):
    """The properties that the people of one tenant share."""

    domain: str
    start: int
    locales: tuple[tuple[SpelledName, ...], ...]


class People(Entities):
    """Rows of people; `tenant_members` returns the JSON members that name a row's tenant."""

    def __init__(
        self, *, seed: int, ranges: list[IndexRange], tenant_members: Callable[[str], str]
    ) -> None:
        super().__init__(prefix="usr", seed=seed, ranges=ranges, kinds=STATUSES)
        self._seed = seed
        self._tenant_members = tenant_members
        self._tenant_refs: dict[str, TenantRef] = {}
        self._first_tenants: dict[int, str] = {}

    def add_tenant(self, tenant_id: str, slug: str) -> None:
        """Add a tenant. Its mail domain is derived from this slug, even if it changes later."""
        range_ = self.roster.ranges.get(tenant_id)
        key = derive_key(self._seed, f"cultures/{tenant_id}")
        native = key % len(LOCALES)
        others = [(native + 1 + (key >> 8) + step * 3) % len(LOCALES) for step in range(8)]
        # Sixteen locales: eight times the same one, and eight others.
        locales = tuple(build_names(locale) for locale in [native] * 8 + others)
        start = range_.start if range_ else FIRST_ADDED_INDEX
        self._tenant_refs[tenant_id] = TenantRef(f"{slug}.example", start, locales)

    def add(self, tenant_id: str, fields: Row) -> int:
        index = self.roster.add(tenant_id, fields.pop("status", STATUSES[0]))
        self._first_tenants[index] = tenant_id
        self.change(index, fields)
        return index

    def build_rows(self, chunks: Iterable[Chunk]) -> list[str]:
        result: list[str] = []
        for tenant_id, status, seeded, moved in chunks:
            rows = self._build_rows(self._tenant_refs[tenant_id], status, tenant_id, seeded)
            if self.changed:
                for position, index in enumerate(seeded):
                    if index in self.changed:
                        rows[position] = self._apply_changes(index, rows[position])
            result += [*rows, *(self.build_row(index) for index in moved)]
        return result

    def build_row(self, index: int) -> str:
        """Return a person's row. The e-mail domain is always the first tenant's."""
        tenant_id, status = self.get_placement(index)
        first = self._first_tenants.get(index)
        if first is None:
            first = self.roster.get_range(index).tenant_id
        (text,) = self._build_rows(self._tenant_refs[first], status, tenant_id, [index])
        return self._apply_changes(index, text) if index in self.changed else text

    def _apply_changes(self, index: int, text: str) -> str:
        row = {**msgspec.json.decode(text), **self.changed[index]}
        return msgspec.json.encode(row).decode()

    def _build_rows(
        self, tenant_ref: TenantRef, status: str, tenant_id: str, indices: list[int]
    ) -> list[str]:
        """Build rows. `scramble` is inlined: a call would take half of the time of a row."""
        domain, start, locales = tenant_ref
        key, prefix = self.ids.key, f'{{"id":"{self.ids.prefix}'
        tail = f',"status":"{status}",{self._tenant_members(tenant_id)},"avatar_url":null'
        tails = f'{tail},"mfa_enabled":false}}', f'{tail},"mfa_enabled":true}}'
        rows = []
        for index in indices:
            scrambled = index ^ key
            scrambled = ((scrambled ^ (scrambled >> 30)) * FIRST) & MASK
            scrambled = ((scrambled ^ (scrambled >> 27)) * SECOND) & MASK
            scrambled ^= scrambled >> 31
            names = locales[scrambled & 15]
            full, plain, local = names[(scrambled >> 4) % len(names)]
            # One person in 32 has no display name, one in 256 no name at all.
            random_bits = (scrambled >> 50) & 255
            members = full if random_bits & 31 else (plain if random_bits else NAMELESS.full)
            number = index - start
            rows.append(
                f'{prefix}{scrambled:016x}","email":"{local}{"" if number < UNNUMBERED else number}'
                f'@{domain}",{members}{tails[scrambled >> 63]}'
            )
        return rows

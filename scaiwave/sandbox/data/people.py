"""The people of the directory: rows as JSON text, computed on request.

An unchanged person depends on seed and index only, and its row is formatted directly as text, which
makes a page of a hundred cheap. For a changed person that text is decoded, changed and encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from scaiwave.sandbox.data.ids import FIRST, MASK, SECOND, Ids, derive_key, scramble
from scaiwave.sandbox.data.names import LOCALES, SpelledName, build_names
from scaiwave.sandbox.data.roster import FIRST_ADDED_INDEX, Chunk, IndexRange, MembershipIndex

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


class People:
    """Rows of people; `tenant_members` returns the JSON members that name a row's tenant."""

    def __init__(
        self, *, seed: int, ranges: list[IndexRange], tenant_members: Callable[[str], str]
    ) -> None:
        self.ids = Ids(prefix="usr", seed=seed)
        self.roster = MembershipIndex(ranges=ranges, kinds=STATUSES)
        self.changed: dict[int, dict[str, Any]] = {}
        self._seed = seed
        self._tenant_members = tenant_members
        self._tenant_refs: dict[str, TenantRef] = {}
        self._first_tenants: dict[int, str] = {}

    def add_tenant(self, tenant_id: str, slug: str) -> None:
        """Add a tenant. Its mail domain is derived from this slug, even if it changes later."""
        range_ = self.roster.ranges.get(tenant_id)
        self._tenant_refs[tenant_id] = TenantRef(
            f"{slug}.example",
            range_.start if range_ else FIRST_ADDED_INDEX,
            self._choose_locales(tenant_id),
        )

    def _choose_locales(self, tenant_id: str) -> tuple[tuple[SpelledName, ...], ...]:
        """Return sixteen locales, of which eight are the same one."""
        key = derive_key(self._seed, f"cultures/{tenant_id}")
        native = key % len(LOCALES)
        others = [(native + 1 + (key >> 8) + step * 3) % len(LOCALES) for step in range(8)]
        return tuple(build_names(locale) for locale in [native] * 8 + others)

    def find(self, user_id: str) -> int | None:
        index = self.ids.decode(user_id)
        return index if index is not None and self.roster.get_placement(index) else None

    def add(self, tenant_id: str, fields: dict[str, Any]) -> int:
        index = self.roster.add(tenant_id, fields.pop("status", STATUSES[0]))
        self._first_tenants[index] = tenant_id
        self.change(index, fields)
        return index

    def change(self, index: int, fields: dict[str, Any]) -> None:
        if fields:
            self.changed[index] = {**self.changed.get(index, {}), **fields}

    def build_rows(self, chunks: Iterable[Chunk]) -> list[str]:
        return [row for chunk in chunks for row in self._chunk_rows(chunk)]

    def _chunk_rows(self, chunk: Chunk) -> list[str]:
        rows = self._build_rows(
            self._tenant_refs[chunk.tenant_id], chunk.kind, chunk.tenant_id, chunk.seeded
        )
        if self.changed:
            for position, index in enumerate(chunk.seeded):
                if index in self.changed:
                    rows[position] = self._apply_changes(index, rows[position])
        return rows + [self.build_row(index) for index in chunk.moved]

    def build_row(self, index: int) -> str:
        """Return a person's row. The e-mail domain is always the first tenant's."""
        placement = self.roster.get_placement(index)
        if placement is None:
            raise LookupError(f"Person not found: index {index}.")
        (text,) = self._build_rows(self._get_tenant_ref(index), placement[1], placement[0], [index])
        return self._apply_changes(index, text) if index in self.changed else text

    def _get_tenant_ref(self, index: int) -> TenantRef:
        added = self._first_tenants.get(index)
        return self._tenant_refs[self.roster.get_range(index).tenant_id if added is None else added]

    def _apply_changes(self, index: int, text: str) -> str:
        row = {**msgspec.json.decode(text), **self.changed[index]}
        return msgspec.json.encode(row).decode()

    def get_name(self, index: int) -> SpelledName:
        locales = self._get_tenant_ref(index).locales
        scrambled = scramble(index ^ self.ids.key)
        names = locales[scrambled & 15]
        return names[(scrambled >> 4) % len(names)]

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

"""The directory for reading: partners and tenants are stored, people and groups computed.

Every list takes a `ListFilter` and returns (rows as JSON text, total). One lock guards everything:
the server handles requests in many threads, and a page must not contain half of a change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from scaiwave.sandbox.data.groups import TYPE_BLOCK as GROUP_BLOCK
from scaiwave.sandbox.data.groups import Groups
from scaiwave.sandbox.data.ids import Ids, derive_key, scramble
from scaiwave.sandbox.data.names import build_partner_name, build_tenant_name
from scaiwave.sandbox.data.people import STATUS_BLOCK as PEOPLE_BLOCK
from scaiwave.sandbox.data.people import People
from scaiwave.sandbox.data.roster import IndexRange, MemberSequence, MembershipIndex
from scaiwave.sandbox.errors import UnknownEntity

Rows = tuple[list[str], int]
Row = dict[str, Any]
Selection = list[tuple[str, str, MemberSequence]]
DELETED = "DELETED"
"""The status of a softly deleted entity. ScaiKey does not document it; it is an assumption."""
SUSPENDED_TENANT, SUSPENDED_ROUND = 10, 16
"""One tenant in sixteen, the eleventh, is suspended, so that small directories have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListFilter:
    """The filters of a list and the caller's scope; None means no filter.

    `kind` is the status, for groups the type; `scope_…` come from the caller's token.
    """

    tenant_id: str | None = None
    partner_id: str | None = None
    kind: str | None = None
    search: str | None = None
    scope_partner_id: str | None = None
    scope_tenant_id: str | None = None

    def admits(self, tenant: Row) -> bool:
        return (
            self.tenant_id in (None, tenant["id"])
            and self.scope_tenant_id in (None, tenant["id"])
            and self.partner_id in (None, tenant["partner_id"])
            and self.scope_partner_id in (None, tenant["partner_id"])
        )


EVERYTHING = ListFilter()


class Population:
    """The directory for reading; `Directory` adds the mutations."""

    def __init__(
        self,
        *,
        seed: int,
        partners: int,
        tenants: int,
        people: int,
        groups: int,
        nested_tenant: bool = False,
    ) -> None:
        self.seed = seed
        self.nested_tenant = nested_tenant
        self.lock = threading.RLock()
        self.partner_ids = Ids(prefix="prt", seed=seed)
        self.tenant_ids = Ids(prefix="tnt", seed=seed)
        self.partners = {row["id"]: row for row in map(self._build_seeded_partner, range(partners))}
        self.tenants = {row["id"]: row for row in map(self._build_seeded_tenant, range(tenants))}
        self.people = People(
            seed=seed,
            ranges=self._build_ranges(people, PEOPLE_BLOCK, power=1.1),
            tenant_members=self._tenant_members,
        )
        self.groups = Groups(
            seed=seed,
            ranges=self._build_ranges(groups, GROUP_BLOCK, power=0.5),
            people=self.people.roster,
        )
        for tenant in self.tenants.values():
            self.people.add_tenant(tenant["id"], tenant["slug"])
        # Softly deleted entities by ID: not in any list, but still returned by ID.
        self.deleted: dict[str, Row] = {}
        self._selections: dict[tuple[int, ListFilter], tuple[Selection, int]] = {}

    def _build_seeded_partner(self, index: int) -> Row:
        name, slug = build_partner_name(index)
        return self._build_partner(index, name=name, slug=slug)

    def _build_partner(self, index: int, *, name: str, slug: str) -> Row:
        return {
            "id": self.partner_ids.encode(index),
            "name": name,
            "slug": slug,
            "status": "ACTIVE",
            "contact_email": f"ops@{slug}.example",
            "max_tenants": 100,
            "max_users_per_tenant": 1_000_000,
            "max_applications_per_tenant": 50,
        }

    def _build_seeded_tenant(self, index: int) -> Row:
        name, slug = build_tenant_name(index)
        partners = list(self.partners)
        # Every partner has one tenant before any has two.
        position = (
            index if index < len(partners) else scramble(index ^ derive_key(self.seed, "partner"))
        )
        owner = partners[position % len(partners)] if partners else None
        row = self._build_tenant(index, name=name, slug=slug, partner_id=owner)
        suspended = index % SUSPENDED_ROUND == SUSPENDED_TENANT
        return {**row, "status": "SUSPENDED"} if suspended else row

    def _build_tenant(self, index: int, *, name: str, slug: str, partner_id: str | None) -> Row:
        return {
            "id": self.tenant_ids.encode(index),
            "name": name,
            "slug": slug,
            "status": "ACTIVE",
            "contact_email": f"it@{slug}.example",
            "partner_id": partner_id,
            "settings": {"mfa_required": False, "session_hours": 12},
            "branding": {
                "primary_color": f"#{scramble(index + 1) & 0xFFFFFF:06x}",
                "logo_url": None,
            },
        }

    def _build_ranges(self, total: int, block: int, *, power: float) -> list[IndexRange]:
        """Divide `total` by a power law over shuffled ranks, like the sizes of companies."""
        rank_key = derive_key(self.seed, "ranks")
        order = sorted(range(len(self.tenants)), key=lambda rank: scramble(rank ^ rank_key))
        weights = [1.0 / (rank + 1) ** power for rank in order]
        scale, reached, start, ranges = sum(weights) or 1.0, 0.0, 0, []
        for tenant_id, weight in zip(self.tenants, weights, strict=True):
            reached += weight / scale
            end = round(total * min(1.0, reached))
            key = derive_key(self.seed, f"odd/{block}/{tenant_id}") & 0xFFFFFFFF
            ranges.append(IndexRange(tenant_id, start, end - start, key, block))
            start = end
        return ranges

    def _tenant_members(self, tenant_id: str) -> str:
        """Return the JSON members that name a row's tenant: an ID, or an object if configured."""
        if not self.nested_tenant:
            return f'"tenant_id":"{tenant_id}"'
        tenant = self.get_tenant_by_id(tenant_id)
        nested = {name: tenant[name] for name in ("id", "name", "slug")}
        return f'"tenant":{msgspec.json.encode(nested).decode()}'

    def list_partners(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        return self._list_plain(list(self.partners.values()), list_filter, offset, limit)

    def list_tenants(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        admitted = [row for row in list(self.tenants.values()) if list_filter.admits(row)]
        return self._list_plain(admitted, list_filter, offset, limit)

    def _list_plain(
        self, rows: list[Row], list_filter: ListFilter, offset: int, limit: int
    ) -> Rows:
        with self.lock:
            matches = [msgspec.json.encode(r).decode() for r in rows if _matches(r, list_filter)]
        return matches[offset : offset + limit], len(matches)

    def list_users(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        return self._list_computed(
            self.people.roster, self._build_user_page, list_filter, offset, limit
        )

    def list_groups(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        return self._list_computed(
            self.groups.roster, self._build_group_page, list_filter, offset, limit
        )

    def _build_user_page(self, selection: Selection, offset: int, limit: int) -> list[str]:
        return self.people.build_rows(
            self.people.roster.split_into_chunks(selection, offset, limit)
        )

    def _build_group_page(self, selection: Selection, offset: int, limit: int) -> list[str]:
        return self.groups.build_rows(
            list(self.groups.roster.split_into_chunks(selection, offset, limit))
        )

    def _list_computed(
        self,
        roster: MembershipIndex,
        page: Callable[[Selection, int, int], list[str]],
        list_filter: ListFilter,
        offset: int,
        limit: int,
    ) -> Rows:
        with self.lock:
            selection, total = self._select(roster, list_filter)
            if not list_filter.search:
                return page(selection, offset, limit), total
            steps = range(0, total, 1000)
            rows = (row for start in steps for row in page(selection, start, 1000))
            return _take_page(_search_rows(rows, list_filter.search), offset, limit)

    def _select(self, roster: MembershipIndex, list_filter: ListFilter) -> tuple[Selection, int]:
        """Return the sequences that the filter admits, cached until the next change."""
        key = (id(roster), list_filter)
        if key not in self._selections:
            tenant_ids = [row["id"] for row in self.tenants.values() if list_filter.admits(row)]
            selection = roster.select_sequences(tenant_ids, list_filter.kind)
            self._selections[key] = (selection, sum(len(sequence) for _, _, sequence in selection))
        return self._selections[key]

    def clear_cache(self) -> None:
        """Clear the cached selections. Call it after every change."""
        self._selections.clear()

    def list_members(self, group_id: str, offset: int, limit: int) -> Rows:
        with self.lock:
            index = self.get_group_index(group_id)
            nested, people, total = self.groups.list_members(index, offset, limit)
        rows = [f'{{"group_id":"{self.groups.ids.encode(child)}"}}' for child in nested]
        encode = self.people.ids.encode
        rows += [f'{{"user_id":"{encode(i)}","membership_type":"DIRECT"}}' for i in people]
        return rows, total

    def direct_members(self, group_id: str) -> tuple[list[Row], list[Row]]:
        """Return the rows of all member groups and of all people who are direct members."""
        with self.lock:
            index = self.get_group_index(group_id)
            total = self.groups.list_members(index, 0, 0)[2]
            nested, people, _ = self.groups.list_members(index, 0, total)
            group_rows = [decode_row(self.groups.build_row(child)) for child in nested]
            return group_rows, [decode_row(self.people.build_row(person)) for person in people]

    def get_partner(self, partner_id: str) -> Row:
        if partner_id not in self.partners:
            raise UnknownEntity("partner", partner_id)
        return self.partners[partner_id]

    def get_tenant(self, tenant_id: str) -> Row:
        if tenant_id not in self.tenants:
            raise UnknownEntity("tenant", tenant_id)
        return self.tenants[tenant_id]

    def get_partner_by_slug(self, slug: str) -> Row:
        return _find_by_slug("partner", list(self.partners.values()), slug)

    def get_tenant_by_slug(self, slug: str) -> Row:
        return _find_by_slug("tenant", list(self.tenants.values()), slug)

    def get_user_index(self, user_id: str) -> int:
        index = self.people.find(user_id)
        if index is None or self._find_tenant(self.people.roster, index) is None:
            raise UnknownEntity("user", user_id)
        return index

    def get_group_index(self, group_id: str) -> int:
        index = self.groups.find(group_id)
        if index is None or self._find_tenant(self.groups.roster, index) is None:
            raise UnknownEntity("group", group_id)
        return index

    def _find_tenant(self, roster: MembershipIndex, index: int) -> Row | None:
        placement = roster.get_placement(index)
        return self.tenants.get(placement[0]) if placement else None

    def get_user(self, user_id: str) -> Row:
        with self.lock:
            return decode_row(self.people.build_row(self.get_user_index(user_id)))

    def get_group(self, group_id: str) -> Row:
        with self.lock:
            return decode_row(self.groups.build_row(self.get_group_index(group_id)))

    def get_partner_by_id(self, partner_id: str) -> Row:
        """Return the row for GET by ID, including a softly deleted partner."""
        return self.deleted.get(partner_id) or self.get_partner(partner_id)

    def get_tenant_by_id(self, tenant_id: str) -> Row:
        """Return the row for GET by ID, including a softly deleted tenant."""
        return self.deleted.get(tenant_id) or self.get_tenant(tenant_id)

    def get_user_by_id(self, user_id: str) -> Row:
        """Return the row for GET by ID, including people in a softly deleted tenant."""
        with self.lock:
            index = self.people.find(user_id)
            if index is not None and self._is_tenant_deleted(self.people.roster, index):
                return {**decode_row(self.people.build_row(index)), "status": DELETED}
            return self.deleted.get(user_id) or self.get_user(user_id)

    def get_group_by_id(self, group_id: str) -> Row:
        """Return the row for GET by ID, including groups in a softly deleted tenant."""
        with self.lock:
            index = self.groups.find(group_id)
            if index is not None and self._is_tenant_deleted(self.groups.roster, index):
                return {**decode_row(self.groups.build_row(index)), "status": DELETED}
            return self.deleted.get(group_id) or self.get_group(group_id)

    def _is_tenant_deleted(self, roster: MembershipIndex, index: int) -> bool:
        placement = roster.get_placement(index)
        return placement is not None and placement[0] in self.deleted

    def get_tenant_of_user(self, user_id: str) -> Row:
        with self.lock:
            return self.tenants[self.people.roster.get_placement(self.get_user_index(user_id))[0]]  # type: ignore[index]

    def count_entities(self) -> dict[str, int]:
        return {
            "partners": len(self.partners),
            "tenants": len(self.tenants),
            "people": self.list_users(EVERYTHING, 0, 0)[1],
            "groups": self.list_groups(EVERYTHING, 0, 0)[1],
        }


def _find_by_slug(kind: str, rows: list[Row], slug: str) -> Row:
    for row in rows:
        if row["slug"] == slug:
            return row
    raise UnknownEntity(kind, slug)


def decode_row(text: str) -> Row:
    row: Row = msgspec.json.decode(text)
    return row


def _matches(row: Row, list_filter: ListFilter) -> bool:
    text = f"{row['name']} {row['slug']}".casefold()
    return (
        list_filter.kind in (None, row["status"]) and (list_filter.search or "").casefold() in text
    )


def _search_rows(rows: Iterator[str], search: str) -> Iterator[str]:
    search = search.casefold()
    fields = ("email", "first_name", "last_name", "display_name", "name")
    for row in rows:
        values = msgspec.json.decode(row)
        if any(search in str(values.get(field) or "").casefold() for field in fields):
            yield row


def _take_page(rows: Iterator[str], offset: int, limit: int) -> Rows:
    """Return one page of a stream and the length of the stream, storing only the page."""
    page, total = [], 0
    for row in rows:
        if offset <= total < offset + limit:
            page.append(row)
        total += 1
    return page, total

"""The directory for reading: partners and tenants are stored, people and groups computed.

Every list takes a `ListFilter` and returns (rows as JSON text, total). One lock guards everything:
the server handles requests in many threads, and a page must not contain half of a change.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import msgspec

from scaiwave.sandbox.data.groups import TYPE_BLOCK as GROUP_BLOCK
from scaiwave.sandbox.data.groups import Groups
from scaiwave.sandbox.data.ids import Ids, derive_key, scramble
from scaiwave.sandbox.data.names import build_partner_name, build_tenant_name
from scaiwave.sandbox.data.people import STATUS_BLOCK as PEOPLE_BLOCK
from scaiwave.sandbox.data.people import People
from scaiwave.sandbox.data.roster import Entities, IndexRange, MemberSequence, Row
from scaiwave.sandbox.errors import UnknownEntity

Rows = tuple[list[str], int]
Selection = list[tuple[str, str, MemberSequence]]
DELETED = "DELETED"
"""The status of a softly deleted entity. ScaiKey does not document it; it is an assumption."""
SEARCHED = ("email", "first_name", "last_name", "display_name", "name")
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
        self.partners: dict[Any, Row] = {}
        for index in range(partners):
            name, slug = build_partner_name(index)
            row = self._build_partner(index, name=name, slug=slug)
            self.partners[row["id"]] = row
        self.tenants: dict[Any, Row] = {}
        for index in range(tenants):
            row = self._build_seeded_tenant(index)
            self.tenants[row["id"]] = row
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
        self._computed: dict[str, Entities] = {"user": self.people, "group": self.groups}
        for tenant in self.tenants.values():
            self.people.add_tenant(tenant["id"], tenant["slug"])
        # Softly deleted entities by ID: not in any list, but still returned by ID.
        self.deleted: dict[str, Row] = {}
        self._selections: dict[tuple[int, ListFilter], tuple[Selection, int]] = {}

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
        tenant = self.get_by_id("tenant", tenant_id)
        nested = {name: tenant[name] for name in ("id", "name", "slug")}
        return f'"tenant":{msgspec.json.encode(nested).decode()}'

    def list_partners(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        return self._list_stored(list(self.partners.values()), list_filter, offset, limit)

    def list_tenants(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        admitted = [row for row in list(self.tenants.values()) if list_filter.admits(row)]
        return self._list_stored(admitted, list_filter, offset, limit)

    def _list_stored(
        self, rows: list[Row], list_filter: ListFilter, offset: int, limit: int
    ) -> Rows:
        search = (list_filter.search or "").casefold()
        with self.lock:
            matches = [
                msgspec.json.encode(row).decode()
                for row in rows
                if list_filter.kind in (None, row["status"])
                and search in f"{row['name']} {row['slug']}".casefold()
            ]
        return matches[offset : offset + limit], len(matches)

    def list_users(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        return self._list_computed(self.people, list_filter, offset, limit)

    def list_groups(self, list_filter: ListFilter, offset: int, limit: int) -> Rows:
        return self._list_computed(self.groups, list_filter, offset, limit)

    def _list_computed(
        self, entities: Entities, list_filter: ListFilter, offset: int, limit: int
    ) -> Rows:
        roster = entities.roster
        with self.lock:
            key = (id(roster), list_filter)
            if key not in self._selections:
                tenant_ids = [row["id"] for row in self.tenants.values() if list_filter.admits(row)]
                selection = roster.select_sequences(tenant_ids, list_filter.kind)
                self._selections[key] = selection, sum(len(members) for _, _, members in selection)
            selection, total = self._selections[key]
            if not list_filter.search:
                chunks = roster.split_into_chunks(selection, offset, limit)
                return entities.build_rows(chunks), total
            search, page, matches = list_filter.search.casefold(), [], 0
            for start in range(0, total, 1000):
                for row in entities.build_rows(roster.split_into_chunks(selection, start, 1000)):
                    values = msgspec.json.decode(row)
                    if any(search in str(values.get(name) or "").casefold() for name in SEARCHED):
                        if offset <= matches < offset + limit:
                            page.append(row)
                        matches += 1
            return page, matches

    def clear_cache(self) -> None:
        """Clear the cached selections. Call it after every change."""
        self._selections.clear()

    def list_members(self, group_id: str, offset: int, limit: int) -> Rows:
        with self.lock:
            index = self.locate("group", group_id)[0]
            nested, people, total = self.groups.list_members(index, offset, limit)
        rows = [f'{{"group_id":"{self.groups.ids.encode(child)}"}}' for child in nested]
        encode = self.people.ids.encode
        rows += [f'{{"user_id":"{encode(i)}","membership_type":"DIRECT"}}' for i in people]
        return rows, total

    def direct_members(self, group_id: str) -> tuple[list[Row], list[Row]]:
        """Return the rows of all member groups and of all people who are direct members."""
        with self.lock:
            index = self.locate("group", group_id)[0]
            total = self.groups.list_members(index, 0, 0)[2]
            nested, people, _ = self.groups.list_members(index, 0, total)
            group_rows = [decode_row(self.groups.build_row(child)) for child in nested]
            return group_rows, [decode_row(self.people.build_row(person)) for person in people]

    def locate(self, kind: str, entity_id: str) -> tuple[int, str, str]:
        """Return (index, tenant ID, status or type) of a person ("user") or group.

        Raises UnknownEntity, as do the other methods that take an ID.
        """
        place = self._computed[kind].find(entity_id)
        if place is None or place[1] not in self.tenants:
            raise UnknownEntity(kind, entity_id)
        return place

    def get(self, kind: str, entity_id: str) -> Row:
        """Return the row of a partner, tenant, person or group."""
        with self.lock:
            if kind in self._computed:
                return decode_row(self._computed[kind].build_row(self.locate(kind, entity_id)[0]))
            rows = self.partners if kind == "partner" else self.tenants
            if entity_id not in rows:
                raise UnknownEntity(kind, entity_id)
            return rows[entity_id]

    def get_by_slug(self, kind: str, slug: str) -> Row:
        """Return the row of a partner or tenant."""
        rows = self.partners if kind == "partner" else self.tenants
        for row in list(rows.values()):
            if row["slug"] == slug:
                return row
        raise UnknownEntity(kind, slug)

    def get_by_id(self, kind: str, entity_id: str) -> Row:
        """Return the row for GET by ID, even after a soft deletion of it or its tenant."""
        with self.lock:
            place = self._computed[kind].find(entity_id) if kind in self._computed else None
            if place is not None and place[1] in self.deleted:
                row = decode_row(self._computed[kind].build_row(place[0]))
                return {**row, "status": DELETED}
            return self.deleted.get(entity_id) or self.get(kind, entity_id)

    def get_tenant_of_user(self, user_id: str) -> Row:
        with self.lock:
            return self.tenants[self.locate("user", user_id)[1]]

    def count_entities(self) -> dict[str, int]:
        return {
            "partners": len(self.partners),
            "tenants": len(self.tenants),
            "people": self.list_users(EVERYTHING, 0, 0)[1],
            "groups": self.list_groups(EVERYTHING, 0, 0)[1],
        }


def decode_row(text: str) -> Row:
    row: Row = msgspec.json.decode(text)
    return row

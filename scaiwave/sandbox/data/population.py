"""What there is to list: partners and tenants held whole, people and groups computed.

Every list is asked with a `ListFilter` and comes back as (rows as JSON text, total). One lock
guards it all: the server answers in many threads, and a page must not see half of a change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from scaiwave.sandbox.data.groups import BLOCK as GROUP_BLOCK
from scaiwave.sandbox.data.groups import Groups
from scaiwave.sandbox.data.ids import Ids, derive_key, scramble
from scaiwave.sandbox.data.names import company, partner
from scaiwave.sandbox.data.people import BLOCK as PEOPLE_BLOCK
from scaiwave.sandbox.data.people import People
from scaiwave.sandbox.data.roster import IndexRange, MemberSequence, MembershipIndex
from scaiwave.sandbox.errors import UnknownEntity

Rows = tuple[list[str], int]
Row = dict[str, Any]
Selection = list[tuple[str, str, MemberSequence]]
# The status of a softly deleted entity. ScaiKey documents the deletion but not its form on the
# wire, so the word is an assumption.
DELETED = "DELETED"
# One tenant in sixteen is suspended: the eleventh, so that small directories have none.
SUSPENDED_TENANT, SUSPENDED_ROUND = 10, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class ListFilter:
    """Filters of a list, and what the caller may see; None leaves a filter out.

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
    """The directory for reading; `CentralDirectory` adds the changes."""

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
        self.partners = {row["id"]: row for row in map(self._seeded_partner, range(partners))}
        self.tenants = {row["id"]: row for row in map(self._seeded_tenant, range(tenants))}
        self.people = People(
            seed=seed,
            ranges=self._ranges(people, PEOPLE_BLOCK, power=1.1),
            tenant_members=self._tenant_members,
        )
        self.groups = Groups(
            seed=seed,
            ranges=self._ranges(groups, GROUP_BLOCK, power=0.5),
            people=self.people.roster,
        )
        for tenant in self.tenants.values():
            self.people.welcome(tenant["id"], tenant["slug"])
        # Softly deleted entities by id: absent from every list, still returned by id.
        self.deleted: dict[str, Row] = {}
        self._totals: dict[tuple[int, ListFilter], tuple[Selection, int]] = {}

    def _seeded_partner(self, index: int) -> Row:
        name, slug = partner(index)
        return self._partner_row(index, name=name, slug=slug)

    def _partner_row(self, index: int, *, name: str, slug: str) -> Row:
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

    def _seeded_tenant(self, index: int) -> Row:
        name, slug = company(index)
        partners = list(self.partners)
        # Every partner has a tenant before one gets a second.
        place = (
            index if index < len(partners) else scramble(index ^ derive_key(self.seed, "partner"))
        )
        owner = partners[place % len(partners)] if partners else None
        row = self._tenant_row(index, name=name, slug=slug, partner_id=owner)
        suspended = index % SUSPENDED_ROUND == SUSPENDED_TENANT
        return {**row, "status": "SUSPENDED"} if suspended else row

    def _tenant_row(self, index: int, *, name: str, slug: str, partner_id: str | None) -> Row:
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

    def _ranges(self, total: int, block: int, *, power: float) -> list[IndexRange]:
        """Shares that fall off by rank, as the sizes of companies do; the ranks are shuffled."""
        luck = derive_key(self.seed, "ranks")
        order = sorted(range(len(self.tenants)), key=lambda place: scramble(place ^ luck))
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
        """How a person's row names its tenant: flat, or nested when asked for."""
        if not self.nested_tenant:
            return f'"tenant_id":"{tenant_id}"'
        tenant = self.tenant_by_id(tenant_id)
        nested = {name: tenant[name] for name in ("id", "name", "slug")}
        return f'"tenant":{msgspec.json.encode(nested).decode()}'

    def partner_list(self, where: ListFilter, offset: int, limit: int) -> Rows:
        return self._plain_list(list(self.partners.values()), where, offset, limit)

    def tenant_list(self, where: ListFilter, offset: int, limit: int) -> Rows:
        admitted = [row for row in list(self.tenants.values()) if where.admits(row)]
        return self._plain_list(admitted, where, offset, limit)

    def _plain_list(self, rows: list[Row], where: ListFilter, offset: int, limit: int) -> Rows:
        with self.lock:
            found = [msgspec.json.encode(r).decode() for r in rows if _fits(r, where)]
        return found[offset : offset + limit], len(found)

    def user_list(self, where: ListFilter, offset: int, limit: int) -> Rows:
        return self._computed_list(self.people.roster, self._user_page, where, offset, limit)

    def group_list(self, where: ListFilter, offset: int, limit: int) -> Rows:
        return self._computed_list(self.groups.roster, self._group_page, where, offset, limit)

    def _user_page(self, selection: Selection, offset: int, limit: int) -> list[str]:
        return self.people.rows(self.people.roster.chunks(selection, offset, limit))

    def _group_page(self, selection: Selection, offset: int, limit: int) -> list[str]:
        return self.groups.rows(list(self.groups.roster.chunks(selection, offset, limit)))

    def _computed_list(
        self,
        roster: MembershipIndex,
        page: Callable[[Selection, int, int], list[str]],
        where: ListFilter,
        offset: int,
        limit: int,
    ) -> Rows:
        with self.lock:
            selection, total = self._select(roster, where)
            if not where.search:
                return page(selection, offset, limit), total
            steps = range(0, total, 1000)
            rows = (row for start in steps for row in page(selection, start, 1000))
            return _window(_matching(rows, where.search), offset, limit)

    def _select(self, roster: MembershipIndex, where: ListFilter) -> tuple[Selection, int]:
        """The line-ups that `where` admits, remembered until something changes."""
        key = (id(roster), where)
        if key not in self._totals:
            tenant_ids = [row["id"] for row in self.tenants.values() if where.admits(row)]
            selection = roster.select(tenant_ids, where.kind)
            self._totals[key] = (selection, sum(len(lineup) for _, _, lineup in selection))
        return self._totals[key]

    def changed(self) -> None:
        """Forget what was remembered; every change ends with this."""
        self._totals.clear()

    def member_list(self, group_id: str, offset: int, limit: int) -> Rows:
        with self.lock:
            index = self.group_index(group_id)
            nested, people, total = self.groups.members(index, offset, limit)
        rows = [f'{{"group_id":"{self.groups.ids.encode(child)}"}}' for child in nested]
        encode = self.people.ids.encode
        rows += [f'{{"user_id":"{encode(i)}","membership_type":"DIRECT"}}' for i in people]
        return rows, total

    def direct_members(self, group_id: str) -> tuple[list[Row], list[Row]]:
        """Return the rows of all member groups and of all people who are direct members."""
        with self.lock:
            index = self.group_index(group_id)
            total = self.groups.members(index, 0, 0)[2]
            nested, people, _ = self.groups.members(index, 0, total)
            group_rows = [decoded(self.groups.row(child)) for child in nested]
            return group_rows, [decoded(self.people.row(person)) for person in people]

    def partner(self, partner_id: str) -> Row:
        if partner_id not in self.partners:
            raise UnknownEntity("partner", partner_id)
        return self.partners[partner_id]

    def tenant(self, tenant_id: str) -> Row:
        if tenant_id not in self.tenants:
            raise UnknownEntity("tenant", tenant_id)
        return self.tenants[tenant_id]

    def partner_by_slug(self, slug: str) -> Row:
        return _by_slug("partner", list(self.partners.values()), slug)

    def tenant_by_slug(self, slug: str) -> Row:
        return _by_slug("tenant", list(self.tenants.values()), slug)

    def user_index(self, user_id: str) -> int:
        index = self.people.find(user_id)
        if index is None or self._tenant_of(self.people.roster, index) is None:
            raise UnknownEntity("user", user_id)
        return index

    def group_index(self, group_id: str) -> int:
        index = self.groups.find(group_id)
        if index is None or self._tenant_of(self.groups.roster, index) is None:
            raise UnknownEntity("group", group_id)
        return index

    def _tenant_of(self, roster: MembershipIndex, index: int) -> Row | None:
        place = roster.where(index)
        return self.tenants.get(place[0]) if place else None

    def user(self, user_id: str) -> Row:
        with self.lock:
            return decoded(self.people.row(self.user_index(user_id)))

    def group(self, group_id: str) -> Row:
        with self.lock:
            return decoded(self.groups.row(self.group_index(group_id)))

    def partner_by_id(self, partner_id: str) -> Row:
        """Return the row that GET by id answers: a softly deleted partner has one as well."""
        return self.deleted.get(partner_id) or self.partner(partner_id)

    def tenant_by_id(self, tenant_id: str) -> Row:
        """Return the row that GET by id answers: a softly deleted tenant has one as well."""
        return self.deleted.get(tenant_id) or self.tenant(tenant_id)

    def user_by_id(self, user_id: str) -> Row:
        """Return the row that GET by id answers, also for a person of a softly deleted tenant."""
        with self.lock:
            index = self.people.find(user_id)
            if index is not None and self._tenant_is_deleted(self.people.roster, index):
                return {**decoded(self.people.row(index)), "status": DELETED}
            return self.deleted.get(user_id) or self.user(user_id)

    def group_by_id(self, group_id: str) -> Row:
        """Return the row that GET by id answers, also for a group of a softly deleted tenant."""
        with self.lock:
            index = self.groups.find(group_id)
            if index is not None and self._tenant_is_deleted(self.groups.roster, index):
                return {**decoded(self.groups.row(index)), "status": DELETED}
            return self.deleted.get(group_id) or self.group(group_id)

    def _tenant_is_deleted(self, roster: MembershipIndex, index: int) -> bool:
        place = roster.where(index)
        return place is not None and place[0] in self.deleted

    def tenant_of_user(self, user_id: str) -> Row:
        with self.lock:
            return self.tenants[self.people.roster.where(self.user_index(user_id))[0]]  # type: ignore[index]

    def totals(self) -> dict[str, int]:
        return {
            "partners": len(self.partners),
            "tenants": len(self.tenants),
            "people": self.user_list(EVERYTHING, 0, 0)[1],
            "groups": self.group_list(EVERYTHING, 0, 0)[1],
        }


def _by_slug(kind: str, rows: list[Row], slug: str) -> Row:
    for row in rows:
        if row["slug"] == slug:
            return row
    raise UnknownEntity(kind, slug)


def decoded(text: str) -> Row:
    row: Row = msgspec.json.decode(text)
    return row


def _fits(row: Row, where: ListFilter) -> bool:
    text = f"{row['name']} {row['slug']}".casefold()
    return where.kind in (None, row["status"]) and (where.search or "").casefold() in text


def _matching(rows: Iterator[str], search: str) -> Iterator[str]:
    wanted = search.casefold()
    fields = ("email", "first_name", "last_name", "display_name", "name")
    for row in rows:
        values = msgspec.json.decode(row)
        if any(wanted in str(values.get(field) or "").casefold() for field in fields):
            yield row


def _window(rows: Iterator[str], offset: int, limit: int) -> Rows:
    """A page out of a stream, counting all of it and keeping no more than the page."""
    kept, seen = [], 0
    for row in rows:
        if offset <= seen < offset + limit:
            kept.append(row)
        seen += 1
    return kept, seen

"""Read the planned changes with their values before and after, in batches.

The values are in the rows of the database and in the staged records, so this must be done before
the plan is applied. Nothing is read of a run without changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

from identity_sync.encoding import FieldValue
from identity_sync.models import PRESENT_FIELDS
from identity_sync.reasons import Reason, format_reason
from identity_sync.report import KINDS
from identity_sync.sync.fetch.kinds import ENTITY_OF_KIND, PARTICIPANTS, TENANTS, EntitySync
from identity_sync.sync.plan.slugs import FREED_SLUG
from identity_sync.sync.staging import BATCH, index_filled, index_plan_rows
from scaiwave.core.sql import batched, fetch, fetch_number, to_uuid, uuid_param
from tenants.models.directory import ACTIVE_STATUSES

FieldValues = dict[str, tuple[FieldValue, FieldValue]]
"""The values of fields, by name: before and after."""

ROLES = "roles"


@dataclass(frozen=True)
class PlannedChange:
    """A row of the plan. `values` has the fields that change, and is empty for skipped rows.

    `tenant` is the slug of its tenant, None for partners; `has_tenant` is whether that has a row.
    `is_removal` is set by `list_first_changes` only.
    """

    kind: str
    action: str
    subject_id: UUID
    tenant_id: UUID | None
    tenant: str | None
    has_tenant: bool
    subject_scaikey_id: str
    subject_name: str
    fields: tuple[str, ...]
    reason_code: str
    detail: str
    values: FieldValues = field(default_factory=dict)
    is_removal: bool = False

    @property
    def reason(self) -> str:
        return format_reason(self.reason_code, self.detail)


# The first run of a tenant is recorded as counts only: everyone in it is new.
_NOT_FIRST = """
    (d.kind IN ('partners', 'tenants')
     OR d.tenant_id NOT IN (SELECT tenant_id FROM tenant_map WHERE is_first = 1))
"""


def iter_recorded_changes() -> Iterator[list[PlannedChange]]:
    """Yield the plan in batches, kind by kind, with skipped rows but without first runs."""
    for kind in KINDS:
        yield from _iter_kind(kind, _NOT_FIRST, [])


def iter_all_changes() -> Iterator[PlannedChange]:
    """Yield the whole plan: partners, then tenant by tenant and kind by kind."""
    index_filled("sync_plan", "tenant_id", "kind", "row_id", "action")
    index_filled("new_edges", "tenant_id", "row_id")
    sections = fetch(
        f"""
        SELECT d.tenant_id, d.kind, {_SLUG}
        FROM (SELECT tenant_id, kind FROM sync_plan
              UNION SELECT tenant_id, 'memberships' FROM new_edges) AS d {_TENANT}
        """
    )
    sections.sort(key=lambda row: (row[2] or "", KINDS.index(row[1])))
    for tenant_id, kind, _ in sections:
        where, params = "d.tenant_id IS NULL", []
        if tenant_id is not None:
            where, params = "d.tenant_id = %s", [uuid_param(str(tenant_id))]
        yield from chain.from_iterable(_iter_kind(kind, where, params))


# The tenant of a change: a new one has no row before the plan is applied.
_SLUG = "COALESCE(own_t.slug, own_s_t.slug)"
_TENANT = """
    LEFT JOIN sw_tenants own_t ON own_t.id = d.tenant_id
    LEFT JOIN stage_tenants own_s_t ON own_t.id IS NULL AND own_s_t.new_id = d.tenant_id
"""

# A loss of access of the row itself, or of a role; then skipped rows; then everything else.
_RANK = """
    CASE WHEN d.action IN ('deactivate', 'move')
           OR EXISTS (SELECT 1 FROM losses lo WHERE lo.row_id = d.row_id)
           OR EXISTS (SELECT 1 FROM role_plan rp
                      WHERE rp.participant_id = d.row_id AND rp.action = 'revoke')
         THEN 0 WHEN d.action = 'skipped' THEN 1 ELSE 2 END
"""


def list_first_changes(limit: int) -> list[PlannedChange]:
    """Return up to `limit` changes of each kind, the removals of all kinds first."""
    index_filled("role_plan", "participant_id")
    index_filled("stage_tenants", "new_id")
    ranked: list[tuple[int, PlannedChange]] = []
    for kind in KINDS:
        # Chosen before anything is joined: the plan may have a million rows.
        first = (
            f"(SELECT d.*, {_RANK} AS rank FROM sync_plan d WHERE d.kind = %s "
            "ORDER BY rank, row_id, action LIMIT %s)"
        )
        sql = _build_sql(ENTITY_OF_KIND.get(kind), first, more=", d.rank")
        rows = fetch(sql, [kind, limit])
        changes = _build_changes(kind, [row[:-1] for row in rows])
        ranked += zip((row[-1] for row in rows), changes, strict=True)
        if kind == "memberships" and len(rows) < limit:
            first = "(SELECT ne.* FROM new_edges ne ORDER BY ne.row_id LIMIT %s)"
            edges = fetch(_NEW_EDGES.format(source=first), [limit - len(rows)])
            ranked += ((2, change) for change in _build_changes(kind, edges))
    ranked.sort(key=lambda each: each[0])  # keeps the order of the kinds
    return [replace(change, is_removal=rank == 0) for rank, change in ranked]


def _iter_kind(kind: str, where: str, params: list[str]) -> Iterator[list[PlannedChange]]:
    index_filled("stage_tenants", "new_id")
    changes = f"{_build_sql(ENTITY_OF_KIND.get(kind))} WHERE d.kind = %s AND {where}"
    # Without an index each batch would sort the whole plan.
    yield from _iter_batches(changes, kind, [kind, *params], ("row_id", "action"), index_plan_rows)
    if kind == "memberships":
        source = "(SELECT ne.*, 'memberships' AS kind FROM new_edges ne)"
        edges = f"{_NEW_EDGES.format(source=source)} WHERE {where}"
        index = partial(index_filled, "new_edges", "row_id")
        yield from _iter_batches(edges, kind, params, ("row_id",), index)


def _iter_batches(
    sql: str, kind: str, params: list[str], columns: tuple[str, ...], index: Callable[[], None]
) -> Iterator[list[PlannedChange]]:
    """Yield the changes of a query in the order of these columns, with an index from the second
    batch on."""
    key, marks = ", ".join(f"d.{name}" for name in columns), ", ".join("%s" for _ in columns)
    sql = f"{sql} AND ({key}) > ({marks}) ORDER BY {key} LIMIT %s"
    last = (uuid_param(UUID(int=0)), "")
    while rows := fetch(sql, [*params, *last[: len(columns)], BATCH]):
        yield _build_changes(kind, rows)
        if len(rows) < BATCH:
            return
        index()
        last = (uuid_param(to_uuid(rows[-1][0])), rows[-1][2])


_COLUMNS = (
    f"SELECT d.row_id, d.tenant_id, d.action, {_SLUG}, own_t.id IS NOT NULL, d.scaikey_id, d.name, "
    "d.fields, d.reason, d.detail"
)
_COLUMN_COUNT = 10

_MEMBERSHIPS = f"""
    {{columns}}, COALESCE(g.name, s_g.name){{more}}
    FROM {{source}} AS d {_TENANT}
    LEFT JOIN sw_group_memberships e ON e.id = d.row_id
    LEFT JOIN sw_groups g ON g.id = COALESCE(e.group_id, d.group_id)
    LEFT JOIN stage_memberships s_e ON s_e.n = d.n
    LEFT JOIN stage_groups s_g ON g.id IS NULL AND s_g.scaikey_id = s_e.group_scaikey_id
"""

_NEW_EDGES = f"""
    SELECT d.row_id, d.tenant_id, 'add', {_SLUG}, own_t.id IS NOT NULL,
           s_e.group_scaikey_id || ' ' || s_e.member_scaikey_id,
           COALESCE(p.display_name, s_p.display_name, member_g.name, member_s_g.name), '',
           '{Reason.MEMBER_ADDED}', '',
           COALESCE(g.name, s_g.name)
    FROM {{source}} AS d {_TENANT}
    JOIN stage_memberships s_e ON s_e.n = d.n
    LEFT JOIN sw_groups g ON g.id = d.group_id
    LEFT JOIN stage_groups s_g ON s_g.scaikey_id = s_e.group_scaikey_id
    LEFT JOIN sw_participants p ON p.id = d.member_id
    LEFT JOIN stage_participants s_p ON s_e.is_group = 0 AND s_p.scaikey_id = s_e.member_scaikey_id
    LEFT JOIN sw_groups member_g ON member_g.id = d.member_id
    LEFT JOIN stage_groups member_s_g
      ON s_e.is_group = 1 AND member_s_g.scaikey_id = s_e.member_scaikey_id
"""

# Where a person or group moves to: a tenant of this server, or one that only ScaiKey has.
_NEW_TENANT = """
    (SELECT COALESCE(t.slug, s_t.slug, s.tenant_scaikey_id) FROM {staged} s
     LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s.tenant_scaikey_id
     LEFT JOIN stage_tenants s_t ON s_t.scaikey_id = s.tenant_scaikey_id
     WHERE d.action = 'move' AND s.scaikey_id = d.scaikey_id)
"""
_NEW_PARTNER = """
    COALESCE((SELECT pr.slug FROM sw_partners pr WHERE pr.id = s.partner_id),
             (SELECT s_pr.slug FROM stage_partners s_pr WHERE s_pr.new_id = s.partner_id))
"""


def _build_sql(entity: EntitySync | None, source: str = "sync_plan", more: str = "") -> str:
    """Build the query of changes for `_build_change`; `more` are columns that follow."""
    if entity is None:  # memberships
        return _MEMBERSHIPS.format(columns=_COLUMNS, source=source, more=more)
    old = [f"p.{column}" for column in entity.columns]
    new = [f"s.{column}" for column in entity.columns]
    if "partner_id" in entity.columns:
        place = entity.columns.index("partner_id")
        old[place] = "(SELECT pr.slug FROM sw_partners pr WHERE pr.id = p.partner_id)"
        new[place] = _NEW_PARTNER
    if entity is TENANTS:
        new[entity.columns.index("slug")] = f"COALESCE(s.slug, {FREED_SLUG.format('p')})"
    status = ("p.suspended_by_hand_at", "p.absent_since", "p.scaikey_status")
    moved = ("NULL", "NULL")
    if not entity.has_status:
        status = ("NULL", "p.absent_since", "''")
    if entity.in_tenant:
        moved = (
            "(SELECT t.slug FROM sw_tenants t WHERE t.id = d.tenant_id)",
            _NEW_TENANT.format(staged=entity.staging_table),
        )
    return f"""
        {_COLUMNS}, {", ".join((*status, *moved, *old, *new))}{more}
        FROM {source} AS d {_TENANT}
        LEFT JOIN {entity.table} p ON p.id = d.row_id
        LEFT JOIN {entity.staging_table} s ON s.n = d.n
    """


def _build_changes(kind: str, rows: list[tuple[Any, ...]]) -> list[PlannedChange]:
    changes = [_build_change(kind, row) for row in rows]
    if kind == PARTICIPANTS.kind:
        _add_roles(changes)
    return changes


def _build_change(kind: str, row: tuple[Any, ...]) -> PlannedChange:
    row_id, tenant_id, action, tenant, has_tenant, *named = row[:_COLUMN_COUNT]
    scaikey_id, name, fields, reason, detail = named
    names = tuple(PRESENT_FIELDS.get(name, name) for name in (fields or "").split(",") if name)
    values: FieldValues = {}
    if action != "skipped":
        rest = row[_COLUMN_COUNT:]
        if (entity := ENTITY_OF_KIND.get(kind)) is None:
            values = {"group": (rest[0], None) if action == "deactivate" else (None, rest[0])}
        else:
            values = _compare(entity, action, names, rest)
    return PlannedChange(
        kind=kind,
        action=action,
        subject_id=to_uuid(row_id),
        tenant_id=None if tenant_id is None else to_uuid(tenant_id),
        tenant=tenant,
        has_tenant=bool(has_tenant),
        subject_scaikey_id=scaikey_id,
        subject_name=name or "",
        fields=names,
        reason_code=reason,
        detail=detail or "",
        values=values,
    )


def _compare(
    entity: EntitySync, action: str, names: Sequence[str], row: tuple[Any, ...]
) -> FieldValues:
    suspended, absent, scaikey_status, old_tenant, new_tenant, *columns = row
    fields = [PRESENT_FIELDS.get(column, column) for column in entity.columns]
    old = dict(zip(fields, columns, strict=False))
    new = dict(zip(fields, columns[len(fields) :], strict=True))
    if action == "add":
        return {name: (None, value) for name, value in new.items() if value not in (None, "")}
    values: FieldValues = {name: (old[name], new[name]) for name in names if name in old}
    status = _describe_status(suspended, absent, scaikey_status)
    if action in ("deactivate", "move"):
        after = "suspended" if suspended is not None else "deactivated"
        values["status"] = (status, after)
    if action == "move":
        values["tenant"] = (old_tenant, new_tenant)
    if action == "restore":
        new_status = new.get("scaikey_status") or scaikey_status
        values["status"] = (status, _describe_status(suspended, None, new_status))
    return values


def _describe_status(suspended: object, absent: object, scaikey_status: str) -> str:
    """Return the status as `StatusFields.status` does."""
    if suspended is None and absent is not None:
        return "deactivated"
    is_active = suspended is None and scaikey_status in ACTIVE_STATUSES
    return "active" if is_active else "suspended"


_OLD_ROLES = """
    SELECT gr.participant_id, ro.slug FROM sw_role_grants gr JOIN sw_roles ro ON ro.id = gr.role_id
    WHERE gr.source = 'scaikey' AND gr.participant_id IN ({marks})
"""
_REVOKED_ROLES = """
    SELECT rp.participant_id, ro.slug FROM role_plan rp
    JOIN sw_role_grants gr ON gr.id = rp.grant_id JOIN sw_roles ro ON ro.id = gr.role_id
    WHERE rp.action = 'revoke' AND rp.participant_id IN ({marks})
"""
_GRANTED_ROLES = """
    SELECT rp.participant_id, s_ro.slug FROM role_plan rp JOIN stage_roles s_ro ON s_ro.n = rp.n
    WHERE rp.action = 'grant' AND rp.participant_id IN ({marks})
"""


def _add_roles(changes: list[PlannedChange]) -> None:
    """Add the roles from ScaiKey to the values of the people whose roles change, in the list."""
    people = {
        change.subject_id: change
        for change in changes
        if change.action == "add" or ROLES in change.fields
    }
    if not people or not fetch_number("SELECT EXISTS (SELECT 1 FROM role_plan)"):
        return
    index_filled("role_plan", "participant_id")
    for batch in batched(people):
        old, revoked, granted = (
            _load_roles(sql, batch) for sql in (_OLD_ROLES, _REVOKED_ROLES, _GRANTED_ROLES)
        )
        for row_id in batch:
            before = sorted(old[row_id])
            after = sorted((old[row_id] - revoked[row_id]) | granted[row_id])
            if before != after:
                is_new = people[row_id].action == "add"
                people[row_id].values[ROLES] = (None if is_new else before, after)


def _load_roles(sql: str, people: list[UUID]) -> defaultdict[UUID, set[str]]:
    roles: defaultdict[UUID, set[str]] = defaultdict(set)
    marks = ", ".join(["%s"] * len(people))
    for person, slug in fetch(sql.format(marks=marks), [uuid_param(key) for key in people]):
        roles[to_uuid(person)].add(slug)
    return roles

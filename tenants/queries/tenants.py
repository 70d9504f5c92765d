"""List tenants and show one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from scaiwave.auth.operators import Operator, Permission
from scaiwave.registry import get_tenant_columns
from tenants.models import ACTIVE, AuditEntry, Group, Participant, Tenant
from tenants.queries.resolve import resolve_partner, resolve_tenant
from tenants.queries.serializers import Row, last_audit_entries, partner_row, tenant_row
from tenants.queries.sorting import parse_sort, sort_rows
from tenants.queries.status_filters import MEMBERS, status_q
from tenants.queries.usage import NO_USAGE, token_columns
from tenants.queries.visibility import visible_tenants

# The values of --sort, and the column that each selects.
SORT_KEYS = {
    "slug": "slug",
    "name": "name",
    "status": "status",
    "partner": "partner",
    "members": "members",
    "rooms": "rooms",
    "storage": "storage_bytes",
    "tokens": "ai_tokens_month",
}
# Columns that other apps register. The value is None if the app is not installed.
REGISTERED_COLUMNS = ("rooms", "storage_bytes")


def list_tenants(
    *,
    operator: Operator,
    now: datetime,
    status: str = "all",
    partner: str | None = None,
    sort: str = "slug",
    reverse: bool = False,
) -> list[Row]:
    """Return the tenants within the operator's scope, with figures, in a fixed number of queries.

    A minus before the sort column reverses the order, as `reverse` does. Unknown values come last
    in both orders.
    """
    operator.require(Permission.VIEW)
    key, is_descending = parse_sort(sort, SORT_KEYS, example="members")
    tenants = visible_tenants(operator).filter(status_q(status))
    if partner is not None:
        tenants = tenants.filter(partner=resolve_partner(operator, partner))
    rows = sorted(_build_rows(tenants, now), key=lambda row: str(row["slug"]))
    return sort_rows(rows, key, reverse=is_descending != reverse)


def usage_month(now: datetime) -> date:
    """Return the first day of the UTC month. AI tokens are accounted by month.

    assumption: that the platform's month to date is the calendar month in UTC.
    """
    return now.astimezone(UTC).date().replace(day=1)


def load_registered_columns(tenant_ids: list[UUID]) -> dict[UUID, Row]:
    """Return the columns that other apps register; every column for every tenant."""
    columns = get_tenant_columns(tenant_ids)
    names = dict.fromkeys((*REGISTERED_COLUMNS, *columns))
    return {
        tenant_id: {name: columns.get(name, {}).get(tenant_id) for name in names}
        for tenant_id in tenant_ids
    }


def _build_rows(tenants: QuerySet[Tenant], now: datetime) -> list[Row]:
    members = _count_members(tenants)
    usage = token_columns(tenants, usage_month(now))
    rows = [tenant_row(tenant) for tenant in tenants.select_related("partner")]
    registered = load_registered_columns([row["id"] for row in rows])
    for row in rows:
        row["members"] = members.get(row["id"], 0)
        row.update(registered[row["id"]])
        row.update(usage.get(row["id"], NO_USAGE))
    return rows


def _count_members(tenants: QuerySet[Tenant]) -> dict[UUID, int]:
    people = Participant.objects.filter(MEMBERS, tenant__in=tenants)
    return dict(people.values_list("tenant_id").annotate(Count("pk")))


MIB = 1024 * 1024


def show_tenant(*, operator: Operator, name: str, now: datetime) -> Row:
    """Return everything about one tenant. Raises `TenantNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW)
    tenant = resolve_tenant(operator, name)
    participants = _count_participants(tenant)
    registered = load_registered_columns([tenant.pk])[tenant.pk]
    tenants = Tenant.objects.filter(pk=tenant.pk)
    usage = token_columns(tenants, usage_month(now)).get(tenant.pk, NO_USAGE)
    used = {**registered, **usage}
    return {
        **tenant_row(tenant),
        "partner": _build_partner(tenant),
        "members": Participant.objects.filter(MEMBERS, tenant=tenant).count(),
        **used,
        "limits": _build_limits(tenant, used, active=sum(row["active"] for row in participants)),
        "features": tenant.features,
        "participants": participants,
        "groups": _count_groups(tenant),
        "audit": last_audit_entries(AuditEntry.objects.filter(tenant_id=str(tenant.pk))),
    }


def _build_partner(tenant: Tenant) -> Row | None:
    if tenant.partner is None:
        return None
    row = partner_row(tenant.partner)
    return {key: row[key] for key in ("id", "slug", "name", "status", "reason", "scaikey_id")}


def _count_participants(tenant: Tenant) -> list[Row]:
    """Count participants by type and status. Types without participants are left out."""
    by_type = Participant.objects.filter(tenant=tenant).values("participant_type")
    counts = by_type.annotate(
        active=Count("pk", filter=ACTIVE),
        suspended=Count("pk", filter=status_q("suspended")),
        absent=Count("pk", filter=status_q("absent")),
    )
    return [
        {
            "type": row["participant_type"],
            "active": row["active"],
            "suspended": row["suspended"],
            "absent": row["absent"],
        }
        for row in counts.order_by("participant_type")
    ]


def _count_groups(tenant: Tenant) -> Row:
    return Group.objects.filter(tenant=tenant).aggregate(
        active=Count("pk", filter=Q(absent_since=None)),
        absent=Count("pk", filter=Q(absent_since__isnull=False)),
    )


def _build_limits(tenant: Tenant, used: Row, *, active: int) -> Row:
    """Return usage and limits. A usage of None is unknown, a limit of None means unlimited.

    assumption: the limit of participants counts the active ones of every type.
    """
    storage = tenant.max_storage_mb
    limits = {
        "participants": (active, tenant.max_participants),
        "rooms": (used["rooms"], tenant.max_rooms),
        "storage_bytes": (used["storage_bytes"], None if storage is None else storage * MIB),
        "ai_tokens_month": (used["ai_tokens_month"], tenant.max_ai_tokens_month),
    }
    return {name: {"used": used, "limit": limit} for name, (used, limit) in limits.items()}

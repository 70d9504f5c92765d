"""List tenants and show one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Lower

from scaiwave import extensions
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from scaiwave.core.sql import batched, fetch, to_uuid
from scaiwave.extensions import TENANT_TOTALS
from tenants.lookup.resolve import resolve_partner, resolve_tenant
from tenants.lookup.serializers import Row, last_audit_entries, tenant_row
from tenants.lookup.sorting import SortKey, parse_sort, sort_ids, sort_rows
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.lookup.visibility import visible_tenants
from tenants.models import ACTIVE, AuditEntry, Group, Participant, Tenant
from tenants.people.queries.limits import LIMITS
from tenants.people.queries.token_usage import NO_USAGE, token_columns

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
BATCH_SIZE = 500
PERCENTS = {limit.key: limit.percent for limit in LIMITS}
"""The column with the used percentage of each limit."""
NEAR_LIMIT_PERCENT = 80
NO_LIMITS = Q(**{limit.field: None for limit in LIMITS})
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
    near_limit: bool = False,
    limit: int | None = None,
) -> Page:
    """Return the tenants within the operator's scope, with figures.

    With `near_limit`, return only tenants that use at least 80% of a limit.
    Yields one row at a time, in a fixed number of queries for each batch, and keeps at most the
    values to sort by in memory. Errors are raised at once. A minus before the sort column reverses
    the order, as `reverse` does. Unknown values come last in both orders.
    """
    operator.require(Permission.VIEW)
    key, is_descending = parse_sort(sort, SORT_KEYS, example="members")
    tenants = visible_tenants(operator).filter(status_q(status))
    if partner is not None:
        tenants = tenants.filter(partner=resolve_partner(operator, partner))
    reverse = is_descending != reverse
    if near_limit:  # Usage decides, which the database can't limit.
        rows = _sort_tenants(tenants.exclude(NO_LIMITS), key, now, reverse=reverse)
        return Page(islice(filter(_is_near_limit, rows), limit))
    return Page(_sort_tenants(tenants, key, now, reverse=reverse, limit=limit), count=tenants.count)


def _sort_tenants(
    tenants: QuerySet[Tenant],
    key: str,
    now: datetime,
    *,
    reverse: bool = False,
    limit: int | None = None,
) -> Generator[Row, None, None]:
    if key == "slug":
        keys = [SortKey(Lower("slug"), is_descending=reverse), SortKey(F("slug"))]
        ids = sort_rows(tenants, keys).values_list("pk", flat=True)[:limit]
        return _iter_rows(ids.iterator(chunk_size=BATCH_SIZE), now)
    if key == "members":
        members = _sort_by_members(tenants, reverse=reverse, limit=limit)
        return _iter_rows(members, now, members)
    slugs = dict(tenants.values_list("pk", "slug"))
    tenant_ids = sorted(slugs, key=slugs.__getitem__)
    values = dict.fromkeys(tenant_ids) | _get_column(tenants, key, tenant_ids, now)
    return _iter_rows(sort_ids(values, reverse=reverse)[:limit], now)


def _sort_by_members(
    tenants: QuerySet[Tenant], *, reverse: bool, limit: int | None
) -> dict[UUID, int]:
    """Return the members of the first tenants; those with as many are in the order of their slugs.

    The members of all are counted in one pass, which Django can't join. A subquery for each tenant
    takes PostgreSQL twice as long.
    """
    all_tenants, params = tenants.values("pk", "slug").query.sql_with_params()
    people = Participant.objects.filter(MEMBERS).values("tenant_id")
    if tenants.query.where:  # For all tenants, comparing each takes a third of the time.
        people = people.filter(tenant__in=tenants)
    members, more_params = people.annotate(number=Count("*")).query.sql_with_params()
    rows = fetch(
        f"""
        SELECT t.pk, COALESCE(m.number, 0)
        FROM ({all_tenants}) t LEFT JOIN ({members}) m ON m.tenant_id = t.pk
        ORDER BY 2 {"DESC" if reverse else "ASC"}, t.slug, t.pk
        {"" if limit is None else f"LIMIT {limit:d}"}
        """,  # noqa: S608 - Django's SQL with its parameters
        [*params, *more_params],
    )
    return {to_uuid(key): number for key, number in rows}


def _get_column(
    tenants: QuerySet[Tenant], key: str, ids: list[UUID], now: datetime
) -> dict[UUID, Any]:
    if key == "name":
        return dict(tenants.values_list("pk", key))
    if key == "ai_tokens_month":
        usage = token_columns(tenants, usage_month(now))
        return {tenant_id: columns[key] for tenant_id, columns in usage.items()}
    if key in REGISTERED_COLUMNS:
        return {tenant_id: row[key] for tenant_id, row in load_registered_columns(ids).items()}
    # The status and the name of the partner are properties of the models.
    rows = tenants.select_related("partner").iterator(chunk_size=BATCH_SIZE)
    return {
        tenant.pk: tenant.status if key == "status" else str(tenant.partner or "")
        for tenant in rows
    }


def usage_month(now: datetime) -> date:
    """Return the first day of the UTC month. AI tokens are accounted by month.

    assumption: that the platform's month to date is the calendar month in UTC.
    """
    return now.astimezone(UTC).date().replace(day=1)


def load_registered_columns(tenant_ids: list[UUID]) -> dict[UUID, Row]:
    """Return the columns of other apps; every column for every tenant."""
    columns = {name: column.load()(tenant_ids) for name, column in TENANT_TOTALS.items()}
    names = dict.fromkeys((*REGISTERED_COLUMNS, *columns))
    return {
        tenant_id: {name: columns.get(name, {}).get(tenant_id) for name in names}
        for tenant_id in tenant_ids
    }


def _iter_rows(
    ids: Iterable[UUID], now: datetime, known_members: Mapping[UUID, int] | None = None
) -> Generator[Row, None, None]:
    for batch in batched(ids, BATCH_SIZE):
        tenants = Tenant.objects.filter(pk__in=batch)
        by_id = tenants.select_related("partner").in_bulk()
        members = count_members(tenants) if known_members is None else known_members
        capped = [key for key, tenant in by_id.items() if tenant.max_participants is not None]
        people = Participant.objects.filter(ACTIVE, tenant__in=capped)
        active = dict(people.values_list("tenant_id").annotate(number=Count("*")))
        usage = token_columns(tenants, usage_month(now))
        registered = load_registered_columns(batch)
        for tenant_id in filter(by_id.__contains__, batch):
            used = {**registered[tenant_id], **usage.get(tenant_id, NO_USAGE)}
            limits = _build_limits(by_id[tenant_id], used, active=active.get(tenant_id, 0))
            yield {
                **tenant_row(by_id[tenant_id]),
                "members": members.get(tenant_id, 0),
                **used,
                **{column: _get_percent(**limits[name]) for name, column in PERCENTS.items()},
            }


def _get_percent(used: int | None, limit: int | None) -> int | None:
    """Return the used percentage of a limit, rounded down, but more than 100 above the limit."""
    if used is None or limit is None:
        return None
    return max(used * 100 // (limit or 1), 101 if used > limit else 0)


def find_near_limits(now: datetime) -> Iterator[Row]:
    """Return the tenants that use at least 80% of a limit, by slug."""
    limited = Tenant.objects.exclude(NO_LIMITS)
    return filter(_is_near_limit, _sort_tenants(limited, "slug", now))


def _is_near_limit(row: Row) -> bool:
    return any((row[name] or 0) >= NEAR_LIMIT_PERCENT for name in PERCENTS.values())


def count_members(tenants: QuerySet[Tenant]) -> dict[UUID, int]:
    people = Participant.objects.filter(MEMBERS, tenant__in=tenants)
    return dict(people.values_list("tenant_id").annotate(number=Count("*")))


def show_tenant(*, operator: Operator, name: str, now: datetime) -> Row:
    """Return everything about one tenant. Raises `TenantNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW)
    tenant = resolve_tenant(operator, name)
    # By type and status; types without participants are left out.
    by_type = Participant.objects.filter(tenant=tenant).values(type=F("participant_type"))
    counts = by_type.annotate(
        active=Count("pk", filter=ACTIVE),
        suspended=Count("pk", filter=status_q("suspended")),
        deactivated=Count("pk", filter=status_q("deactivated")),
    )
    participants: list[Row] = [dict(row) for row in counts.order_by("type")]
    registered = load_registered_columns([tenant.pk])[tenant.pk]
    tenants = Tenant.objects.filter(pk=tenant.pk)
    usage = token_columns(tenants, usage_month(now)).get(tenant.pk, NO_USAGE)
    used = {**registered, **usage}
    return {
        **tenant_row(tenant),
        "partner_status": tenant.partner.status if tenant.partner else None,
        "partner_reason": tenant.partner.inactive_reason if tenant.partner else None,
        "members": Participant.objects.filter(MEMBERS, tenant=tenant).count(),
        **used,
        "limits": _build_limits(tenant, used, active=sum(row["active"] for row in participants)),
        "features": tenant.features,
        "sync_removals": tenant.sync_removals,
        "pending_removals": extensions.TENANT_REMOVALS.load()(tenant.pk),
        "participants": participants,
        "groups": Group.objects.filter(tenant=tenant).aggregate(
            active=Count("pk", filter=Q(absent_since=None)),
            deactivated=Count("pk", filter=Q(absent_since__isnull=False)),
        ),
        "audit_entries": last_audit_entries(AuditEntry.objects.filter(tenant_id=str(tenant.pk))),
    }


def _build_limits(tenant: Tenant, used: Row, *, active: int) -> Row:
    """Return usage and limits. A usage of None is unknown, a limit of None means unlimited.

    assumption: the limit of participants counts the active ones of every type.
    """
    used = {**used, "participants": active}
    return {each.key: {"used": used[each.key], "limit": each.get(tenant)} for each in LIMITS}

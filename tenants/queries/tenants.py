from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

from django.db.models import Count, QuerySet

from scaiwave.auth.operators import Operator, Permission
from scaiwave.registry import tenant_columns
from tenants.models import Participant, Tenant
from tenants.queries.resolve import resolve_partner
from tenants.queries.serializers import Row, tenant_row
from tenants.queries.sorting import parse_sort, sort_rows
from tenants.queries.status_filters import MEMBERS, status_q
from tenants.queries.usage import NO_USAGE, token_columns
from tenants.queries.visibility import visible_tenants

# What may be typed after --sort, and the key it means.
SORTABLE = {
    "slug": "slug",
    "name": "name",
    "status": "status",
    "partner": "partner",
    "members": "members",
    "rooms": "rooms",
    "storage": "storage_bytes",
    "tokens": "ai_tokens_month",
}
# What upper applications tell, if they are there: None is unknown.
PROVIDED = ("rooms", "storage_bytes")


def list_tenants(
    *,
    operator: Operator,
    now: datetime,
    status: str = "all",
    partner: str | None = None,
    sort: str = "slug",
    reverse: bool = False,
) -> list[Row]:
    """The tenants the operator may see, with figures, in as many queries for 3 as for 3,000.

    A minus before the column to sort by turns the order round, as `reverse` does; what is
    unknown comes last either way.
    """
    operator.require(Permission.VIEW)
    key, backwards = parse_sort(sort, SORTABLE, example="members")
    tenants = visible_tenants(operator).filter(status_q(status))
    if partner is not None:
        tenants = tenants.filter(partner=resolve_partner(operator, partner))
    rows = sorted(_with_figures(tenants, now), key=lambda row: str(row["slug"]))
    return sort_rows(rows, key, reverse=backwards != reverse)


def month_of(now: datetime) -> date:
    """The first day of the UTC month, by which AI tokens are accounted.

    assumption: that the platform's month to date is the calendar month in UTC.
    """
    return now.astimezone(UTC).date().replace(day=1)


def provided_columns(tenant_ids: list[UUID]) -> dict[UUID, Row]:
    """What other applications tell of these tenants; every column for every tenant."""
    columns = tenant_columns(tenant_ids)
    names = dict.fromkeys((*PROVIDED, *columns))
    return {
        tenant_id: {name: columns.get(name, {}).get(tenant_id) for name in names}
        for tenant_id in tenant_ids
    }


def _with_figures(tenants: QuerySet[Tenant], now: datetime) -> list[Row]:
    members = _members(tenants)
    usage = token_columns(tenants, month_of(now))
    rows = [tenant_row(tenant) for tenant in tenants.select_related("partner")]
    provided = provided_columns([row["id"] for row in rows])
    for row in rows:
        row["members"] = members.get(row["id"], 0)
        row.update(provided[row["id"]])
        row.update(usage.get(row["id"], NO_USAGE))
    return rows


def _members(tenants: QuerySet[Tenant]) -> dict[UUID, int]:
    people = Participant.objects.filter(MEMBERS, tenant__in=tenants)
    return dict(people.values_list("tenant_id").annotate(Count("pk")))

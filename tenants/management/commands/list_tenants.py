from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.utils import timezone

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.extensions import TENANT_TOTALS
from tenants.lookup.serializers import format_partner
from tenants.lookup.status_filters import STATUSES
from tenants.management.output import STATUS_KEYS, print_usage_notes
from tenants.people.queries.tenants import PERCENTS, REGISTERED_COLUMNS, SORT_KEYS, list_tenants
from tenants.people.queries.token_usage import NO_USAGE, UsageSummary, format_row

COLUMNS = (
    Column("slug", "Slug", part=Part.KEY, sort="slug"),
    Column("name", "Name", part=Part.NAME, sort="name"),
    Column("members", "Members", ColumnType.COUNT, sort="members"),
    Column("rooms", "Rooms", ColumnType.COUNT, sort="rooms"),
    Column("storage_bytes", "Storage", ColumnType.BYTES, sort="storage"),
    Column("ai_tokens_month", "AI tokens MTD", ColumnType.COUNT, sort="tokens"),
    Column("status", "Status", part=Part.STATUS, sort="status"),
    Column("partner", "Partner", part=Part.EXTRA, sort="partner"),
)
NEAR_LIMIT_COLUMNS = (
    Column("slug", "Slug", part=Part.KEY),
    Column("name", "Name", part=Part.NAME),
    Column("participants_percent", "Participants %", ColumnType.COUNT),
    Column("rooms_percent", "Rooms %", ColumnType.COUNT),
    Column("storage_percent", "Storage %", ColumnType.COUNT),
    Column("ai_tokens_percent", "AI tokens %", ColumnType.COUNT),
)


KEYS = (
    *("id", "slug", "name", "status", "reason", "partner.id", "partner.slug", "partner.name"),
    "partner.scaikey_id",
    *("scaikey_tenant_id", "contact_email", *STATUS_KEYS),
    *("members", *REGISTERED_COLUMNS, *NO_USAGE),
    *("scaikey_id", *PERCENTS.values()),
)


class ListTenantsArguments(Arguments):
    partner: str | None = option("only tenants of this partner (slug, ID or ScaiKey ID)")
    status: str = option("only this status (default all)", choices=STATUSES, default="all")
    near_limit: bool = option(
        "only tenants that use at least 80%% of a limit, with the percentages"
    )


class Command(ListCommand[ListTenantsArguments]):
    words = "admin list-tenants"
    summary = "List tenants with their usage"
    area, place = "tenants", 10
    is_everyday = True
    permission = "VIEW"
    examples = (
        "scaiwave admin list-tenants",
        "scaiwave admin list-tenants --sort members --status active",
        "scaiwave admin list-tenants --near-limit --csv",
    )
    service = staticmethod(list_tenants)
    plural = "tenants"
    columns = COLUMNS
    keys = KEYS
    sortable = SORT_KEYS
    default_sort = "slug"
    usage: UsageSummary
    now: datetime
    help = (
        "List tenants. Members are active people. AI tokens were used in the current UTC month, as "
        "last fetched by `admin refresh-usage`, with a percentage above 80% of the cap. A dash "
        "means unknown."
    )

    def get_columns(self, given: ListTenantsArguments) -> Sequence[Column]:
        return NEAR_LIMIT_COLUMNS if given.near_limit else COLUMNS

    def load_rows(self, given: ListTenantsArguments) -> Iterable[Row]:
        self.usage = UsageSummary()
        self.now = timezone.now()
        rows: Iterable[Row] = self.call_service(given, now=self.now)
        return rows

    def get_keys(self) -> Sequence[str]:
        """Return the columns of --csv, including the columns of other apps."""
        return tuple(dict.fromkeys((*KEYS, *TENANT_TOTALS)))

    def format_row(self, row: Row) -> Row:
        self.usage.add(row)
        partner = row["partner"]
        return {**format_row(row), "partner": partner and format_partner(partner)}

    def format_csv_row(self, row: Row) -> Row:
        self.usage.add(row)
        return row

    def print_notes(self) -> None:
        print_usage_notes(self.output, self.usage, self.now)

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.management.output import print_usage_notes
from tenants.queries.status_filters import STATUSES
from tenants.queries.tenants import SORT_KEYS, list_tenants
from tenants.queries.usage import format_rows

COLUMNS = (
    Column("slug", "Slug", no_wrap=True),
    Column("name", "Name"),
    Column("members", "Members", ColumnType.COUNT),
    Column("rooms", "Rooms", ColumnType.COUNT),
    Column("storage_bytes", "Storage", ColumnType.BYTES),
    Column("ai_tokens_month", "AI tokens MTD", ColumnType.COUNT),
    Column("status", "Status", optional=True),
    Column("partner", "Partner", optional=True),
)


class Command(OperatorCommand):
    help = (
        "List tenants. Members are active people. AI tokens are those of the current UTC month, as "
        "last fetched by `admin refresh-usage`, with a percentage above 80 % of the cap. A dash "
        "means unknown."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--sort",
            default="slug",
            metavar="COLUMN",
            help=f"{', '.join(SORT_KEYS)} (default slug); --sort=-members sorts descending",
        )
        parser.add_argument("--reverse", action="store_true", help="reverse the sort order")
        parser.add_argument(
            "--partner", help="only tenants of this partner, by slug, ID or ScaiKey ID"
        )
        parser.add_argument(
            "--status", choices=STATUSES, default="all", help="only with this status (default all)"
        )

    def handle(
        self, sort: str, reverse: bool, partner: str | None, status: str, **options: Any
    ) -> None:
        now = timezone.now()
        tenants = list_tenants(
            operator=self.operator,
            now=now,
            status=status,
            partner=partner,
            sort=sort,
            reverse=reverse,
        )
        rows = tenants if self.output.as_json else format_rows(tenants)
        self.output.print_table("tenants", COLUMNS, rows)
        print_usage_notes(self.output, tenants, now)

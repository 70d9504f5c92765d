from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.queries.keys import list_keys
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType

COLUMNS = (
    Column("key_id", "Key ID", no_wrap=True),
    Column("state", "State"),
    Column("created_at", "Created", ColumnType.TIME, optional=True),
    Column("signs_from", "Signs from", ColumnType.TIME, optional=True),
    Column("verifies_until", "Verifies until", ColumnType.TIME, optional=True),
    Column("days_left", "Days left", ColumnType.COUNT),
)


class Command(OperatorCommand):
    help = (
        "List this server's keys, newest first. `Days left` counts the days until the signing "
        "key's yearly rotation is due, or until an older key stops verifying."
    )

    def handle(self, **options: Any) -> None:
        result = list_keys(operator=self.operator, now=timezone.now())
        self.output.print_table("keys", COLUMNS, result.keys)
        for warning in result.warnings:
            self.output.warn(warning)

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.usage.refresh_usage import build_usage_fetch, refresh_usage


class Command(OperatorCommand):
    words = "admin refresh-usage"
    summary = "Fetch this month's AI token usage from ScaiGrid"
    area, place = "tenants", 160
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin refresh-usage", "scaiwave admin refresh-usage --dry-run")
    help = (
        "Fetch the AI tokens that each tenant has used in the current UTC month from ScaiGrid. "
        "list-tenants shows them. The schedule runs this every hour."
    )
    changes = True

    def handle(self, dry_run: bool, **options: Any) -> None:
        result = refresh_usage(
            operator=self.operator,
            fetch=build_usage_fetch(settings.CONFIG),
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)

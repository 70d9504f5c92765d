from __future__ import annotations

from django.conf import settings

from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand
from tenants.usage.refresh_usage import build_usage_fetch, refresh_usage


class Command(OperatorCommand):
    service = staticmethod(refresh_usage)
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

    def run(self, given: Arguments) -> None:
        fetch = build_usage_fetch(settings.CONFIG)
        self.print_report(self.call_service(given, fetch=fetch))

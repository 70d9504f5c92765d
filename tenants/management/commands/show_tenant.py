from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.management.commands._tenant import FACTS, LIMITS, PARTICIPANTS, facts, limits
from tenants.management.commands._usage import print_usage_notes
from tenants.management.output import AUDIT, show_sections
from tenants.queries.show_tenant import show_tenant


class Command(OperatorCommand):
    help = "Show one tenant: its standing, its partner, limits beside usage, and who is in it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="slug, id, or ScaiKey id")

    def handle(self, tenant: str, **options: Any) -> None:
        now = timezone.now()
        found = show_tenant(operator=self.operator, name=tenant, now=now)
        if self.output.as_json:
            self.output.print_json({"tenant": found})
            return
        self.output.print_record(FACTS, facts(found))
        show_sections(
            self.output,
            ("Limits", LIMITS, limits(found)),
            ("Participants", PARTICIPANTS, found["participants"]),
            ("Last changes", AUDIT, found["audit"]),
        )
        print_usage_notes(self.output, [found], now)

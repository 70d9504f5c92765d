from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.people.suspend_partner import resume_partner


class Command(OperatorCommand):
    help = "Lift a manual suspension. The partner's status in ScaiKey applies again."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("partner", help="partner (slug, ID or ScaiKey ID)")
        parser.add_argument("--reason", default="", help="reason for the audit log")

    def handle(self, partner: str, reason: str, dry_run: bool, **options: Any) -> None:
        result = resume_partner(
            operator=self.operator,
            name=partner,
            reason=reason,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_result(result.document())
        self.output.print_line(result.sentence)

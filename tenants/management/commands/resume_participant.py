from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.people.suspend_participant import resume_participant


class Command(OperatorCommand):
    help = "Lift a manual suspension. The participant's status in ScaiKey applies again."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "participant",
            help="participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
        )
        parser.add_argument("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--reason", default="", help="reason for the audit log")

    def handle(
        self, participant: str, tenant: str | None, reason: str, dry_run: bool, **options: Any
    ) -> None:
        result = resume_participant(
            operator=self.operator,
            name=participant,
            tenant=tenant,
            reason=reason,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_result(result.document())
        self.output.print_line(result.sentence)

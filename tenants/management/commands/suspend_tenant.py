from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.services.suspend_tenant import suspend_tenant


class Command(OperatorCommand):
    help = "Suspend a tenant by hand: nobody of it can sign in. Syncs leave that alone."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="slug, id, or ScaiKey id")
        parser.add_argument("--reason", default="", help="why, for the audit")

    def handle(self, tenant: str, reason: str, dry_run: bool, **options: Any) -> None:
        result = suspend_tenant(
            operator=self.operator,
            name=tenant,
            reason=reason,
            agree=self.confirm,
            now=timezone.now(),
            dry_run=dry_run,
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        self.output.print_line(result.sentence)

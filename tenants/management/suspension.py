"""The commands that suspend and resume partners, tenants and participants manually."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.people.suspension import SuspensionRules, resume, suspend

HELP = {
    "participant": "participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
    "partner": "partner (slug, ID or ScaiKey ID)",
    "tenant": "tenant (slug, ID or ScaiKey ID)",
}


class ResumeCommand(OperatorCommand):
    rules: SuspensionRules
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        kind = self.rules.kind
        parser.add_argument(kind, help=HELP[kind])
        if kind == "participant":
            parser.add_argument("--tenant", help=f"only this {HELP['tenant']}")
        parser.add_argument("--reason", default="", help="reason for the audit log")

    def handle(self, reason: str, dry_run: bool, **options: Any) -> None:
        self.print_change(
            resume(
                self.rules,
                operator=self.operator,
                name=options[self.rules.kind],
                tenant=options.get("tenant"),
                reason=reason,
                now=timezone.now(),
                dry_run=dry_run,
            )
        )


class SuspendCommand(ResumeCommand):
    destructive = True

    def handle(self, reason: str, dry_run: bool, **options: Any) -> None:
        self.print_change(
            suspend(
                self.rules,
                operator=self.operator,
                name=options[self.rules.kind],
                tenant=options.get("tenant"),
                reason=reason,
                confirm=self.confirm,
                now=timezone.now(),
                dry_run=dry_run,
            )
        )

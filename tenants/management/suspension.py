"""The commands that suspend and resume partners, tenants and participants manually."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from tenants.management.names import BulkCommand, add_file
from tenants.people.suspension import SuspensionRules, resume_many, suspend_many

HELP = {
    "participant": "participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
    "partner": "partner (slug, ID or ScaiKey ID)",
    "tenant": "tenant (slug, ID or ScaiKey ID)",
}


class ResumeCommand(BulkCommand):
    rules: SuspensionRules
    changes = True
    destructive = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        kind = self.rules.kind
        parser.add_argument(kind, nargs="*", help=f"{HELP[kind]}; several may be named")
        add_file(parser, "--from", "--from-file")
        if kind == "participant":
            parser.add_argument("--tenant", help=f"only this {HELP['tenant']}")
        parser.add_argument("--reason", default="", help="reason for the audit log")

    def handle(self, **options: Any) -> None:
        kind = self.rules.kind
        change = suspend_many if self.destructive else resume_many
        result = change(
            self.rules,
            operator=self.operator,
            names=self.read_names(options[kind], options),
            tenant=options.get("tenant"),
            reason=options["reason"],
            confirm=self.confirm if self.destructive else self.confirm_many,
            now=timezone.now(),
            dry_run=self.dry_run,
        )
        self.print_rows(result, kind)


class SuspendCommand(ResumeCommand):
    destructive = True

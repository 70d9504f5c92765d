"""The commands that suspend and resume partners, tenants and participants manually."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from scaiwave.cli.arguments import (
    ONLY_TENANT,
    PARTICIPANT,
    REASON,
    TENANT,
    Arguments,
    argument,
    option,
)
from tenants.management.names import FILE_OF_NAMES, BulkCommand
from tenants.people.suspension import SuspensionRules, resume_many, suspend_many


def _names(kind: str, text: str) -> Any:
    return argument(f"{text}; several may be named", nargs="*", metavar=kind)


class SuspensionArguments(Arguments):
    names: list[str]
    from_file: str | None = option(FILE_OF_NAMES, "--from", "--from-file", metavar="FILE")
    tenant: str | None = None
    reason: str = option(REASON, default="")


class PartnersArguments(SuspensionArguments):
    names: list[str] = _names("partner", "partner (slug, ID or ScaiKey ID)")


class TenantsArguments(SuspensionArguments):
    names: list[str] = _names("tenant", TENANT)


class ParticipantsArguments(SuspensionArguments):
    names: list[str] = _names("participant", PARTICIPANT)
    tenant: str | None = option(ONLY_TENANT)


class ResumeCommand(BulkCommand[SuspensionArguments]):
    rules: SuspensionRules[Any]
    changes = True
    destructive = False

    def run(self, given: SuspensionArguments) -> None:
        change = suspend_many if self.destructive else resume_many
        result = change(
            self.rules,
            operator=self.operator,
            names=self.read_names(given.names, given.from_file),
            tenant=given.tenant,
            reason=given.reason,
            confirm=self.confirm if self.destructive else self.confirm_many,
            now=timezone.now(),
            dry_run=self.dry_run,
        )
        self.print_rows(result, self.rules.kind)


class SuspendCommand(ResumeCommand):
    destructive = True

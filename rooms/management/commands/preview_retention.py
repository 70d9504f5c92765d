from __future__ import annotations

from django.utils import timezone

from rooms.management.retention_output import ScopeArguments, print_retention
from rooms.retention.run_retention import preview_retention
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand[ScopeArguments]):
    words = "admin retention preview"
    summary = "Show what retention would delete now"
    area, place = "rooms", 133
    permission = "VIEW"
    examples = ("scaiwave admin retention preview --tenant acme",)
    help = "Show how much the next retention run would delete, by room. Nothing is changed."

    def run(self, given: ScopeArguments) -> None:
        result = preview_retention(
            operator=self.operator, tenant=given.tenant, room=given.room, now=timezone.now()
        )
        print_retention(self, result)

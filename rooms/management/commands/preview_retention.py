from __future__ import annotations

from dataclasses import replace

from rooms.management.retention_output import ROOM_COLUMNS, ScopeArguments
from rooms.retention.run_retention import preview_retention
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand[ScopeArguments]):
    service = staticmethod(preview_retention)
    words = "admin retention preview"
    summary = "Show what retention would delete now"
    area, place = "rooms", 133
    permission = "VIEW"
    tables = (("rooms", ROOM_COLUMNS),)
    examples = ("scaiwave admin retention preview --tenant acme",)
    help = "Show how much the next retention run would delete, by room. Nothing is changed."

    def run(self, given: ScopeArguments) -> None:
        # A preview changes nothing, so its JSON lacks `changed`.
        self.print_report(replace(self.call_service(given), changed=None))

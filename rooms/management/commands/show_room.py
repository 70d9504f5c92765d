from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.management.commands._room import FACTS, MEDIA, MEMBERS, facts
from rooms.queries.show_room import show_room
from scaiwave.cli.command import OperatorCommand
from tenants.management.output import AUDIT, show_sections


class Command(OperatorCommand):
    help = (
        "Show one room: its members, its media and which of it is missing, whether it can be "
        "exported, and where it was imported from."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("room", help="id or alias")
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")

    def handle(self, room: str, tenant: str, **options: Any) -> None:
        found = show_room(operator=self.operator, name=room, tenant=tenant)
        if self.output.as_json:
            self.output.print_json({"room": found})
            return
        self.output.print_record(FACTS, facts(found))
        show_sections(
            self.output,
            ("Members", MEMBERS, found["memberships"]),
            ("Media", MEDIA, found["media"]),
            ("Last changes", AUDIT, found["audit"]),
        )

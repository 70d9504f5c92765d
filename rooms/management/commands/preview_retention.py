from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from rooms.management.retention_output import add_scope, print_retention
from rooms.retention.run_retention import preview_retention
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin retention preview"
    summary = "Show what retention would delete now"
    area, place = "rooms", 133
    permission = "VIEW"
    examples = ("scaiwave admin retention preview --tenant acme",)
    help = "Show how much the next retention run would delete, by room. Nothing is changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_scope(parser)

    def handle(self, tenant: str | None, room: str | None, **options: Any) -> None:
        result = preview_retention(
            operator=self.operator, tenant=tenant, room=room, now=timezone.now()
        )
        print_retention(self, result)

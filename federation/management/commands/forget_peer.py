from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from federation.peers.forget_peer import forget_peer
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin federation peer forget"
    area, place = "federation", 110
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin federation peer forget chat.example.com",
        "scaiwave admin federation peer forget chat.example.com --yes",
    )
    help = (
        "Delete the stored key of another server. Its next key is accepted as if the server was "
        "seen for the first time. The policy stays."
    )
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server_name", metavar="server", help="server: chat.example.com")

    def handle(self, server_name: str, dry_run: bool, **options: Any) -> None:
        result = forget_peer(
            operator=self.operator,
            server_name=server_name,
            confirm=self.confirm,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from federation.peers.forget_peer import forget_peer
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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
        self.print_result(result.document())
        self.output.print_line(result.sentence)

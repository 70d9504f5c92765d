from __future__ import annotations

from argparse import ArgumentParser

from federation.peers.forget_peer import forget_peer
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(forget_peer)
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server_name", metavar="server", help="server: chat.example.com")

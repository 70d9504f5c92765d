from __future__ import annotations

from federation.peers.forget_peer import forget_peer
from scaiwave.cli.arguments import Arguments, argument
from scaiwave.cli.command import OperatorCommand


class ForgetPeerArguments(Arguments):
    server_name: str = argument("server: chat.example.com", metavar="server")


class Command(OperatorCommand[ForgetPeerArguments]):
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

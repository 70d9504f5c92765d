from __future__ import annotations

from federation.peers.check_peer import check_peer
from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of

COLUMNS = (
    Column("server_name", "Server"),
    *columns_of("key_id", "public_key", "key_status"),
    Column("key_seen_at", "Since", ColumnType.TIME),
    Column("previous_key_ids", "Previous keys"),
    Column("protocol_versions", "Protocol versions"),
    Column("policy", "This server's policy"),
    Column("clock_offset_seconds", "Clock offset (s)"),
)


class CheckPeerArguments(Arguments):
    server_name: str = argument("server name, with its port unless it is 443", metavar="server")
    plain_http: bool = option(
        "connect without encryption (only to hosts in SCAIWAVE_PEER_NETWORKS)"
    )


class Command(OperatorCommand[CheckPeerArguments]):
    service = staticmethod(check_peer)
    words = "admin federation check-peer"
    summary = "Check whether federation with a server works"
    area, place = "federation", 80
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin federation check-peer chat.example.com",
        "scaiwave admin federation check-peer chat.example.com:8448 --dry-run --json",
    )
    help = (
        "Check whether federation with another server would work: fetch its descriptor, and "
        "compare its key with the last one seen. Exits with 1 if federation would fail, with 2 if "
        "the server can't be reached."
    )
    changes = True
    tables = (("peer", COLUMNS),)

    def run(self, given: CheckPeerArguments) -> None:
        super().run(given)
        self.output.log(f"Federation with {given.server_name} would work.")

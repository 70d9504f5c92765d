from __future__ import annotations

from federation.peers.queries import show_peer
from scaiwave.cli.arguments import Arguments, argument
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of
from tenants.management.output import AUDIT_COLUMNS, print_sections

FACTS = (
    Column("server_name", "Server"),
    *columns_of("key_id", "public_key", "protocol_versions", "policy"),
    *columns_of("first_seen_at", "last_seen_at", "key_changed_at", kind=ColumnType.TIME),
)


class ShowPeerArguments(Arguments):
    server_name: str = argument("server: chat.example.com", metavar="server")


class Command(OperatorCommand[ShowPeerArguments]):
    words = "admin federation peer show"
    summary = "Show the stored key of another server"
    area, place = "federation", 100
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave admin federation peer show chat.example.com",)
    help = "Show the stored key of another server, and when it was seen. Calls no server."

    def run(self, given: ShowPeerArguments) -> None:
        document = show_peer(operator=self.operator, server_name=given.server_name)
        if self.output.as_json:
            self.output.print_json({"peer": document})
            return
        versions = ", ".join(document["protocol_versions"])
        self.output.print_record(FACTS, {**document, "protocol_versions": versions})
        print_sections(self.output, ("Recent changes", AUDIT_COLUMNS, document["audit_entries"]))

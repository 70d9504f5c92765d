from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from federation.services.check_peer import check_peer
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column, ColumnType

PEER = (
    Column("server_name", "Server"),
    Column("key_id", "Key id"),
    Column("public_key", "Public key"),
    Column("key_seen", "Key is"),
    Column("key_seen_since", "Since", ColumnType.TIME),
    Column("previous_key_ids", "Previous keys"),
    Column("protocol_versions", "Versions"),
    Column("policy", "Our policy"),
    Column("clock_offset_seconds", "Clock offset (s)"),
)


class Command(OperatorCommand):
    help = (
        "Fetch another server's descriptor, compare its key with the last one seen, and say "
        "whether the handshake would work: exit code 1 if not, 2 if the server can't be reached."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server", help="its name: chat.example.com, or with a port")
        parser.add_argument(
            "--plain-http",
            action="store_true",
            help="ask without encryption; only in SCAIWAVE_PEER_NETWORKS",
        )

    def handle(self, server: str, plain_http: bool, dry_run: bool, **options: Any) -> None:
        checked = check_peer(
            operator=self.operator,
            server_name=server,
            plain_http=plain_http,
            now=timezone.now(),
            dry_run=dry_run,
        )
        if self.output.as_json:
            self.output.print_json(checked.document())
        else:
            self.output.print_record(PEER, checked.peer)
        for warning in checked.warnings:
            self.output.warn(warning)
        if checked.problem is not None:
            raise checked.problem
        self.output.log("The handshake would work.")

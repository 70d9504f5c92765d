from __future__ import annotations

from argparse import ArgumentParser

from rooms.retention.policies import clear_retention
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(clear_retention)
    words = "admin retention clear"
    summary = "Remove a retention policy"
    area, place = "rooms", 131
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin retention clear --tenant acme --room lobby",)
    help = "Remove the policy of this server, of a tenant, or of a room. A wider one counts then."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--room", help="room of the tenant (ID or alias)")
        parser.add_argument("--reason", default="", help="reason for the audit log")

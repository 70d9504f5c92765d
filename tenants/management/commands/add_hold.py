from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from tenants.holds.hold import add_hold


class Command(OperatorCommand):
    service = staticmethod(add_hold)
    words = "admin hold add"
    summary = "Protect a tenant, person or room from deletion"
    area, place = "tenants", 179
    permission = "MANAGE_PLATFORM"
    examples = (
        'scaiwave admin hold add --tenant acme --reason "case 26-118"',
        'scaiwave admin hold add --participant anna@acme.example --reason "case 26-118"',
        'scaiwave admin hold add --tenant acme --room launch --reason "case 26-118"',
    )
    help = (
        "Place a hold on a tenant, participant or room. Until it is lifted, no command, schedule "
        "or import deletes or erases what it covers: of a tenant its rooms and people, of a "
        "participant their row and their messages in every room, of a room its events, files and "
        "members."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument(
            "--participant",
            help="participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
        )
        parser.add_argument("--room", help="room (ID or alias); needs --tenant")
        parser.add_argument(
            "--reason", required=True, help="reason, which the list and the audit log show"
        )

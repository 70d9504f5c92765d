from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.retention.policies import PolicyValues, set_retention
from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.parsers import positive_int
from scaiwave.core.errors import UsageError


class Command(OperatorCommand):
    service = staticmethod(set_retention)
    words = "admin retention set"
    summary = "Set how long messages and files are kept"
    area, place = "rooms", 130
    permission = "MANAGE_TENANTS"
    examples = (
        "scaiwave admin retention set --tenant acme --days 365",
        "scaiwave admin retention set --tenant acme --room lobby --days 30 --content-only",
        "scaiwave admin retention set --tenant acme --room contracts --keep",
    )
    help = (
        "Set how long messages and files are kept: of this server, of a tenant, or of a room. The "
        "nearest policy counts as a whole. The next run deletes what is older."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--tenant", help="tenant (slug, ID or ScaiKey ID)")
        add("--room", help="room of the tenant (ID or alias)")
        add("--days", metavar="N", type=positive_int, help="days that messages are kept")
        add(
            "--media-days",
            metavar="N",
            type=positive_int,
            help="days that files are kept (default: as messages)",
        )
        add(
            "--content-only",
            action="store_true",
            help="keep messages, and delete only their content",
        )
        add("--keep", action="store_true", help="keep everything, whatever a wider policy says")
        add("--reason", default="", help="reason for the audit log")

    def handle(self, keep: bool, **options: Any) -> None:
        values = PolicyValues(options["days"], options["media_days"], options["content_only"])
        if keep != (values == PolicyValues()):
            raise UsageError(
                "The command needs either a number of days or --keep.",
                fix="Pass --days, --media-days or both, or else --keep alone.",
            )
        self.print_change(self.call_service(options, values=values))

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.conf import settings

from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.parsers import positive_int
from scaiwave.console.columns import Column, ColumnType, Part
from scaiwave.core.errors import UsageError
from tenants.people.purge_participant import purge_participant, purge_participants

PEOPLE = (
    Column("fqid", "FQID", part=Part.KEY),
    Column("tenant", "Tenant"),
    Column("deactivated_at", "Removed", ColumnType.TIME),
)


class Command(OperatorCommand):
    service: Callable[..., Any] = staticmethod(purge_participant)
    words = "admin purge-participant"
    summary = "Erase the data of people removed from ScaiKey"
    area, place = "people", 50
    permission = "MANAGE_TENANTS"
    examples = (
        "scaiwave admin purge-participant @anna:chat.example.com --dry-run",
        "scaiwave admin purge-participant @anna:chat.example.com --with-messages",
        "scaiwave admin purge-participant --purge-after 90 --yes",
        "scaiwave admin purge-participant --purge-after 90 --tenant acme --limit 500",
    )
    help = (
        "Erase the personal data of people who were removed from ScaiKey: name, e-mail address and "
        "avatar. Their messages stay, by a neutral author, unless you pass --with-messages.\n\n"
        "Name one person, or pass --purge-after for everyone who was removed that long ago."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument(
            "name",
            metavar="participant",
            nargs="?",
            help="participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
        )
        whom.add_argument(
            "--purge-after",
            dest="days",
            metavar="DAYS",
            type=positive_int,
            help="everyone whose removal is at least this many days ago",
        )
        parser.add_argument(
            "--with-messages",
            action="store_true",
            help="also erase what this one person wrote, and the files that only they sent",
        )
        parser.add_argument("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        parser.add_argument(
            "--limit",
            metavar="N",
            type=positive_int,
            help="maximum number of people for --purge-after; if more are due, none is purged "
            "(default SCAIWAVE_PURGE_LIMIT)",
        )
        parser.add_argument(
            "--reason", default="", help="reason for the audit log, without personal data"
        )

    def handle(self, **options: Any) -> None:
        limit = options.pop("limit")
        if options["days"] is not None:
            if options["with_messages"]:
                raise UsageError(
                    "--with-messages is for one person.", fix="Name the person, or leave it out."
                )
            self.service = purge_participants
            limit = limit or settings.CONFIG.get_int("SCAIWAVE_PURGE_LIMIT")
            result = self.call_service(options, limit=limit)
            if self.dry_run and result.subject and not self.output.as_json:
                self.output.print_table("participants", PEOPLE, result.subject)
            self.print_change(result)
        elif limit is not None:
            raise UsageError("--limit needs --purge-after.", fix="Leave out --limit.")
        else:
            self.print_change(self.call_service(options))

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings

from scaiwave.cli.arguments import (
    ONLY_TENANT,
    PARTICIPANT,
    Arguments,
    Excludes,
    Needs,
    argument,
    option,
)
from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.parsers import positive_int
from scaiwave.console.columns import Column, ColumnType, Part
from tenants.people.purge_participant import purge_participant, purge_participants

PEOPLE = (
    Column("fqid", "FQID", part=Part.KEY),
    Column("tenant", "Tenant"),
    Column("deactivated_at", "Removed", ColumnType.TIME),
)


class PurgeParticipantArguments(Arguments):
    name: str | None = argument(
        PARTICIPANT, metavar="participant", nargs="?", group="whom", required=True
    )
    days: int | None = option(
        "everyone whose removal is at least this many days ago",
        "--purge-after",
        metavar="DAYS",
        type=positive_int,
        group="whom",
        required=True,
    )
    with_messages: bool = option(
        "also erase what this one person wrote, and the files that only they sent"
    )
    tenant: str | None = option(ONLY_TENANT)
    limit: int | None = option(
        "maximum number of people for --purge-after; if more are due, nothing is erased (default "
        "SCAIWAVE_PURGE_LIMIT)",
        metavar="N",
        type=positive_int,
    )
    reason: str = option("reason for the audit log, without personal data", default="")


class Command(OperatorCommand[PurgeParticipantArguments]):
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
    option_rules = (
        Excludes(
            "--with-messages",
            "--purge-after",
            "Name the person, or leave it out.",
            "--with-messages is for one person.",
        ),
        Needs("--limit", "--purge-after", "Leave out --limit."),
    )

    def run(self, given: PurgeParticipantArguments) -> None:
        if given.days is None:
            self.print_report(self.call_service(given))
            return
        self.service = purge_participants
        limit = given.limit or settings.CONFIG.get_int("SCAIWAVE_PURGE_LIMIT")
        result = self.call_service(given, limit=limit)
        if self.dry_run and result.subject and not self.output.as_json:
            self.output.print_table("participants", PEOPLE, result.subject)
        self.print_report(result)

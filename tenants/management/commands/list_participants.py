from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column
from tenants.lookup.status_filters import STATUSES
from tenants.management.output import STATUS_KEYS
from tenants.models import ParticipantType
from tenants.people.queries.participants import list_participants


class Command(ListCommand):
    service = staticmethod(list_participants)
    words = "admin list-participants"
    summary = "List people and other participants of a tenant"
    area, place = "people", 10
    permission = "VIEW"
    examples = (
        "scaiwave admin list-participants --tenant acme --status inactive",
        "scaiwave admin list-participants --tenant acme --search anna",
    )
    plural = "participants"
    columns = (
        Column("display_name", "Name"),
        Column("email", "E-mail", optional=True),
        Column("fqid", "FQID", no_wrap=True),
        Column("type", "Type", optional=True),
        Column("status", "Status"),
        Column("reason", "Reason"),
    )
    keys = (
        *("id", "fqid", "display_name", "email", "type", "status", "reason", "tenant_id"),
        *("scaikey_id", "local_id", *STATUS_KEYS, "purged_at"),
    )
    json_lines = True
    paged = True
    help = "List the participants of a tenant, by name."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument(
            "--status", choices=STATUSES, default="all", help="only this status (default all)"
        )
        parser.add_argument(
            "--type",
            dest="participant_type",
            choices=ParticipantType.values,
            help="only this type (default all)",
        )
        parser.add_argument(
            "--search", metavar="TEXT", help="part of a name, e-mail address or local ID"
        )

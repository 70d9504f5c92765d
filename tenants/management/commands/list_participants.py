from __future__ import annotations

from scaiwave.cli.arguments import ONLY_TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, Part
from tenants.lookup.status_filters import STATUSES
from tenants.management.output import STATUS_KEYS
from tenants.models import ParticipantType
from tenants.people.queries.participants import list_participants


class ListParticipantsArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)
    status: str = option("only this status (default all)", choices=STATUSES, default="all")
    participant_type: str | None = option(
        "only this type (default all)", "--type", choices=ParticipantType.values
    )
    search: str | None = option("part of a name, e-mail address or local ID", metavar="TEXT")


class Command(ListCommand[ListParticipantsArguments]):
    service = staticmethod(list_participants)
    words = "admin list-participants"
    summary = "List people and other participants"
    area, place = "people", 10
    permission = "VIEW"
    examples = (
        "scaiwave admin list-participants --tenant acme --status inactive",
        "scaiwave admin list-participants --search anna",
    )
    plural = "participants"
    columns = (
        Column("display_name", "Name", part=Part.NAME),
        Column("email", "E-mail", part=Part.EXTRA),
        Column("fqid", "FQID", part=Part.KEY),
        Column("type", "Type", part=Part.EXTRA),
        Column("status", "Status", part=Part.STATUS),
        Column("reason", "Reason"),
    )
    keys = (
        *("id", "fqid", "display_name", "email", "type", "status", "reason", "tenant", "tenant_id"),
        *("scaikey_id", "local_id", *STATUS_KEYS, "purged_at"),
    )
    json_lines = True
    paged = True
    across = True
    help = "List the participants of a tenant, or of all tenants you may see, by name."

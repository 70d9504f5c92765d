from __future__ import annotations

from rooms.retention.policies import PolicyValues, set_retention
from scaiwave.cli.arguments import REASON, TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.parsers import positive_int
from scaiwave.core.errors import UsageError


class SetRetentionArguments(Arguments):
    tenant: str | None = option(TENANT)
    room: str | None = option("room of the tenant (ID or alias)")
    days: int | None = option("days that messages are kept", metavar="N", type=positive_int)
    media_days: int | None = option(
        "days that files are kept (default: as messages)", metavar="N", type=positive_int
    )
    content_only: bool = option("keep messages, and delete only their content")
    keep: bool = option("keep everything, whatever a wider policy says")
    reason: str = option(REASON, default="")


class Command(OperatorCommand[SetRetentionArguments]):
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

    def run(self, given: SetRetentionArguments) -> None:
        values = PolicyValues(given.days, given.media_days, given.content_only)
        if given.keep != (values == PolicyValues()):
            raise UsageError(
                "The command needs either a number of days or --keep.",
                fix="Pass --days, --media-days or both, or else --keep alone.",
            )
        self.print_report(self.call_service(given, values=values))

from __future__ import annotations

from scaiwave.cli.arguments import PARTICIPANT, TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand
from tenants.holds.hold import add_hold


class AddHoldArguments(Arguments):
    tenant: str | None = option(TENANT)
    participant: str | None = option(PARTICIPANT)
    room: str | None = option("room (ID or alias); needs --tenant")
    reason: str = option("reason, which the list and the audit log show", required=True)


class Command(OperatorCommand[AddHoldArguments]):
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

from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.holds.hold import lift_hold


class LiftHoldArguments(Arguments):
    hold: str = argument("ID of the hold")
    reason: str = option("reason for lifting it", required=True)


class Command(OperatorCommand[LiftHoldArguments]):
    service = staticmethod(lift_hold)
    words = "admin hold lift"
    summary = "Lift a hold"
    area, place = "tenants", 190
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin hold lift 01890a5d-ac96-774b-bcce-b302099a8057 --reason 'case closed'",
    )
    help = "Lift a hold. It stays in the list of lifted holds, with the reason and who lifted it."
    changes = True

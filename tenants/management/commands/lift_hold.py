from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from tenants.holds.hold import lift_hold


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("hold", help="ID of the hold")
        parser.add_argument("--reason", required=True, help="reason for lifting it")

from __future__ import annotations

from pathlib import Path

from rooms.conversion.match_people import match_people
from scaiwave.cli.arguments import TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class MatchPeopleArguments(Arguments):
    directory: Path = argument("output directory of a conversion", metavar="DIR")
    tenant: str = option(TENANT, required=True)
    force: bool = option("overwrite an existing map.csv")


class Command(OperatorCommand[MatchPeopleArguments]):
    service = staticmethod(match_people)
    words = "room match-people"
    summary = "Propose who the people of an export are here"
    area, place = "rooms", 125
    permission = "VIEW"
    examples = ("scaiwave room match-people /srv/slack --tenant acme",)
    help = (
        "Write map.csv into the output directory of `scaiwave room convert`: the people of the "
        "export, and for each the active person of the tenant with the same e-mail address. Review "
        "the file, then pass it to `scaiwave room convert --people`."
    )
    changes = True

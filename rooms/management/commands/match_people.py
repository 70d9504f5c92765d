from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from rooms.conversion.match_people import match_people
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("directory", metavar="DIR", type=Path, help="output directory of a conversion")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--force", action="store_true", help="overwrite an existing map.csv")

    def handle(self, directory: Path, tenant: str, **options: Any) -> None:
        result = match_people(
            operator=self.operator,
            tenant=tenant,
            directory=directory,
            force=options["force"],
            dry_run=self.dry_run,
        )
        self.print_result(result.document())
        self.output.print_line(result.sentence)

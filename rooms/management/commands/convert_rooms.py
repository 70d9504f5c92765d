from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from rooms.conversion.convert_rooms import REPORT, SYSTEMS, ConversionOptions, convert_rooms
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part

LOSS_COLUMNS = (
    Column("count", "Count", ColumnType.COUNT),
    Column("loss", "What", part=Part.NAME),
    Column("example", "For example"),
)


class Command(OperatorCommand):
    words = "room convert"
    summary = "Convert an export of another chat system"
    area, place = "rooms", 120
    examples = (
        "scaiwave room convert slack export.zip --output-dir /srv/slack --dry-run",
        "scaiwave room convert mattermost data.zip --output-dir /srv/old --only town-square",
        "scaiwave room convert discord exports/ --output-dir /srv/discord --people map.csv",
    )
    help = (
        "Convert an export of Slack, Mattermost or Discord into bundles, one for each room, that "
        "`scaiwave room import` imports. It needs no database and no network. `conversion.json` in "
        "the output directory accounts for every row of the export. An interrupted conversion "
        "continues when you run it again."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("system", choices=list(SYSTEMS), help="system that made the export")
        add("source", type=Path, help="export: a ZIP, JSON or JSONL file, or a directory")
        add(
            "--output-dir",
            type=Path,
            metavar="DIR",
            required=True,
            help="directory for the bundles and conversion.json",
        )
        add(
            "--only", nargs="+", metavar="NAME", default=[], help="names or IDs of rooms to convert"
        )
        add(
            "--people",
            type=Path,
            metavar="FILE",
            help="table of people from `scaiwave room match-people`",
        )
        add(
            "--files",
            type=Path,
            metavar="DIR",
            help="directory with attachments that the export lacks",
        )
        add(
            "--public",
            action="store_true",
            help="make rooms public that everyone in the source could read",
        )
        add(
            "--workspace",
            metavar="NAME",
            default="",
            help="name of the source, for the IDs of its people (default: from the export)",
        )

    def handle(self, system: str, source: Path, output_dir: Path, **options: Any) -> None:
        result = convert_rooms(
            system=system,
            source=source,
            directory=output_dir,
            options=ConversionOptions(
                frozenset(options["only"]),
                *(options[name] for name in ("people", "files", "public", "workspace")),
            ),
            dry_run=self.dry_run,
            progress_factory=self.output.progress,
        )
        output = self.output
        self.print_result(result.document())
        for title, name, rows in (
            ("Not in the bundles:", "reported", result.reported),
            ("Changed on the way:", "notes", result.notes),
        ):
            if rows and not output.as_json:
                output.print_line(title)
                output.print_table(name, LOSS_COLUMNS, rows)
        output.print_line(result.sentence)
        if not result.dry_run:
            output.print_line(f"The full account is in {output_dir / REPORT}.")

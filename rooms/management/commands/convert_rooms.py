from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rooms.conversion.convert_rooms import SYSTEMS, ConversionOptions, convert_rooms
from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part

LOSS_COLUMNS = (
    Column("count", "Count", ColumnType.COUNT),
    Column("loss", "What", part=Part.NAME),
    Column("example", "For example"),
)


class ConvertRoomsArguments(Arguments):
    system: str = argument("system that made the export", choices=list(SYSTEMS))
    source: Path = argument("export: a ZIP, JSON or JSONL file, or a directory")
    output_dir: Path = option(
        "directory for the bundles and conversion.json", metavar="DIR", required=True
    )
    only: list[str] = option(
        "names or IDs of rooms to convert", nargs="+", metavar="NAME", default=[]
    )
    people: Path | None = option(
        "table of people from `scaiwave room match-people`", metavar="FILE"
    )
    files: Path | None = option("directory with attachments that the export lacks", metavar="DIR")
    public: bool = option("make rooms public that everyone in the source could read")
    workspace: str = option(
        "name of the source, for the IDs of its people (default: from the export)",
        metavar="NAME",
        default="",
    )


class Command(OperatorCommand[ConvertRoomsArguments]):
    service = staticmethod(convert_rooms)
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

    def run(self, given: ConvertRoomsArguments) -> None:
        options = ConversionOptions(
            frozenset(given.only), given.people, given.files, given.public, given.workspace
        )
        self.print_report(self.call_service(given, directory=given.output_dir, options=options))

    def show(self, document: Mapping[str, Any]) -> None:
        titles = {"reported": "Not in the bundles:", "notes": "Changed on the way:"}
        for name, title in titles.items():
            if rows := document[name]:
                self.output.print_line(title)
                self.output.print_table(name, LOSS_COLUMNS, rows)

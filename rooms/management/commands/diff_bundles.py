from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rooms.exports.merge_bundles import diff_bundles
from rooms.imports.source import get_max_bytes
from scaiwave.cli.arguments import Arguments, argument
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, Part

DIFF_COLUMNS = (
    Column("change", "Change", part=Part.STATUS),
    Column("id", "ID", part=Part.KEY),
    Column("event_type", "Type"),
    Column("sender", "Sender"),
    Column("created_at", "Sent"),
    Column("changed_at", "Changed"),
)


class DiffBundlesArguments(Arguments):
    before: Path = argument("earlier bundle, or directory with a chain")
    after: Path = argument("later bundle, or directory with a chain")


class Command(OperatorCommand[DiffBundlesArguments]):
    service = staticmethod(diff_bundles)
    words = "room diff"
    summary = "List what differs between two bundles"
    area, place = "rooms", 150
    examples = (
        "scaiwave room diff monday.zip tuesday.zip",
        "scaiwave room diff /srv/bundles/<room-id>/0003.zip /srv/bundles/<room-id>/0007.zip",
    )
    help = (
        "List the events of a room that were added, edited, redacted or deleted between two "
        "bundles, and by whom. An increment stands for the room after it, if the bundles before it "
        "are in its directory. Needs no database."
    )

    def run(self, given: DiffBundlesArguments) -> None:
        self.print_report(self.call_service(given, max_bytes=get_max_bytes()))

    def show(self, document: Mapping[str, Any]) -> None:
        self.output.print_table("events", DIFF_COLUMNS, document["events"])

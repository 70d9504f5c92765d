from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from rooms.exports.merge_bundles import diff_bundles
from rooms.imports.source import get_max_bytes
from rooms.management.bundle_io import print_report
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


class Command(OperatorCommand):
    words = "room diff"
    summary = "List what differs between two bundles"
    area, place = "rooms", 150
    examples = (
        "scaiwave room diff monday.zip tuesday.zip",
        "scaiwave room diff /srv/bundles/<room-id>/0003.zip /srv/bundles/<room-id>/0007.zip",
    )
    help = (
        "List the events of a room that were added, edited, redacted or deleted between two "
        "bundles, and by whom. An increment stands for the room after it, if the links before it "
        "are in its directory. Needs no database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("before", type=Path, help="earlier bundle, or directory with a chain")
        add("after", type=Path, help="later bundle, or directory with a chain")

    def handle(self, before: Path, after: Path, **options: Any) -> None:
        found = diff_bundles(
            before=before,
            after=after,
            max_bytes=get_max_bytes(),
            progress_factory=self.output.progress,
        )
        events = ("events", DIFF_COLUMNS, found.events)
        print_report(self.output, found.document(), events, lines=[found.sentence])

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from rooms.bundle.format import MIB
from rooms.exports.merge_bundles import diff_bundles
from rooms.management.bundle_io import print_diff
from scaiwave.cli.command import OperatorCommand


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
        parser.add_argument("before", type=Path, help="earlier bundle, or directory with a chain")
        parser.add_argument("after", type=Path, help="later bundle, or directory with a chain")

    def handle(self, before: Path, after: Path, **options: Any) -> None:
        found = diff_bundles(
            before=before,
            after=after,
            max_bytes=settings.CONFIG.get_int("SCAIWAVE_IMPORT_LIMIT_MB") * MIB,
            progress_factory=self.output.progress,
        )
        print_diff(self.output, found)

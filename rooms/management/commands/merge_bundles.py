from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from rooms.exports.merge_bundles import merge_bundles
from rooms.imports.source import get_max_bytes
from rooms.management.bundle_io import print_report
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "room merge"
    summary = "Join a bundle and its increments"
    area, place = "rooms", 140
    examples = (
        "scaiwave room merge 0000.zip 0001.zip 0002.zip --output whole.zip",
        "scaiwave room merge /srv/bundles/<room-id> --to-sequence 7 --output whole.zip",
    )
    help = (
        "Join a bundle and the increments that were exported since into one whole bundle, which is "
        "unsigned. Needs no database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("bundles", nargs="+", type=Path, help="bundles of a chain, or a directory with one")
        add("--output", type=Path, metavar="FILE", required=True, help="file to write")
        add(
            "--to-sequence",
            type=int,
            metavar="N",
            help="number of the last increment to include (default: all)",
        )
        add("--force", action="store_true", help="overwrite an existing file")

    def handle(self, bundles: list[Path], output: Path, **options: Any) -> None:
        merged = merge_bundles(
            bundles=bundles,
            output=output,
            to_sequence=options["to_sequence"],
            overwrite=options["force"],
            max_bytes=get_max_bytes(),
            progress_factory=self.output.progress,
        )
        print_report(self.output, merged.document(), lines=[merged.sentence])

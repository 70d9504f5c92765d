from __future__ import annotations

from pathlib import Path

from rooms.exports.merge_bundles import merge_bundles
from rooms.imports.source import get_max_bytes
from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class MergeBundlesArguments(Arguments):
    bundles: list[Path] = argument("bundles of a chain, or a directory with one", nargs="+")
    output: Path = option("file to write", metavar="FILE", required=True)
    to_sequence: int | None = option(
        "number of the last increment to include (default: all)", metavar="N"
    )
    force: bool = option("overwrite an existing file")


class Command(OperatorCommand[MergeBundlesArguments]):
    service = staticmethod(merge_bundles)
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

    def run(self, given: MergeBundlesArguments) -> None:
        merged = self.call_service(given, overwrite=given.force, max_bytes=get_max_bytes())
        self.print_report(merged)

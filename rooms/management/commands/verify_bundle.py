from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

from rooms.bundle.format import MIB
from rooms.queries.verify_bundle import verify_bundle
from scaiwave.command import OperatorCommand
from scaiwave.errors import UsageError
from scaiwave.output import Column, Kind

FACTS = (
    Column("room", "Room"),
    Column("room_type", "Type"),
    Column("server_name", "From"),
    Column("exported_at", "Exported"),
    Column("whole_room", "Whole room", Kind.FLAG),
    Column("events", "Events", Kind.COUNT),
    Column("senders", "Senders", Kind.COUNT),
    Column("media", "Media", Kind.COUNT),
    Column("missing_media", "Media missing", Kind.COUNT),
    Column("entries", "Entries", Kind.COUNT),
    Column("manifest_sha256", "Manifest SHA-256"),
    Column("signature", "Signature"),
)


class Command(OperatorCommand):
    help = (
        "Check a bundle offline: every hash, checksum and count, every event, and the signature. "
        "Names each entry that is wrong, missing or too many. Exit code 0 only when all is good; "
        "a bundle without a signature that is known can be good too, unless --require-signature "
        "is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "bundle", nargs="?", default="-", help="the file, or - for stdin (default: -)"
        )
        parser.add_argument(
            "--key", help="the signer's public key: ed25519:… (default: this server's own keys)"
        )
        parser.add_argument(
            "--descriptor",
            metavar="FILE",
            type=Path,
            help="the signer's keys: its saved /.well-known/scaiwave/server",
        )
        parser.add_argument(
            "--require-signature",
            action="store_true",
            help="not good without a valid signature by a known key",
        )

    def handle(self, bundle: str, key: str | None, **options: Any) -> None:
        with opened(bundle) as file, self.output.progress("Checking") as progress:
            found = verify_bundle(
                # Given keys need neither database nor network.
                operator=None if key or options["descriptor"] else self.operator,
                file=file,
                most_bytes=settings.CONFIG.number("SCAIWAVE_IMPORT_LIMIT_MB") * MIB,
                key=key,
                descriptor=options["descriptor"],
                require_signature=options["require_signature"],
                progress=progress,
            )
        if self.output.as_json:
            self.output.document(found.document())
        else:
            self.output.record(FACTS, found.facts())
            for problem in found.problems:
                self.output.line(f"Wrong: {problem.message}")
            self.output.line(found.sentence)
        if found.problem is not None:
            raise found.problem


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file, or stdin for a hyphen. Raises `UsageError`."""
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "The bundle is read from stdin, and stdin is a terminal.",
                fix="Name the file: `scaiwave room verify bundle.zip`.",
            )
        yield sys.stdin.buffer
        return
    with _file(path) as file:
        yield file


def _file(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise UsageError(
            f"{path} can't be read: {error.strerror}.", fix="Name a bundle that is there."
        ) from None

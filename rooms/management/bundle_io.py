"""Where a bundle is read from, and what is told of it, by itself and when it is a room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scaiwave.console.output import Column, ColumnType, Output
from scaiwave.errors import UsageError

if TYPE_CHECKING:
    from rooms.queries.verify_bundle import VerifiedBundle
    from rooms.services.imported_room import ImportResult

IMPORTED = (
    Column("name", "Name"),
    Column("room_id", "Id"),
    Column("workspace", "Workspace"),
    Column("signature", "Signature"),
    Column("events", "Events", ColumnType.COUNT),
    Column("stripped", "Stripped"),
    Column("references_cut", "References cut", ColumnType.COUNT),
    Column("media_stored", "Media stored", ColumnType.COUNT),
    Column("media_already_there", "Media already there", ColumnType.COUNT),
    Column("media_missing", "Media missing", ColumnType.COUNT),
    Column("media_infected", "Media infected", ColumnType.COUNT),
)
FOUND = IMPORTED[:3]


VERIFIED = (
    Column("room", "Room"),
    Column("room_type", "Type"),
    Column("server_name", "From"),
    Column("exported_at", "Exported"),
    Column("whole_room", "Whole room", ColumnType.FLAG),
    Column("events", "Events", ColumnType.COUNT),
    Column("senders", "Senders", ColumnType.COUNT),
    Column("media", "Media", ColumnType.COUNT),
    Column("missing_media", "Media missing", ColumnType.COUNT),
    Column("entries", "Entries", ColumnType.COUNT),
    Column("manifest_sha256", "Manifest SHA-256"),
    Column("signature", "Signature"),
)


@contextmanager
def open_input(path: str | None, *, at_terminal: str, unreadable: str) -> Iterator[BinaryIO]:
    """The file, or stdin for None. Raises `UsageError` with one of the fixes given."""
    if path is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "The bundle is read from stdin, and stdin is a terminal.", fix=at_terminal
            )
        yield sys.stdin.buffer
        return
    with _file(path, unreadable) as file:
        yield file


def _file(path: str, unreadable: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.", fix=unreadable) from None


def print_import_result(output: Output, imported: ImportResult) -> None:
    for warning in imported.warnings:
        output.warn(warning)
    if output.as_json:
        output.print_json(imported.document())
        return
    output.print_line(imported.sentence)
    output.print_record(
        IMPORTED if imported.imported or imported.dry_run else FOUND, imported.row()
    )


def print_verification(output: Output, verified: VerifiedBundle) -> None:
    """Raises what keeps the bundle from being relied on, after all was told."""
    if output.as_json:
        output.print_json(verified.document())
    else:
        output.print_record(VERIFIED, verified.facts())
        for problem in verified.problems:
            output.print_line(f"Wrong: {problem.message}")
        output.print_line(verified.sentence)
    if verified.problem is not None:
        raise verified.problem

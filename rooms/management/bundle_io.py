"""Print results of commands that read or write bundles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import Output
from scaiwave.core.errors import ScaiWaveError

if TYPE_CHECKING:
    from rooms.imports.import_room import ImportResult
    from tenants.lookup.serializers import Row


IMPORT_COLUMNS = (
    Column("name", "Name"),
    Column("room_id", "ID"),
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
EXISTING_ROOM_COLUMNS = IMPORT_COLUMNS[:3]

VERIFICATION_COLUMNS = (
    Column("room", "Room"),
    Column("room_type", "Type"),
    Column("server_name", "Server"),
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


def print_report(
    output: Output,
    document: Mapping[str, Any],
    *tables: tuple[str, Sequence[Column], Sequence[Row]],
    lines: Iterable[str] = (),
    warnings: Iterable[str] = (),
    error: ScaiWaveError | None = None,
) -> None:
    """Print the document as JSON, or the tables; then the lines; then raise the error."""
    for warning in warnings:
        output.warn(warning)
    if output.as_json:
        output.print_json(document)
    else:
        for plural, columns, rows in tables:
            output.print_table(plural, columns, rows)
        for line in lines:
            output.print_line(line)
    if error is not None:
        raise error


def print_import_result(output: Output, imported: ImportResult) -> None:
    document = build_import_document(imported)
    print_report(output, document, lines=[imported.sentence], warnings=imported.warnings)
    if not output.as_json:
        is_new = imported.imported or imported.dry_run
        output.print_record(IMPORT_COLUMNS if is_new else EXISTING_ROOM_COLUMNS, imported.row())


def build_import_document(imported: ImportResult) -> Row:
    """Return what --json prints; the HTTP API has a document of its own, `imported.document()`.

    In a dry run, `changed` is whether something would change.
    """
    document = imported.document()
    changed, media = document.pop("imported"), document.pop("media")
    return {
        "room": document.pop("room"),
        "changed": changed or imported.dry_run,
        **document,
        "media": {
            "stored": media["stored"],
            "already_stored": media["already_there"],
            "infected": media["infected"],
            "missing": media["missing"],
        },
    }

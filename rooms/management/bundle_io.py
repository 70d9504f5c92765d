"""Columns and documents of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaiwave.console.columns import Column, ColumnType, columns_of

if TYPE_CHECKING:
    from rooms.imports.import_room import ImportResult
    from tenants.lookup.serializers import Row


IMPORT_COLUMNS = (
    Column("name", "Name"),
    Column("room_id", "ID"),
    *columns_of("workspace", "signature"),
    Column("events", "Events", ColumnType.COUNT),
    Column("stripped", "Stripped"),
    *columns_of(
        "references_cut",
        "media_stored",
        "media_already_there",
        "media_missing",
        "media_infected",
        kind=ColumnType.COUNT,
    ),
)
ROOM_COLUMNS = IMPORT_COLUMNS[:3]

VERIFICATION_COLUMNS = (
    Column("room", "Room"),
    Column("room_type", "Type"),
    Column("server_name", "Server"),
    Column("exported_at", "Exported"),
    Column("whole_room", "Whole room", ColumnType.FLAG),
    *columns_of("events", "senders", "media", kind=ColumnType.COUNT),
    Column("missing_media", "Media missing", ColumnType.COUNT),
    Column("entries", "Entries", ColumnType.COUNT),
    Column("manifest_sha256", "Manifest SHA-256"),
    Column("signature", "Signature"),
)


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

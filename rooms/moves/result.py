"""What the reports of moves have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rooms.bundle.format import INFECTED
from rooms.bundle.manifest.schema import MediaEntry
from rooms.errors import MediaFilesMissing
from rooms.moves.index import RoomEntry
from scaiwave.console.text import pluralize
from scaiwave.core.bulk import list_some
from scaiwave.core.report import Report
from tenants.lookup.serializers import Row


def with_missing(report: Report, missing: Mapping[str, Row], allowed: int) -> Report:
    """Add the files that are missing in an export; more than are allowed are an error."""
    files = list(missing.values())
    return replace(
        report,
        figures={**report.figures, "files_missing": len(files)},
        lists={**report.lists, "missing_files": files},
        error=report.error or find_missing_error(missing, allowed),
    )


def add_missing(missing: dict[str, Row], room_id: str, media: Iterable[MediaEntry]) -> None:
    """Add the files whose bytes the store did not have, by ID; infected ones have none."""
    for entry in media:
        if entry.missing not in {None, INFECTED}:
            row = {"id": entry.media_id, "name": entry.name, "room_id": room_id}
            missing.setdefault(entry.media_id, row)


def find_missing_error(missing: Mapping[str, Row], allowed: int) -> MediaFilesMissing | None:
    if (count := len(missing)) <= allowed:
        return None
    names = list_some([row["name"] for row in missing.values()])
    return MediaFilesMissing(
        f"{pluralize(count, 'file is', 'files are')} missing in the export: {names}.",
        fix="Restore the media store from a backup, and export again with --incremental. If the "
        f"files may be lost, pass --allow-missing-files {count}.",
    )


def list_not_exported(rooms: Sequence[RoomEntry]) -> list[Row]:
    return [
        {"id": room.id, "room_type": room.room_type, "events": room.events, "reason": room.reason}
        for room in rooms
        if room.reason is not None
    ]

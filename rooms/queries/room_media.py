"""The attachments that a room shows, and whether their bytes are there."""

from __future__ import annotations

from rooms.models import Room
from rooms.queries.export_metadata import get_media
from rooms.queries.media import mark_missing
from tenants.queries.serializers import Row


def room_media(room: Room) -> list[Row]:
    """By file name. `missing` says why there are no bytes, in the words of a bundle; the media
    store is asked once for each file, so it takes as long as that takes. Raises `ExportDamaged`
    when the store can't be read."""
    attachments = mark_missing(room.tenant_id, get_media(room), with_bytes=True)
    return [
        {
            "id": attachment.media_id,
            "name": attachment.name,
            "sha256": attachment.sha256,
            "size": attachment.size,
            "mime_type": attachment.mime_type,
            "scan_status": attachment.scan_status,
            "missing": attachment.missing,
        }
        for attachment in sorted(attachments, key=lambda found: (found.name, found.sha256))
    ]

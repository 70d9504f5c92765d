"""Rooms to export, and bundles read with Python's own zipfile and json."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rooms.bundle.manifest.schema import WHOLE_ROOM, TimeWindow, format_timestamp
from rooms.exports.export_room import ExportResult, RoomExport, export_room
from rooms.exports.sinks import write_to_stream
from rooms.models import Media, Room, RoomMedia
from tenants.models import Tenant
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, NOW

Json = dict[str, Any]

EARLY = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
KEY = UUID("0199f3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6")
CONTENTS: list[dict[str, Any]] = [
    {},
    {"msgtype": "swp.text", "body": "Grüße aus 東京 \U0001f469\u200d\U0001f680 \u202e"},
    {"body": 'quotes " and \\ backslashes\n\r\t\x01\x7f\u2028 </script>'},
    {"body": "%s %d {} {{}} $1 ' '' ; --"},
    {"deep": [[[{"a": None}]], True, False, 0, -1, 1.5, 1.5e-9, 2**53, -(2**63)]},
    {"": "empty key", "_imported_sender": None},
    {"long": "x" * 60_000},
]


@dataclass(frozen=True)
class Bundle:
    data: bytes
    result: ExportResult

    @cached_property
    def files(self) -> dict[str, bytes]:
        with zipfile.ZipFile(BytesIO(self.data)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}

    @cached_property
    def manifest(self) -> Json:
        document: Json = json.loads(self.files["manifest.json"])
        return document

    @cached_property
    def signature(self) -> Json:
        document: Json = json.loads(self.files["signature.json"])
        return document

    @property
    def events(self) -> list[Json]:
        events: list[Json] = self.manifest["events"]
        return events


def make_window(since: datetime | None = None, until: datetime | None = None) -> TimeWindow:
    return TimeWindow(
        format_timestamp(since) if since else None, format_timestamp(until) if until else None
    )


def prepare_export(of: Room, **changes: Any) -> Callable[[], RoomExport]:
    """Return a function that starts an export by the host operator, with changes."""
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "tenant": of.tenant.slug,
        "room": str(of.pk),
        "window": WHOLE_ROOM,
        "with_media": True,
        "now": NOW,
        **changes,
    }
    return partial(export_room, **arguments)


def export_bundle(of: Room, **changes: Any) -> Bundle:
    stream = BytesIO()
    result = write_to_stream(prepare_export(of, **changes), stream)
    return Bundle(stream.getvalue(), result)


def make_room(tenant: Tenant | None = None, **fields: Any) -> Room:
    of = tenant or row_factories.make_tenant()
    number = of.workspaces.count()
    place = row_factories.make_workspace(of, f"place{number}")
    return row_factories.make_room(
        place, row_factories.make_participant(of, f"anna{number}"), **fields
    )


def attach_media(
    room: Room, content: bytes, *names: str, stored: bool = True, **fields: Any
) -> Media:
    """Attach these bytes to the room under these names."""
    digest = sha256(content).hexdigest()
    given = {"sha256": digest, "size": len(content), **fields}
    media = row_factories.make_media(room.tenant, **given)
    for name in names or ("photo.png",):
        RoomMedia.objects.create(
            tenant=room.tenant, room=room, media=media, name=name, created_at=NOW
        )
    if stored:
        default_storage.save(media.storage_name, ContentFile(content))
    return media

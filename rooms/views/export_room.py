"""GET /v1/rooms/{id}/export"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from rooms.bundle.format import fit_file_name
from rooms.models import Room
from rooms.services.exports.export_room import RoomExport
from rooms.services.participant_export import export_as_participant
from rooms.views.caller import caller
from scaiwave.api import BadApiRequest, api_view


@api_view("GET")
def export_room_view(request: HttpRequest, room: str) -> HttpResponseBase:
    _require_an_end(request)
    export = export_as_participant(caller=caller(request), room=room, now=timezone.now())
    response = StreamingHttpResponse(_Begun(export), content_type="application/zip")
    response["Content-Disposition"] = attachment(export.room)
    response["Cache-Control"] = "no-store"
    # The client is to see it come, and no proxy to keep bundles on its disk.
    response["X-Accel-Buffering"] = "no"
    return response


def _require_an_end(request: HttpRequest) -> None:
    """An answer of HTTP/1.0 ends with its connection, so half a bundle would look like a whole one:
    to this client, or to whom a proxy passes it on."""
    if request.META.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise BadApiRequest(
            "HTTP/1.0 can't tell a whole answer from a broken one; ask by HTTP/1.1."
        )


def attachment(room: Room) -> str:
    """The room's name as that of a file, for old clients and for those of RFC 6266."""
    name = fit_file_name(room.name or str(room.pk))
    plain = name if name.isascii() else str(room.pk)
    header = f'attachment; filename="{plain}.zip"'
    return header if name.isascii() else f"{header}; filename*=UTF-8''{quote(name)}.zip"


class _Begun:
    """The bytes of an export whose first ones are there: what fails before them has an answer of
    its own. What fails later is raised, so that the server breaks the connection: with a clean end
    the client would take for whole what is not."""

    def __init__(self, export: RoomExport) -> None:
        self._export = export
        self._first: bytes | None = next(export)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if (first := self._first) is not None:
            self._first = None
            return first
        return next(self._export)

    def close(self) -> None:
        """Lets go of the snapshot, also when the client has gone away."""
        self._export.close()

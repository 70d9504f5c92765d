"""GET /v1/rooms/{id}/export"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from rooms.bundle.format import sanitize_file_name
from rooms.exports.export_room import export_as_participant
from rooms.exports.increments import export_increment_as_participant
from rooms.models import Room
from rooms.views.authentication import authenticate
from scaiwave.web.api import BadApiRequest, api_view
from scaiwave.web.streaming import ClosableIterator, PacedStream, StartedStream, can_detect_abort
from scaiwave.web.transfers import reserve_transfer


@api_view("GET")
def export_room_view(request: HttpRequest, room: str) -> HttpResponseBase:
    """Respond 204 if nothing has changed since the bundle of `since_bundle`."""
    require_http_1_1(request)
    caller = authenticate(request)
    since = request.GET.get("since_bundle")

    def start() -> BundleStream:
        if since is None and request.GET.get("increments") not in {"1", "true"}:
            return export_as_participant(caller=caller, room=room, now=timezone.now())
        export = export_increment_as_participant(
            caller=caller, room=room, since=since, now=timezone.now()
        )
        if export is None:
            raise _NothingChanged
        return export

    try:
        return stream_bundle(request, start, transfers_of=str(caller.participant.pk))
    except _NothingChanged:
        return HttpResponse(status=204)


class _NothingChanged(Exception):
    """There is no bundle to send."""


class BundleStream(ClosableIterator, Protocol):
    """An export in progress, or a file made of one. Without a room, the caller names the file."""

    @property
    def room(self) -> Room | None: ...


def stream_bundle(
    request: HttpRequest, start: Callable[[], BundleStream], *, transfers_of: str
) -> StreamingHttpResponse:
    """Return the response with the bundle of an export, whose first piece is read here.

    `start` begins the export once a transfer is reserved. `transfers_of` is the ID of the caller
    whose transfers are counted. The end of the response releases the transfer. Raises
    `RateLimitExceeded`, and what `start` and the first piece raise.
    """
    with ExitStack() as stack:
        stack.enter_context(reserve_transfer(transfers_of))
        export = start()
        started = StartedStream(export)
        started.release = stack.pop_all().close
    response = StreamingHttpResponse(PacedStream(request, started), content_type="application/zip")
    if export.room is not None:
        response["Content-Disposition"] = format_content_disposition(export.room)
    response["Cache-Control"] = "no-store"
    # Let the client see progress, and keep proxies from storing bundles on disk.
    response["X-Accel-Buffering"] = "no"
    return response


def require_http_1_1(request: HttpRequest) -> None:
    """Raises `BadApiRequest`."""
    if not can_detect_abort(request):
        raise BadApiRequest(
            "HTTP/1.0 is not supported, since a client could not detect an incomplete response. "
            "Use HTTP/1.1."
        )


def format_content_disposition(room: Room) -> str:
    """Name the file after the room, in ASCII and in the form of RFC 6266."""
    name = sanitize_file_name(room.name or str(room.pk))
    ascii_name = name if name.isascii() else str(room.pk)  # for clients without `filename*`
    header = f'attachment; filename="{ascii_name}.zip"'
    return header if name.isascii() else f"{header}; filename*=UTF-8''{quote(name)}.zip"

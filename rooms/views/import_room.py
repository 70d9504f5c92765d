"""POST /v1/rooms/import"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from rooms.bundle.format import MIB
from rooms.errors import WorkspaceForbidden
from rooms.queries.workspaces import may_import_somewhere
from rooms.services.imports.import_room import import_room
from rooms.views.caller import caller
from rooms.views.upload import read_upload
from scaiwave.api import api_view, json_response
from tenants.queries.callers import Caller


@api_view("POST")
def import_room_view(request: HttpRequest) -> HttpResponseBase:
    """201 for a new room; 200 where `once` has found the room of an earlier import."""
    who = caller(request)
    most_bytes = settings.CONFIG.get_int("SCAIWAVE_IMPORT_LIMIT_MB") * MIB
    _require_editor(who)
    with read_upload(request, most_bytes=most_bytes) as upload:
        imported = import_room(
            operator=who.operator,
            tenant=str(who.tenant.pk),
            workspace=upload.workspace,
            participant=str(who.participant.pk),
            file=upload.file,
            most_bytes=most_bytes,
            now=timezone.now(),
            once=upload.once,
            cut_references=upload.cut_references,
            require_signature=upload.require_signature,
        )
    return json_response(imported.document(), status=201 if imported.imported else 200)


def _require_editor(who: Caller) -> None:
    """Which workspace it is about stands in the body, and nobody shall fill the disk to be refused
    after that."""
    if not may_import_somewhere(who.participant):
        raise WorkspaceForbidden("You are neither owner nor editor of any workspace.")

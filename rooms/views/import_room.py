"""POST /v1/rooms/import"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from rooms.errors import WorkspaceForbidden
from rooms.imports.append_increment import append_increment
from rooms.imports.apply_increment import LocalChanges
from rooms.imports.import_room import ImportRequest, import_room
from rooms.imports.source import get_max_bytes
from rooms.views.authentication import authenticate
from rooms.views.upload import read_upload
from rooms.workspaces.queries import can_import_somewhere
from scaiwave.core.operators import Permission
from scaiwave.web.api import api_view, json_response
from scaiwave.web.transfers import reserve_transfer


@api_view("POST")
def import_room_view(request: HttpRequest) -> HttpResponseBase:
    """Respond 201 for a new room, 200 for an increment, or if `once` found an earlier import."""
    caller = authenticate(request)
    max_bytes = get_max_bytes()
    # The workspace is only known from the body; these checks keep callers who can't import anywhere
    # from filling the disk first.
    caller.operator.require(Permission.IMPORT_ROOMS)
    if not can_import_somewhere(caller.participant):
        raise WorkspaceForbidden("You are not an owner or editor of any workspace.")
    with (
        reserve_transfer(str(caller.participant.pk)),
        read_upload(request, max_bytes=max_bytes) as (workspace, file, flags),
    ):
        operator = caller.operator
        wanted = ImportRequest(
            tenant=str(caller.tenant.pk),
            workspace=workspace,
            participant=str(caller.participant.pk),
            max_bytes=max_bytes,
            now=timezone.now(),
            cut_references=flags["cut_references"],
            require_signature=flags["require_signature"],
            accept_unsigned=flags["accept_unsigned"],
            public=flags["public"],
        )
        if flags["append"]:
            local_changes = LocalChanges.from_flags(
                keep_local=flags["keep_local"], take_theirs=flags["take_theirs"]
            )
            appended = append_increment(
                operator=operator, request=wanted, file=file, local_changes=local_changes
            )
            return json_response(appended.document())
        imported = import_room(operator=operator, request=wanted, file=file, once=flags["once"])
    return json_response(imported.document(), status=201 if imported.imported else 200)

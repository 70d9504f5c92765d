"""POST /v1/rooms/import by a real client to a real server."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.rooms.views.serving import LIMIT_MB, Served
from tests.rooms.views.test_http_export import refused

MIB = 1024 * 1024
PATH = "/v1/rooms/import"
pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


def post(
    server: Served,
    bundle: bytes | None,
    who: str = "anna",
    *,
    workspace: str | None = "sales",
    **fields: str,
) -> httpx.Response:
    data = fields if workspace is None else {"workspace_id": workspace, **fields}
    files = {"bundle": ("room.zip", b"" if bundle is None else bundle, "application/zip")}
    with server.client(who) as client:
        return client.post(PATH, data=data, files=files)


def edited(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The same bundle with another manifest, and without a signature that would not fit it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry == "manifest.json":
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            if entry != "signature.json":
                new.writestr(entry, content)
    return made.getvalue()


def room_type_is(kind: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["room"].update(room_type=kind)


def rooms_of(server: Served) -> int:
    return server.count("sw_rooms")


def test_success_a_new_room_that_is_the_callers(server: Served, bundle: bytes) -> None:
    answer = post(server, bundle, "berta")
    assert answer.status_code == 201, answer.text
    data, room_id = answer.json()["data"], answer.json()["data"]["room"]["id"]
    assert answer.json() == {"data": data, "meta": {}}
    assert data["room"] == {"id": room_id, "name": "Grüße aus 東京", "workspace": "sales"}
    assert (data["imported"], data["events"], data["signature"]) == (True, 2, "unsigned")
    assert data["media"]["already_there"] == 1
    assert server.ask(
        f"""
from rooms.models import Room
from tenants.models import AuditEntry
room = Room.objects.get(pk="{room_id}")
row = AuditEntry.objects.get(action="import-room", subject_id="{room_id}")
tell([
    room.creator.local_id, [member.participant.local_id for member in room.members.all()],
    room.events.count(), row.operator, row.operator_role, row.origin,
])
"""
    ) == ["berta.acme", ["berta.acme"], 2, "@berta.acme:localhost", "participant", "127.0.0.1"]


def test_success_workspace_by_id_and_export_of_what_came_in(server: Served, bundle: bytes) -> None:
    answer = post(server, bundle, workspace=server.workspaces["sales"])
    room_id = answer.json()["data"]["room"]["id"]
    exported = server.get(f"/v1/rooms/{room_id}/export", server.token())
    with zipfile.ZipFile(io.BytesIO(exported.content)) as archive:
        document = json.loads(archive.read("manifest.json"))
    assert [event["content"]["body"] for event in document["events"]] == ["Grüße aus 東京", "yes"]
    assert document["room"]["creator_id"] == document["events"][1]["sender_id"]


def test_success_once(server: Served, bundle: bytes) -> None:
    first, second = (post(server, bundle, once="true") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["data"]["imported"] is False
    assert second.json()["data"]["room"] == first.json()["data"]["room"]
    assert post(server, bundle, once="false").status_code == 201


def test_success_references_are_cut_when_asked_for(server: Served, bundle: bytes) -> None:
    dangling = edited(bundle, lambda document: document["events"].pop(0))
    status, code, _ = refused(post(server, dangling))
    assert (status, code) == (400, "SW_BUNDLE_DANGLING_REFERENCE")
    answer = post(server, dangling, cut_references="1")
    assert (answer.status_code, answer.json()["data"]["references_cut"]) == (201, 1)


def test_fail_unsigned_where_a_signature_is_required(server: Served, bundle: bytes) -> None:
    assert refused(post(server, bundle, require_signature="true")) == (
        400,
        "SW_ROOM_IMPORT_REFUSED",
        "A signature is required, and nobody who is known has signed the bundle.",
    )


@pytest.mark.parametrize(
    ("who", "workspace", "status", "code", "message"),
    [
        (
            "carla",
            "sales",
            403,
            "SW_WORKSPACE_FORBIDDEN",
            "Carla is viewer of workspace sales; only owners and editors may import there.",
        ),
        (
            "anna",
            "attic",
            404,
            "SW_WORKSPACE_NOT_FOUND",
            "There is no workspace 'attic' in tenant acme.",
        ),
        (
            "anna",
            "other",
            404,
            "SW_WORKSPACE_NOT_FOUND",
            "There is no workspace 'other' in tenant acme.",
        ),
        (
            "dora",
            "sales",
            403,
            "SW_AUTH_INSUFFICIENT_PERMISSION",
            "You may not sign in: the person is suspended by hand.",
        ),
    ],
)
def test_fail_who_and_where(
    who: str, workspace: str, status: int, code: str, message: str, server: Served, bundle: bytes
) -> None:
    before = rooms_of(server)
    assert refused(post(server, bundle, who, workspace=workspace)) == (status, code, message)
    assert rooms_of(server) == before


def test_fail_no_token(server: Served) -> None:
    answer = httpx.post(server.url + PATH, files={"bundle": b"x"})
    assert refused(answer) == (
        401,
        "SW_AUTH_TOKEN_REQUIRED",
        "The request carries no bearer token.",
    )


def test_fail_bundles(server: Served, bundle: bytes) -> None:
    before = rooms_of(server)
    for sent, status, code in (
        (b"not a ZIP at all", 400, "SW_BUNDLE_NOT_ZIP"),
        (b"", 400, "SW_BUNDLE_NOT_ZIP"),
        (bundle[:-100], 400, "SW_BUNDLE_NOT_ZIP"),
        (edited(bundle, room_type_is("bridge")), 400, "SW_ROOM_IMPORT_REFUSED"),
        (edited(bundle, lambda document: document.update(version=9)), 400, "SW_BUNDLE_VERSION"),
        (edited(bundle, lambda document: document.clear()), 400, "SW_BUNDLE_BAD_MANIFEST"),
    ):
        assert refused(post(server, sent))[:2] == (status, code)
    assert rooms_of(server) == before


def test_fail_too_large_while_it_is_read(server: Served) -> None:
    answer = post(server, b"x" * (LIMIT_MB * MIB + 1))
    assert refused(answer) == (
        413,
        "SW_BUNDLE_TOO_LARGE",
        f"The bundle is larger than {LIMIT_MB} MiB.",
    )

"""POST /v1/rooms/import, with a real client and server."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.rooms.increments.made_increments import make_increment
from tests.rooms.views.live_server import LIMIT_MB, LiveServer
from tests.rooms.views.test_http_export import get_error

MIB = 1024 * 1024
PATH = "/v1/rooms/import"
pytestmark = pytest.mark.usefixtures("no_temporary_files_left")


def post_import(
    server: LiveServer,
    bundle: bytes | None,
    caller: str = "anna",
    *,
    workspace: str | None = "sales",
    **fields: str,
) -> httpx.Response:
    data = fields if workspace is None else {"workspace_id": workspace, **fields}
    files = {"bundle": ("room.zip", b"" if bundle is None else bundle, "application/zip")}
    with server.client(caller) as client:
        return client.post(PATH, data=data, files=files)


def edit_bundle(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the bundle with a changed manifest, and without the signature that would not match."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry == "manifest.json":
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            if entry != "signature.json":
                new.writestr(entry, content)
    return changed.getvalue()


def set_room_type(room_type: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["room"].update(room_type=room_type)


def count_rooms(server: LiveServer) -> int:
    return server.count_rows("sw_rooms")


def test_success_the_caller_owns_the_new_room(server: LiveServer, bundle: bytes) -> None:
    response = post_import(server, bundle, "berta")
    assert response.status_code == 201, response.text
    data, room_id = response.json()["data"], response.json()["data"]["room"]["id"]
    assert response.json() == {"data": data, "meta": {}}
    assert data["room"] == {"id": room_id, "name": "Grüße aus 東京", "workspace": "sales"}
    assert (data["imported"], data["events"], data["signature"]) == (True, 2, "unsigned")
    assert data["media"]["already_there"] == 1
    assert server.run_python(
        f"""
from rooms.models import Room
from tenants.models import AuditEntry
room = Room.objects.get(pk="{room_id}")
row = AuditEntry.objects.get(action="import-room", subject_id="{room_id}")
report([
    room.creator.local_id, [member.participant.local_id for member in room.members.all()],
    room.events.count(), row.operator, row.operator_role, row.origin,
])
"""
    ) == ["berta.acme", ["berta.acme"], 2, "@berta.acme:localhost", "participant", "127.0.0.1"]


def test_success_workspace_by_id_and_export_of_the_imported_room(
    server: LiveServer, bundle: bytes
) -> None:
    response = post_import(server, bundle, workspace=server.workspaces["sales"])
    room_id = response.json()["data"]["room"]["id"]
    exported = server.get(f"/v1/rooms/{room_id}/export", server.token())
    with zipfile.ZipFile(io.BytesIO(exported.content)) as archive:
        document = json.loads(archive.read("manifest.json"))
    assert [event["content"]["body"] for event in document["events"]] == ["Grüße aus 東京", "yes"]
    assert document["room"]["creator_id"] == document["events"][1]["sender_id"]


def test_success_once(server: LiveServer, bundle: bytes) -> None:
    first, second = (post_import(server, bundle, once="true") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["data"]["imported"] is False
    assert second.json()["data"]["room"] == first.json()["data"]["room"]
    assert post_import(server, bundle, once="false").status_code == 201


def test_success_references_are_cut_on_request(server: LiveServer, bundle: bytes) -> None:
    dangling = edit_bundle(bundle, lambda document: document["events"].pop(0))
    status, code, _ = get_error(post_import(server, dangling))
    assert (status, code) == (400, "SW_BUNDLE_DANGLING_REFERENCE")
    response = post_import(server, dangling, cut_references="1")
    assert (response.status_code, response.json()["data"]["references_cut"]) == (201, 1)


def test_fail_unsigned_where_a_signature_is_required(server: LiveServer, bundle: bytes) -> None:
    assert get_error(post_import(server, bundle, require_signature="true")) == (
        400,
        "SW_ROOM_IMPORT_REFUSED",
        "The bundle has no signature from a known key, which --require-signature demands.",
    )


@pytest.mark.parametrize(
    ("caller", "workspace", "status", "code", "message"),
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
            "Workspace not found in tenant acme: attic.",
        ),
        (
            "anna",
            "other",
            404,
            "SW_WORKSPACE_NOT_FOUND",
            "Workspace not found in tenant acme: other.",
        ),
        (
            "dora",
            "sales",
            403,
            "SW_AUTH_INSUFFICIENT_PERMISSION",
            "You can't sign in: the person is suspended manually.",
        ),
    ],
)
def test_fail_caller_or_workspace(
    caller: str,
    workspace: str,
    status: int,
    code: str,
    message: str,
    server: LiveServer,
    bundle: bytes,
) -> None:
    before = count_rooms(server)
    assert get_error(post_import(server, bundle, caller, workspace=workspace)) == (
        status,
        code,
        message,
    )
    assert count_rooms(server) == before


def test_fail_a_long_name_is_repeated_in_part(server: LiveServer, bundle: bytes) -> None:
    for name in ("x" * 2_000, "word " * 400):
        response = post_import(server, bundle, workspace=name)
        assert response.status_code == 404
        message = response.json()["error"]["message"]
        assert "…" in message
        assert len(message) <= 1_000


def test_fail_no_token(server: LiveServer) -> None:
    response = httpx.post(server.url + PATH, files={"bundle": b"x"})
    assert get_error(response) == (
        401,
        "SW_AUTH_TOKEN_REQUIRED",
        "The request has no bearer token.",
    )


def test_fail_bundles(server: LiveServer, bundle: bytes) -> None:
    before = count_rooms(server)
    for request_bytes, status, code in (
        (b"not a ZIP at all", 400, "SW_BUNDLE_NOT_ZIP"),
        (b"", 400, "SW_BUNDLE_NOT_ZIP"),
        (bundle[:-100], 400, "SW_BUNDLE_NOT_ZIP"),
        (edit_bundle(bundle, set_room_type("bridge")), 400, "SW_ROOM_IMPORT_REFUSED"),
        (
            edit_bundle(bundle, lambda document: document.update(version=9)),
            400,
            "SW_BUNDLE_VERSION",
        ),
        (edit_bundle(bundle, lambda document: document.clear()), 400, "SW_BUNDLE_BAD_MANIFEST"),
    ):
        assert get_error(post_import(server, request_bytes))[:2] == (status, code)
    assert count_rooms(server) == before


def test_fail_too_large_while_it_is_read(server: LiveServer) -> None:
    response = post_import(server, b"x" * (LIMIT_MB * MIB + 1))
    assert get_error(response) == (
        413,
        "SW_BUNDLE_TOO_LARGE",
        f"The bundle is larger than {LIMIT_MB} MiB.",
    )


def test_success_append(server: LiveServer, bundle: bytes) -> None:
    room = post_import(server, bundle).json()["data"]["room"]["id"]
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        first, *_, last = json.loads(archive.read("manifest.json"))["events"]
    new_id = "01990000-0000-7000-8000-00000000beef"
    events = [
        {"change": "changed", **first, "content": {"body": "changed"}},
        {"change": "added", **last, "id": new_id, "stream_position": last["stream_position"] + 1},
    ]
    link = make_increment(bundle, events)
    path = f"{PATH}?append=1"
    before = count_rooms(server)
    for expected in (True, False):
        files = {"bundle": ("link.zip", link, "application/zip")}
        with server.client("anna") as client:
            response = client.post(path, data={"workspace_id": "sales"}, files=files)
        assert response.status_code == 200, response.text
        document = response.json()["data"]
        assert (document["room"]["id"], document["changed"]) == (room, expected)
        assert document["events"]["added"] == document["events"]["changed"] == int(expected)
    assert count_rooms(server) == before
    assert get_error(post_import(server, link))[:2] == (400, "SW_BUNDLE_VERSION")
    assert get_error(post_import(server, bundle, append="true"))[:2] == (
        400,
        "SW_BUNDLE_CHAIN_OTHER",
    )
    wrong = post_import(server, link, append="true", keep_local="true", take_theirs="true")
    assert wrong.status_code == 400

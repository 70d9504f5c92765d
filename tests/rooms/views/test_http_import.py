"""POST /v1/rooms/import by a real client to a real server."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.rooms.views.serving import LIMIT_MB, Served, eventually
from tests.rooms.views.test_http_export import refused

MIB = 1024 * 1024
PATH = "/v1/rooms/import"


@pytest.fixture
def bundle(server: Served) -> bytes:
    return server.bundle()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(server: Served) -> Iterator[None]:
    yield
    eventually(lambda: server.temporary_files == [])


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


def test_fail_before_the_body(server: Served) -> None:
    """Whoever may import nowhere, or sends too much, is told without a byte of the body."""
    nowhere = "You are neither owner nor editor of any workspace."
    assert _raw(server, _head(server, 1000, "emil")) == (
        b"HTTP/1.1 403",
        {"code": "SW_WORKSPACE_FORBIDDEN", "message": nowhere},
    )
    too_large = f"The bundle is larger than {LIMIT_MB} MiB."
    assert _raw(server, _head(server, 5 * MIB)) == (
        b"HTTP/1.1 413",
        {"code": "SW_BUNDLE_TOO_LARGE", "message": too_large},
    )


def test_fail_too_large_while_it_is_read(server: Served) -> None:
    answer = post(server, b"x" * (LIMIT_MB * MIB + 1))
    assert refused(answer) == (
        413,
        "SW_BUNDLE_TOO_LARGE",
        f"The bundle is larger than {LIMIT_MB} MiB.",
    )


def test_fail_without_a_length(server: Served) -> None:
    with server.client() as client:
        answer = client.post(
            PATH,
            content=iter([b"--x--\r\n"]),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
    assert refused(answer) == (
        411,
        "SW_REQUEST_LENGTH_REQUIRED",
        "The request does not say how long it is (Content-Length).",
    )


FIELD = b'--x\r\nContent-Disposition: form-data; name="workspace_id"\r\n\r\nsales\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.zip"\r\n\r\nPK\r\n'
END = b"--x--\r\n"

BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "The file `bundle` is missing."),
    "no file": (FIELD + END, "The file `bundle` is missing."),
    "no workspace": (FILE % b"bundle" + END, "The field `workspace_id` is missing."),
    "another file": (
        FIELD + FILE % b"photo" + END,
        "The request has files other than the one `bundle`.",
    ),
    "two files": (
        FIELD + FILE % b"bundle" * 2 + END,
        "The request has files other than the one `bundle`.",
    ),
    "odd switch": (
        FIELD + FIELD.replace(b"workspace_id", b"once") + FILE % b"bundle" + END,
        "The field `once` is neither true nor false.",
    ),
    "field that never ends": (
        FIELD.replace(b"sales", b"x" * 3 * MIB),
        "The bundle is larger than 1 MiB.",
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_fail_body(case: str, server: Served) -> None:
    body, message = BODIES[case]
    with server.client() as client:
        answer = client.post(
            PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
    assert refused(answer)[2] == message


@pytest.mark.parametrize("content_type", ["application/zip", "multipart/form-data", ""])
def test_fail_content_type(content_type: str, server: Served) -> None:
    with server.client() as client:
        answer = client.post(PATH, content=b"PK", headers={"Content-Type": content_type})
    assert refused(answer)[:2] == (400, "SW_REQUEST_INVALID")


def test_fail_client_that_goes_away_in_the_middle(server: Served, bundle: bytes) -> None:
    before = rooms_of(server)
    status, error = _raw(server, _head(server, MIB) + FIELD + FILE[:-4] % b"bundle" + bundle)
    assert status == b"HTTP/1.1 400"
    assert error["code"] in {"SW_REQUEST_INVALID", "SW_BUNDLE_NOT_ZIP"}
    assert rooms_of(server) == before
    assert post(server, bundle).status_code == 201


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_fail_method(method: str, server: Served) -> None:
    answer = httpx.request(method, server.url + PATH)
    assert refused(answer)[:2] == (405, "SW_METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


def _head(server: Served, length: int, who: str = "anna") -> bytes:
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token(who)}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _raw(server: Served, sent: bytes) -> tuple[bytes, dict[str, str]]:
    """Status line and error of what is answered to these bytes."""
    answered = server.raw(sent).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = answered.partition(b"\r\n\r\n")
    error: dict[str, str] = json.loads(body)["error"]
    return head[:12], error

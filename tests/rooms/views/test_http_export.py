"""GET /v1/rooms/{id}/export, with a real client and server."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx
import pytest

from rooms.bundle.chain import open_chain
from tests.conftest import ON_POSTGRES
from tests.rooms.views.live_server import LiveServer, wait_until
from tests.rooms.views.sample_data import BIG_EVENTS


def export(server: LiveServer, room: str, token: str | None) -> httpx.Response:
    return server.get(f"/v1/rooms/{server.rooms.get(room, room)}/export", token)


def get_error(response: httpx.Response) -> tuple[int, str, str]:
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    return response.status_code, error["code"], error["message"]


def read_manifest(bundle: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert archive.testzip() is None
        document: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return document


def test_success_complete_bundle(server: LiveServer) -> None:
    response = export(server, "lobby", server.token())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == (
        f'attachment; filename="{server.rooms["lobby"]}.zip"; '
        "filename*=UTF-8''Gr%C3%BC%C3%9Fe%20aus%20%E6%9D%B1%E4%BA%AC.zip"
    )
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    document = read_manifest(response.content)
    assert document["room"]["id"] == server.rooms["lobby"]
    assert [event["stream_position"] for event in document["events"]] == [1, 2]
    assert [media["missing"] for media in document["media"]] == [None]


def test_success_by_alias_and_with_any_case_of_the_scheme(server: LiveServer) -> None:
    headers = {"Authorization": f"bearer  {server.token()}"}
    response = httpx.get(f"{server.url}/v1/rooms/lobby/export", headers=headers)
    assert read_manifest(response.content)["room"]["id"] == server.rooms["lobby"]


def test_success_audited_under_the_caller(server: LiveServer) -> None:
    code = """
from tenants.models import AuditEntry
row = AuditEntry.objects.filter(action="export-room").order_by("-at", "-id")[0]
report([row.operator, row.operator_role, row.origin, row.subject_id, row.tenant_slug])
"""
    with server.client(headers={"X-Forwarded-For": "198.51.100.9, 203.0.113.7"}) as client:
        client.get(f"/v1/rooms/{server.rooms['lobby']}/export")
    assert server.run_python(code) == [
        "@anna.acme:localhost",
        "participant",
        "203.0.113.7",
        server.rooms["lobby"],
        "acme",
    ]


def test_success_several_at_once_and_the_keys_fetched_once(server: LiveServer) -> None:
    export(server, "lobby", server.token())
    before = server.sandbox.requests.total
    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda _: export(server, "big", server.token()), range(4)))
    assert [len(read_manifest(response.content)["events"]) for response in responses] == [
        BIG_EVENTS
    ] * 4
    assert server.sandbox.requests.total == before


INVALID, DENIED = (401, "SW_AUTH_INVALID_TOKEN"), (403, "SW_AUTH_INSUFFICIENT_PERMISSION")
EXPIRED, NOT_FOUND = (401, "SW_AUTH_EXPIRED_TOKEN"), (404, "SW_TENANT_NOT_FOUND")
TOKENS: dict[str, tuple[dict[str, Any], tuple[int, str], str]] = {
    "expired": ({"exp": 1_700_000_000}, EXPIRED, "The token has expired."),
    "unknown key": (
        {"kid": "unknown"},
        INVALID,
        "The token is signed with a key that ScaiKey does not list.",
    ),
    "unknown tenant": (
        {"tenant_id": "tnt_none"},
        NOT_FOUND,
        "This server does not have the tenant of the token.",
    ),
    "tenant that can't be stored": (
        {"tenant_id": "tnt\0"},
        INVALID,
        "The token is malformed: its tenant_id is not an ID.",
    ),
    "no tenant": ({"tenant_id": None}, NOT_FOUND, "The token does not name a tenant."),
    "unknown user": (
        {"sub": "usr_unknown"},
        DENIED,
        "The token's user is not a participant of tenant acme.",
    ),
    "user of another tenant": (
        {"tenant_id": "tnt_globex"},
        DENIED,
        "The token's user is not a participant of tenant globex.",
    ),
    "suspended": (
        {"sub": "usr_dora"},
        DENIED,
        "You can't sign in: the person is suspended manually.",
    ),
    "administrator's role": (
        {"sub": "usr_unknown", "role": "super_admin"},
        DENIED,
        "The token's user is not a participant of tenant acme.",
    ),
}


@pytest.mark.parametrize("case", TOKENS)
def test_fail_token(case: str, server: LiveServer) -> None:
    claims, refusal, message = TOKENS[case]
    response = export(server, "lobby", server.token(**claims))
    assert get_error(response) == (*refusal, message)
    challenge = 'Bearer realm="scaiwave", error="invalid_token"'
    assert response.headers.get("www-authenticate") == (challenge if refusal[0] == 401 else None)


def test_fail_signed_with_an_unknown_key(server: LiveServer) -> None:
    forged = server.token(key=server.sandbox.keys.foreign_key())
    assert get_error(export(server, "lobby", forged)) == (
        401,
        "SW_AUTH_INVALID_TOKEN",
        "The token's signature is invalid.",
    )


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "abc"])
def test_fail_no_token(header: str | None, server: LiveServer) -> None:
    """A session cookie of the admin site is ignored."""
    headers = {"Cookie": "sessionid=x"} | ({} if header is None else {"Authorization": header})
    response = httpx.get(f"{server.url}/v1/rooms/lobby/export", headers=headers)
    expected = (401, "SW_AUTH_TOKEN_REQUIRED", "The request has no bearer token.")
    assert get_error(response) == expected
    assert response.headers["www-authenticate"] == 'Bearer realm="scaiwave"'


@pytest.mark.parametrize(
    ("caller", "room", "status", "code", "message"),
    [
        ("berta", "lobby", 403, "SW_NOT_MEMBER", "You are not a member of room {id}."),
        ("carla", "lobby", 403, "SW_NOT_MEMBER", "You are not a member of room {id}."),
        ("berta", "bridge", 403, "SW_NOT_MEMBER", "You are not a member of room {id}."),
        (
            "anna",
            "elsewhere",
            404,
            "SW_ROOM_NOT_FOUND",
            "Room not found in tenant acme: {id}.",
        ),
        ("anna", "attic", 404, "SW_ROOM_NOT_FOUND", "Room not found in tenant acme: {id}."),
        (
            "anna",
            "bridge",
            400,
            "SW_ROOM_EXPORT_REFUSED",
            "Can't export room {id}: its type is bridge.",
        ),
    ],
)
def test_fail_room(
    caller: str, room: str, status: int, code: str, message: str, server: LiveServer
) -> None:
    response = export(server, room, server.token(caller))
    assert get_error(response) == (status, code, message.format(id=server.rooms.get(room, room)))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_fail_method(method: str, server: LiveServer) -> None:
    response = httpx.request(method, f"{server.url}/v1/rooms/lobby/export")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    if method != "HEAD":
        assert response.json()["error"] == {
            "code": "SW_METHOD_NOT_ALLOWED",
            "message": "This address supports GET only.",
        }


@pytest.mark.parametrize("path", ["/v1/", "/v1/rooms", "/v1/rooms/lobby/export/", "/v1/x/y"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_fail_unknown_address(method: str, path: str, server: LiveServer) -> None:
    response = httpx.request(method, server.url + path)
    assert get_error(response) == (404, "SW_NOT_FOUND", "There is no such address.")


def test_fail_host(server: LiveServer) -> None:
    response = httpx.get(f"{server.url}/v1/rooms/lobby/export", headers={"Host": "evil.example"})
    expected = (400, "SW_REQUEST_INVALID", "The request was rejected before it was read.")
    assert get_error(response) == expected
    assert httpx.get(server.url, headers={"Host": "evil.example"}).status_code == 400


def test_fail_http_1_0(server: LiveServer) -> None:
    """nginx sends HTTP/1.0 to upstream servers by default."""
    head = "GET /v1/rooms/lobby/export HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer"
    response = server.send_raw(f"{head} {server.token()}\r\n\r\n".encode())
    assert response.split(b" ")[1] == b"400"
    assert b"HTTP/1.0 is not supported" in response
    assert b"Use HTTP/1.1." in response


def test_fail_after_the_first_byte_breaks_the_connection(server: LiveServer) -> None:
    received = io.BytesIO()
    with server.client() as client:
        with client.stream("GET", f"/v1/rooms/{server.rooms['damaged']}/export") as response:
            assert response.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                received.writelines(response.iter_raw())
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(received)
    assert "ExportDamaged" in server.log
    assert export(server, "lobby", server.token()).status_code == 200


def test_success_disconnected_client_releases_the_snapshot(server: LiveServer) -> None:
    small_buffer = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
    transport = httpx.HTTPTransport(socket_options=small_buffer)
    with server.client(transport=transport) as client:
        with client.stream("GET", f"/v1/rooms/{server.rooms['big']}/export") as response:
            chunks = response.iter_raw()
            next(chunks)
            assert _has_snapshot(server)
    wait_until(lambda: not _has_snapshot(server))
    assert len(read_manifest(server.export_bundle("big"))["events"]) == BIG_EVENTS


def _has_snapshot(server: LiveServer) -> bool:
    """Whether a process still reads an old snapshot of the database."""
    return _has_open_transaction(server) if ON_POSTGRES else _has_blocked_checkpoint(server)


def _has_open_transaction(server: LiveServer) -> bool:
    with server.connect() as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        ).fetchone()
    return bool(count)


def _has_blocked_checkpoint(server: LiveServer) -> bool:
    """Whether an open reader keeps a checkpoint from emptying the write-ahead log."""
    with server.connect() as connection:
        connection.execute("UPDATE sw_tenants SET name = name")
        connection.execute("PRAGMA busy_timeout = 0")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy)


def test_success_increments(server: LiveServer) -> None:
    """Bundles are known by the SHA-256 of their manifests, to the server that has sent them."""
    base = export_since(server, increments="1")
    assert read_manifest(base.content)["version"] == 1
    assert export_since(server, since_bundle=hash_manifest(base)).status_code == 204
    change = """
from rooms.models import Event
event = Event.objects.filter(room_id=%r).order_by("stream_position")[0]
old, event.content = event.content, %r
event.save()
report(old)
"""
    old = server.run_python(change % (server.rooms["lobby"], {"body": "changed once"}))
    first = export_since(server, since_bundle=hash_manifest(base))
    manifest = read_manifest(first.content)
    assert (manifest["version"], manifest["chain"]["sequence"]) == (2, 1)
    assert [event["change"] for event in manifest["events"]] == ["changed"]
    server.run_python(change % (server.rooms["lobby"], {"body": "changed twice"}))
    second = export_since(server, since_bundle=hash_manifest(first))
    server.run_python(change % (server.rooms["lobby"], old))  # other files' tests have this server
    assert read_manifest(second.content)["chain"]["sequence"] == 2
    files = {str(number): response.content for number, response in enumerate((base, first, second))}
    with open_chain(
        [(name, io.BytesIO(data)) for name, data in files.items()], max_bytes=2**24
    ) as chain:
        assert chain.state.sequence == 2


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", ""])
def test_fail_increment_of_an_unknown_bundle(server: LiveServer, digest: str) -> None:
    error = get_error(export_since(server, since_bundle=digest))
    assert error[:2] == (409, "SW_ROOM_EXPORT_BASE_UNKNOWN")


def test_fail_increments_of_another_room(server: LiveServer) -> None:
    base = export_since(server, increments="1")
    path = f"/v1/rooms/{server.rooms['big']}/export?since_bundle={hash_manifest(base)}"
    error = get_error(server.get(path, server.token()))
    assert error[:2] == (409, "SW_ROOM_EXPORT_BASE_UNKNOWN")


def export_since(server: LiveServer, **query: str) -> httpx.Response:
    with server.client() as client:
        return client.get(f"/v1/rooms/{server.rooms['lobby']}/export", params=query)


def hash_manifest(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return sha256(archive.read("manifest.json")).hexdigest()

"""Import requests with an invalid head, an invalid body, or a missing end."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.rooms.views.live_server import LIMIT_MB, LiveServer
from tests.rooms.views.test_http_export import get_error
from tests.rooms.views.test_http_import import MIB, PATH, count_rooms, post_import

pytestmark = pytest.mark.usefixtures("no_temporary_files_left")


def test_fail_before_the_body(server: LiveServer) -> None:
    """Missing permission and excess size are reported before the body is read."""
    message = "You are not an owner or editor of any workspace."
    assert _send_raw(server, _build_head(server, 1000, "emil")) == (
        b"HTTP/1.1 403",
        {"code": "SW_WORKSPACE_FORBIDDEN", "message": message},
    )
    head = _build_head(server, 1000, "anna", scope="openid rooms:export")
    message = "@anna.acme:localhost (participant) may not import rooms."
    assert _send_raw(server, head) == (
        b"HTTP/1.1 403",
        {"code": "SW_AUTH_INSUFFICIENT_PERMISSION", "message": message},
    )
    too_large = f"The bundle is larger than {LIMIT_MB} MiB."
    assert _send_raw(server, _build_head(server, 5 * MIB)) == (
        b"HTTP/1.1 413",
        {"code": "SW_BUNDLE_TOO_LARGE", "message": too_large},
    )


def test_fail_without_a_length(server: LiveServer) -> None:
    with server.client() as client:
        response = client.post(
            PATH,
            content=iter([b"--x--\r\n"]),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
    assert get_error(response) == (
        411,
        "SW_REQUEST_LENGTH_REQUIRED",
        "The request has no Content-Length.",
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
        "The request must contain one file only, named `bundle`.",
    ),
    "two files": (
        FIELD + FILE % b"bundle" * 2 + END,
        "The request must contain one file only, named `bundle`.",
    ),
    "invalid flag": (
        FIELD + FIELD.replace(b"workspace_id", b"once") + FILE % b"bundle" + END,
        "The field `once` must be true or false.",
    ),
    "field that never ends": (
        FIELD.replace(b"sales", b"x" * 3 * MIB),
        "The bundle is larger than 1 MiB.",
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_fail_body(case: str, server: LiveServer) -> None:
    body, message = BODIES[case]
    with server.client() as client:
        response = client.post(
            PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
    assert get_error(response)[2] == message


@pytest.mark.parametrize("content_type", ["application/zip", "multipart/form-data", ""])
def test_fail_content_type(content_type: str, server: LiveServer) -> None:
    with server.client() as client:
        response = client.post(PATH, content=b"PK", headers={"Content-Type": content_type})
    assert get_error(response)[:2] == (400, "SW_REQUEST_INVALID")


def test_fail_client_disconnects_in_the_middle(server: LiveServer, bundle: bytes) -> None:
    before = count_rooms(server)
    status, error = _send_raw(
        server, _build_head(server, MIB) + FIELD + FILE[:-4] % b"bundle" + bundle
    )
    assert status == b"HTTP/1.1 400"
    assert error["code"] in {"SW_REQUEST_INVALID", "SW_BUNDLE_NOT_ZIP"}
    assert count_rooms(server) == before
    assert post_import(server, bundle).status_code == 201


def test_fail_client_disconnects_before_the_last_fields(server: LiveServer, bundle: bytes) -> None:
    """The bundle is complete, and the flags that would make the import stricter are missing."""
    before = count_rooms(server)
    request_bytes = FIELD + FILE[:-4] % b"bundle" + bundle + b"\r\n--x\r\n"
    assert _send_raw(server, _build_head(server, len(request_bytes) + 100) + request_bytes) == (
        b"HTTP/1.1 400",
        {
            "code": "SW_REQUEST_INVALID",
            "message": "The request ended before its Content-Length.",
        },
    )
    assert count_rooms(server) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_fail_method(method: str, server: LiveServer) -> None:
    response = httpx.request(method, server.url + PATH)
    assert get_error(response)[:2] == (405, "SW_METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "POST"


def _build_head(server: LiveServer, length: int, caller: str = "anna", **claims: str) -> bytes:
    token = server.token(caller, **claims)
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _send_raw(server: LiveServer, request_bytes: bytes) -> tuple[bytes, dict[str, str]]:
    """Send these bytes; return the status line and the error of the response."""
    response = server.send_raw(request_bytes).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = response.partition(b"\r\n\r\n")
    error: dict[str, str] = json.loads(body)["error"]
    return head[:12], error

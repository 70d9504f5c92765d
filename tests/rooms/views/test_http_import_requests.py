"""Requests to import that are not what they should be, in their head, their body or their end."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.rooms.views.serving import LIMIT_MB, Served
from tests.rooms.views.test_http_export import refused
from tests.rooms.views.test_http_import import MIB, PATH, post, rooms_of

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


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


def test_fail_client_that_goes_away_before_the_last_fields(server: Served, bundle: bytes) -> None:
    """The bundle is whole, and what it was to be refused by is missing."""
    before = rooms_of(server)
    sent = FIELD + FILE[:-4] % b"bundle" + bundle + b"\r\n--x\r\n"
    assert _raw(server, _head(server, len(sent) + 100) + sent) == (
        b"HTTP/1.1 400",
        {
            "code": "SW_REQUEST_INVALID",
            "message": "The request ended before it was as long as it says.",
        },
    )
    assert rooms_of(server) == before


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

from __future__ import annotations

import json
import logging

import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.test import RequestFactory
from pytest_django import Settings

from scaiwave.auth.bearer import get_client_address
from scaiwave.config import load
from scaiwave.core.errors import (
    ConflictError,
    DatabaseUnreachable,
    ExpiredToken,
    InsufficientPermission,
    TokenRequired,
    UpstreamUnreachable,
)
from scaiwave.web.api import SERVER_ERROR_MESSAGE, api_view, json_response

StatusAndError = tuple[int, dict[str, str]]


def build_response(
    error: Exception, request: HttpRequest | None = None
) -> tuple[StatusAndError, HttpResponseBase]:
    """What a view that raises this answers."""

    @api_view("GET")
    def view(request: HttpRequest) -> HttpResponseBase:
        raise error

    response = view(request or RequestFactory().get("/v1/x"))
    assert isinstance(response, HttpResponse)
    return (response.status_code, json.loads(response.content)["error"]), response


def test_success_envelope() -> None:
    response = json_response({"a": "ä\u202e"}, status=201, meta={"next": None})
    assert response.status_code == 201
    assert json.loads(response.content) == {"data": {"a": "ä\u202e"}, "meta": {"next": None}}
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"


class Taken(ConflictError):
    code = "SW_TAKEN"


@pytest.mark.parametrize(
    ("error", "status", "code", "challenge"),
    [
        (Taken("It is taken."), 409, "SW_TAKEN", None),
        (InsufficientPermission("No."), 403, "SW_AUTH_INSUFFICIENT_PERMISSION", None),
        (TokenRequired("Who?"), 401, "SW_AUTH_TOKEN_REQUIRED", 'Bearer realm="scaiwave"'),
        (
            ExpiredToken("Late."),
            401,
            "SW_AUTH_EXPIRED_TOKEN",
            'Bearer realm="scaiwave", error="invalid_token"',
        ),
    ],
)
def test_fail_errors_are_returned(
    error: Exception, status: int, code: str, challenge: str | None
) -> None:
    found, response = build_response(error)
    assert found == (status, {"code": code, "message": str(error)})
    assert response.get("WWW-Authenticate") == challenge


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DatabaseUnreachable("The database x on y can't be used."), 503, "SW_DATABASE_UNREACHABLE"),
        (OperationalError("connection to 10.0.0.1 failed"), 503, "SW_DATABASE_UNREACHABLE"),
        (UpstreamUnreachable("10.0.0.1 does not answer."), 502, "SW_UPSTREAM_UNREACHABLE"),
        (ValueError("secret"), 500, "SW_INTERNAL"),
    ],
)
def test_fail_server_errors_are_only_logged(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    found, _ = build_response(error)
    assert found == (status, {"code": code, "message": SERVER_ERROR_MESSAGE})
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(error) in caplog.text
    assert ("Traceback" in caplog.text) is isinstance(error, ValueError)


@pytest.mark.parametrize("error", [RequestDataTooBig("Too much."), UnreadablePostError("Gone.")])
def test_fail_request_that_can_not_be_read(error: Exception) -> None:
    message = f"The request can't be read: {error}"
    assert build_response(error)[0] == (400, {"code": "SW_REQUEST_INVALID", "message": message})


LOAD_BALANCER = "127.0.0.0/8,::1,10.0.0.5,192.0.2.0/28,2001:db8:1::/64"


@pytest.mark.parametrize(
    ("proxies", "peer", "named", "address"),
    [
        # By default, a proxy on this host. A Unix socket has no address.
        (None, "203.0.113.7", "", "203.0.113.7"),
        (None, "203.0.113.7", "10.0.0.1", "203.0.113.7"),
        (None, "127.0.0.1", "", "127.0.0.1"),
        (None, "127.0.0.1", "198.51.100.9", "198.51.100.9"),
        (None, "127.0.0.1", "1.1.1.1, 198.51.100.9", "198.51.100.9"),
        (None, "127.0.0.1", "198.51.100.9, 10.0.0.5", "10.0.0.5"),
        (None, "::1", "2001:db8::1", "2001:db8::1"),
        (None, "127.0.0.1", "<script>", "127.0.0.1"),
        (None, "", "198.51.100.9", "198.51.100.9"),
        (None, "", "", ""),
        # Behind a load balancer: past each trusted proxy, and no further.
        (LOAD_BALANCER, "10.0.0.5", "198.51.100.9", "198.51.100.9"),
        (LOAD_BALANCER, "127.0.0.1", "198.51.100.9, 10.0.0.5", "198.51.100.9"),
        (LOAD_BALANCER, "::1", "198.51.100.9,192.0.2.15,2001:db8:1::7", "198.51.100.9"),
        (LOAD_BALANCER, "10.0.0.6", "198.51.100.9", "10.0.0.6"),
        (LOAD_BALANCER, "127.0.0.1", "198.51.100.9, 192.0.2.16", "192.0.2.16"),
        (LOAD_BALANCER, "::ffff:10.0.0.5", "198.51.100.9", "198.51.100.9"),
        (LOAD_BALANCER, "10.0.0.5", "198.51.100.9, ::ffff:127.0.0.1", "198.51.100.9"),
        (LOAD_BALANCER, "10.0.0.5", "192.0.2.1, 127.0.0.1", "192.0.2.1"),
        # What a client sends stands before its own address, also if it names trusted proxies.
        (LOAD_BALANCER, "10.0.0.5", "203.0.113.1, 127.0.0.1, 198.51.100.9", "198.51.100.9"),
        (LOAD_BALANCER, "127.0.0.1", "203.0.113.1, 198.51.100.9, 10.0.0.5", "198.51.100.9"),
        (LOAD_BALANCER, "198.51.100.9", "203.0.113.1, 10.0.0.5", "198.51.100.9"),
        # An entry that is not an address ends the walk: what is before it is not to be trusted.
        (LOAD_BALANCER, "127.0.0.1", "203.0.113.1, unknown, 10.0.0.5", "10.0.0.5"),
        (LOAD_BALANCER, "10.0.0.5", "203.0.113.1, , 127.0.0.1", "127.0.0.1"),
        (LOAD_BALANCER, "10.0.0.5", "203.0.113.1,", "10.0.0.5"),
        (LOAD_BALANCER, "10.0.0.5", "198.51.100.9:4711", "10.0.0.5"),
        (LOAD_BALANCER, "10.0.0.5", "[2001:db8::1]", "10.0.0.5"),
        (LOAD_BALANCER, "10.0.0.5", "fe80::1%<script>", "10.0.0.5"),
        (LOAD_BALANCER, "10.0.0.5", "010.0.0.5", "10.0.0.5"),
        # A client can send thousands of entries, of which the last are enough.
        (LOAD_BALANCER, "10.0.0.5", "1.1.1.1," + "10.0.0.5," * 19 + "127.0.0.1", "10.0.0.5"),
        (LOAD_BALANCER, "10.0.0.5", "1.1.1.1," + "10.0.0.5," * 18 + "127.0.0.1", "1.1.1.1"),
        # Without loopback among the proxies, another process of this host is a client.
        ("10.0.0.5", "127.0.0.1", "198.51.100.9", "127.0.0.1"),
        ("10.0.0.5", "", "198.51.100.9", "198.51.100.9"),
    ],
)
def test_success_client_address(
    proxies: str | None, peer: str, named: str, address: str, settings: Settings
) -> None:
    values = {"SCAIWAVE_TRUSTED_PROXIES": proxies} if proxies else {}
    settings.TRUSTED_PROXIES = load(values).get_networks("SCAIWAVE_TRUSTED_PROXIES")
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=named)
    assert get_client_address(request) == address

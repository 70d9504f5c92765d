"""What the client makes of ScaiGrid's refusals."""

from __future__ import annotations

from typing import Any

import pytest

from scaiwave.clients.errors import BudgetExceeded, UpstreamRejected
from scaiwave.clients.scaigrid.responses import FIXES
from scaiwave.core.errors import (
    ScaiWaveError,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from tests.scaiwave.clients.raw_socket_server import RawResponse, RawServer, make_response
from tests.scaiwave.clients.test_scaigrid import KEY, with_key


def error_of(code: str, *, status: int, **error: Any) -> RawResponse:
    body = {
        "status": "error",
        "error": {"code": code, "message": "As sent.", **error},
        "meta": {"request_id": "req_1"},
    }
    return make_response(body, status=status)


def refused(respond: RawResponse) -> tuple[ScaiWaveError, int]:
    """The error of a call that gets this answer, and how often it was tried."""
    with RawServer(lambda request: respond) as server, with_key(server.origin) as client:
        with pytest.raises(ScaiWaveError) as caught:
            client.me()
        return caught.value, len(server.requests)


KINDS = {
    "AUTH_TOKEN_MISSING": (401, UpstreamUnauthorized),
    "AUTH_TOKEN_INVALID": (401, UpstreamUnauthorized),
    "SERVICE_TOKEN_INVALID": (401, UpstreamUnauthorized),
    "AUTH_INSUFFICIENT_SCOPE": (403, UpstreamForbidden),
    "AUTHZ_PERMISSION_DENIED": (403, UpstreamForbidden),
    "MODEL_ACCESS_DENIED": (403, UpstreamForbidden),
    "MODEL_NOT_FOUND": (404, UpstreamNotFound),
    "VALIDATION_ERROR": (422, UpstreamRejected),
    "BUDGET_EXCEEDED": (429, BudgetExceeded),
    "RATE_LIMITED": (429, UpstreamUnavailable),
    "BACKEND_RATE_LIMITED": (429, UpstreamUnavailable),
    "BACKEND_ERROR": (502, UpstreamUnavailable),
    "MODEL_UNAVAILABLE": (503, UpstreamUnavailable),
    "BACKEND_TIMEOUT": (504, UpstreamUnavailable),
}


@pytest.mark.parametrize("code", FIXES)
def test_fail_every_code_has_a_fix(code: str) -> None:
    status, kind = KINDS[code]
    error, tries = refused(error_of(code, status=status, retry_after=30))
    assert type(error) is kind
    assert error.message.endswith(f": {code}, As sent (request req_1).")
    assert error.fix == FIXES[code]
    assert (error.details["upstream_code"], error.details["request_id"]) == (code, "req_1")
    assert tries == 1  # 30 s are longer than it is patient
    assert KEY not in str(error)


def test_fail_exceeded_budget_is_not_retried() -> None:
    error, tries = refused(error_of("BUDGET_EXCEEDED", status=429))
    assert tries == 1
    assert (error.code, error.exit_code) == ("SW_AI_BUDGET_EXCEEDED", 1)
    assert error.message == (
        "ScaiGrid's budget is used up: BUDGET_EXCEEDED, As sent (request req_1)."
    )


def test_fail_busy_model_is_retried() -> None:
    _, tries = refused(error_of("MODEL_UNAVAILABLE", status=503))
    assert tries > 1


def test_fail_message_of_the_server_is_cut_without_our_key() -> None:
    response = error_of("AUTH_TOKEN_INVALID", status=401, message=f"Bad {KEY}\n{'x' * 400}")
    error, _ = refused(response)
    assert KEY not in error.message
    assert "Bad [hidden] xxx" in error.message
    assert len(error.message) < 500


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": 7}', b'{"error": {}}'])
def test_fail_refusal_with_another_body(body: bytes) -> None:
    with RawServer(lambda request: make_response(body, status=403)) as server:
        with with_key(server.origin) as client, pytest.raises(UpstreamForbidden) as caught:
            client.me()
        assert caught.value.message == f"ScaiGrid at {server.origin} does not allow GET /v1/me."


@pytest.mark.parametrize("body", [b"<html>", b'{"detail": "Not Found"}'])
def test_fail_404_of_another_server_is_a_wrong_address(body: bytes) -> None:
    with RawServer(lambda request: make_response(body, status=404)) as server:
        with with_key(server.origin) as client, pytest.raises(UpstreamInvalidResponse) as caught:
            client.health()
        assert (caught.value.message, caught.value.fix, caught.value.exit_code) == (
            f"{server.origin}/health was not found (404), although ScaiGrid has it.",
            "Set SCAIWAVE_SCAIGRID_URL to the address of ScaiGrid, without /v1 or any other path.",
            2,
        )


def test_fail_not_ready_names_the_components() -> None:
    body = {"status": "not_ready", "checks": {"database": "ok", "redis": "down"}}
    with RawServer(lambda request: make_response(body, status=503)) as server:
        with with_key(server.origin) as client, pytest.raises(UpstreamUnavailable) as caught:
            client.ready()
        assert caught.value.message == (
            f"ScaiGrid at {server.origin} responded to GET /health/ready with 503 (Service "
            "Unavailable): not ready: redis."
        )
        assert len(server.requests) == 1

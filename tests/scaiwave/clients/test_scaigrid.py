"""The client of ScaiGrid: access, what it reads, and what it makes of a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scaiwave.clients.errors import BudgetExceeded, UpstreamRejected
from scaiwave.clients.scaigrid.auth import ApiKey, mask_credential
from scaiwave.clients.scaigrid.client import Model, ScaiGridClient, scaigrid_client
from scaiwave.clients.scaigrid.responses import FIXES
from scaiwave.config import Configuration
from scaiwave.core.errors import (
    ScaiWaveError,
    SettingInvalid,
    SettingMissing,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.api.scaigrid import build_usage_row, build_vector
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)
from tests.scaiwave.clients.retry_policies import QUICK

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
KEY = "sgk_0123456789abcdef"
TOKEN = "/api/v1/platform/oauth/token"


@pytest.fixture
def scaigrid() -> Iterator[Sandbox]:
    with Sandbox(people=3, tenants=4, partners=2, groups=1, seed=7) as running:
        yield running


def configuration(sandbox: Sandbox, **changes: str) -> Configuration:
    nowhere = Path("/nonexistent")
    environment = {
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.client_secret,
        **changes,
    }
    return Configuration(environment, nowhere, nowhere / ".env")


@pytest.fixture
def client(scaigrid: Sandbox) -> Iterator[ScaiGridClient]:
    with scaigrid_client(configuration(scaigrid), retry_policy=QUICK) as client:
        yield client


def with_key(url: str) -> ScaiGridClient:
    return ScaiGridClient(url, ApiKey(KEY), retry_policy=QUICK)


def test_success_responses(scaigrid: Sandbox, client: ScaiGridClient) -> None:
    assert (client.health(), client.ready()) == ("ok", "ready")
    assert client.me().permissions[0] == "accounting:view_partner"
    assert client.models("embedding", 1) == [
        Model(
            slug="embed-small",
            display_name="Embed Small",
            modality="embedding",
            health_status="healthy",
        )
    ]
    usage = client.usage_summary(start=START, end=END)
    tenant_id = next(iter(scaigrid.directory.tenants))
    expected = build_usage_row(scaigrid.seed, tenant_id, "2026-11")
    assert (usage[0].group_key, usage[0].total_tokens) == (tenant_id, expected["total_tokens"])
    request = scaigrid.requests.recent[-1][0]
    assert request == (
        "GET /v1/accounting/usage/summary?group_by=tenant&start=2026-11-01T00%3A00%3A00Z"
        "&end=2026-11-24T12%3A30%3A00Z"
    )


def test_success_vectors_in_the_order_of_the_texts(
    scaigrid: Sandbox, client: ScaiGridClient
) -> None:
    texts = ["one", "two", "three"]
    assert client.embed("embed-small", texts) == [
        build_vector(scaigrid.seed, f"embed-small/{text}", 384) for text in texts
    ]


def test_success_one_service_token_for_many_calls(
    scaigrid: Sandbox, client: ScaiGridClient
) -> None:
    for _ in range(3):
        client.me()
    assert scaigrid.requests.count(TOKEN) == 1


def test_success_an_invalid_token_is_renewed(scaigrid: Sandbox, client: ScaiGridClient) -> None:
    client.me()
    scaigrid.rotate_keys(keep_old=False)
    client.me()
    assert scaigrid.requests.count(TOKEN) == 2


def test_success_a_key_needs_no_scaikey(scaigrid: Sandbox) -> None:
    config = configuration(
        scaigrid, SCAIWAVE_SCAIKEY_URL="", SCAIWAVE_SCAIGRID_API_KEY=scaigrid.scaigrid.api_key
    )
    with scaigrid_client(config) as client:
        assert client.me().permissions
    assert scaigrid.requests.count(TOKEN) == 0


def test_success_waits_at_a_rate_limit(scaigrid: Sandbox, client: ScaiGridClient) -> None:
    body = {"status": "error", "error": {"code": "RATE_LIMITED", "retry_after": 0.05}}
    scaigrid.faults.add("status", path="/v1/me", times=2, status=429, body=body)
    client.me()
    assert scaigrid.requests.count("/v1/me") == 3


def test_success_secrets_are_masked() -> None:
    assert mask_credential(KEY) == "sgk_…cdef"
    assert mask_credential("sgk_12345678") == "…"
    client = with_key("http://127.0.0.1:1")
    assert repr(client) == "<ScaiGridClient http://127.0.0.1:1 with the API key sgk_…cdef>"
    assert KEY not in repr(client.access)
    client.close()


MALFORMED = [
    ("me", {}, b"<html>", "GET /v1/me: it is not JSON"),
    ("me", {}, b'{"status": "ok"}', "GET /v1/me: object missing required field `data`"),
    ("models", {}, b'{"data": []}', "GET /v1/models: expected `object`, got `array`"),
    (
        "models",
        {},
        b'{"data": {"items": [{"slug": 7}]}}',
        "GET /v1/models: expected `str`, got `int` at `items[0].slug`",
    ),
    (
        "usage_summary",
        {"start": START, "end": END},
        b'{"data": [{"group_key": "tnt_1", "total_tokens": -1}]}',
        "GET /v1/accounting/usage/summary: expected `int` >= 0 at `[0].total_tokens`",
    ),
    (
        "usage_summary",
        {"start": START, "end": END},
        b'{"data": [{"group_key": "tnt_1", "total_tokens": 9223372036854775807}]}',
        "GET /v1/accounting/usage/summary: expected `int` <= 1000000000000000 at "
        "`[0].total_tokens`",
    ),
]


@pytest.mark.parametrize(("call", "arguments", "body", "problem"), MALFORMED)
def test_fail_invalid_response(
    call: str, arguments: dict[str, Any], body: bytes, problem: str
) -> None:
    with (
        RawServer(lambda request: make_response(body)) as server,
        with_key(server.origin) as client,
    ):
        with pytest.raises(UpstreamInvalidResponse) as caught:
            getattr(client, call)(**arguments)
    assert caught.value.message == f"Invalid response from ScaiGrid, {problem}."
    assert "SCAIWAVE_SCAIGRID_URL" in caught.value.fix


VECTORS = [
    ([], "not one vector for each of 2 texts"),
    ([(0, [1.0]), (0, [1.0])], "not one vector for each of 2 texts"),
    ([(0, [1.0]), (2, [1.0])], "not one vector for each of 2 texts"),
    ([(0, [1.0]), (1, [1.0, 0.0])], "vectors of different lengths"),
]


@pytest.mark.parametrize(("vectors", "problem"), VECTORS)
def test_fail_vectors_without_a_text(vectors: list[tuple[int, list[float]]], problem: str) -> None:
    rows = [{"index": index, "embedding": numbers} for index, numbers in vectors]
    with RawServer(lambda request: make_response({"data": {"data": rows}})) as server:
        with with_key(server.origin) as client, pytest.raises(UpstreamInvalidResponse) as caught:
            client.embed("embed-small", ["a", "b"])
    assert caught.value.message == (
        f"ScaiGrid returned an invalid response to POST /v1/inference/embed: {problem}."
    )


def test_fail_usage_that_names_a_tenant_twice() -> None:
    rows = [{"group_key": "tnt_1", "total_tokens": 1}] * 2

    def respond(request: RawRequest) -> RawResponse:
        return make_response({"data": rows})

    with RawServer(respond) as server, with_key(server.origin) as client:
        with pytest.raises(UpstreamInvalidResponse, match="group tnt_1 occurs more than once"):
            client.usage_summary(start=START, end=END)


def test_fail_invalid_key(scaigrid: Sandbox) -> None:
    with pytest.raises(SettingInvalid) as caught:
        scaigrid_client(configuration(scaigrid, SCAIWAVE_SCAIGRID_API_KEY="a.jwt.perhaps"))
    assert caught.value.message == "SCAIWAVE_SCAIGRID_API_KEY is not an API key of ScaiGrid."


@pytest.mark.django_db
def test_fail_not_configured(scaigrid: Sandbox) -> None:
    with pytest.raises(SettingMissing) as caught:
        scaigrid_client(configuration(scaigrid, SCAIWAVE_SCAIGRID_URL=""))
    assert caught.value.message == "ScaiGrid is not configured: SCAIWAVE_SCAIGRID_URL is not set."
    with pytest.raises(SettingMissing) as caught:
        scaigrid_client(configuration(scaigrid, SCAIWAVE_SCAIKEY_CLIENT_SECRET=""))
    assert caught.value.message == (
        "No credential for ScaiGrid: SCAIWAVE_SCAIKEY_CLIENT_SECRET is not set."
    )


def test_fail_scaikey_refuses_a_token(scaigrid: Sandbox) -> None:
    config = configuration(scaigrid, SCAIWAVE_SCAIKEY_CLIENT_SECRET="not-the-secret-at-all")
    with scaigrid_client(config) as client, pytest.raises(UpstreamUnauthorized) as caught:
        client.me()
    assert caught.value.message.startswith("ScaiKey at ")
    assert scaigrid.requests.count("/v1/me") == 0


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

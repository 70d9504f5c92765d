"""The sandbox's ScaiGrid."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.api.scaigrid import build_usage_row
from tests.scaiwave.sandbox.helpers import SMALL, make_client

MONTH = {"group_by": "tenant", "start": "2026-11-01T00:00:00Z", "end": "2026-11-24T12:00:00Z"}
USAGE = "/v1/accounting/usage/summary"


@pytest.fixture
def key(sandbox: Sandbox) -> str:
    return sandbox.scaigrid.api_key


def get(sandbox: Sandbox, path: str, credential: str | None, **query: str) -> httpx.Response:
    with make_client(sandbox, credential) as client:
        return client.get(path, params=query)


def embed(sandbox: Sandbox, body: Any) -> httpx.Response:
    with make_client(sandbox, sandbox.scaigrid.api_key) as client:
        return client.post("/v1/inference/embed", json=body)


def get_error(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body["status"] == "error"
    assert body["meta"]["request_id"].startswith("req_")
    return response.status_code, body["error"]["code"]


def test_success_health_needs_no_credential(sandbox: Sandbox) -> None:
    assert get(sandbox, "/health", None).json() == {"status": "ok"}
    assert get(sandbox, "/health/ready", None).json()["status"] == "ready"


def test_success_the_key_is_the_same_after_a_restart(sandbox: Sandbox, key: str) -> None:
    assert key.startswith("sgk_")
    assert Sandbox(**SMALL).scaigrid.api_key == key
    assert Sandbox(**{**SMALL, "seed": 8}).scaigrid.api_key != key


def test_success_a_key_and_a_service_token_have_the_same_permissions(
    sandbox: Sandbox, key: str
) -> None:
    for credential in (key, sandbox.issue_platform_token()):
        assert get(sandbox, "/v1/me", credential).json()["data"] == {
            "permissions": [
                "accounting:view_partner",
                "accounting:view_tenant",
                "models:list",
                "models:use",
            ],
            "tenant_id": None,
        }


def test_success_models_by_modality_and_limit(sandbox: Sandbox, key: str) -> None:
    def get_slugs(**query: str) -> list[str]:
        items = get(sandbox, "/v1/models", key, **query).json()["data"]["items"]
        return [item["slug"] for item in items]

    assert get_slugs() == ["chat-small", "chat-large", "embed-small", "embed-large"]
    assert get_slugs(modality="embedding", limit="1") == ["embed-small"]


def test_success_vectors_depend_on_the_text_and_come_last_first(sandbox: Sandbox) -> None:
    body = {"model": "embed-small", "input": ["a", "b"]}
    first, second = embed(sandbox, body).json()["data"]["data"]
    assert (first["index"], second["index"]) == (1, 0)
    assert len(first["embedding"]) == 384
    assert sum(number**2 for number in first["embedding"]) == pytest.approx(1, abs=1e-3)
    turned = embed(sandbox, {"model": "embed-small", "input": ["b"], "dimensions": 384})
    assert turned.json()["data"]["data"][0]["embedding"] == first["embedding"]
    assert second["embedding"] != first["embedding"]


def test_success_usage_of_all_tenants_with_requests(sandbox: Sandbox, key: str) -> None:
    rows = get(sandbox, USAGE, key, **MONTH).json()["data"]
    tenants = list(sandbox.directory.tenants)
    assert [row["group_key"] for row in rows] == tenants[:3]
    assert rows[0] == build_usage_row(sandbox.seed, tenants[0], "2026-11")
    assert rows[0]["total_tokens"] == rows[0]["input_tokens"] + rows[0]["output_tokens"]
    again = get(sandbox, USAGE, key, **{**MONTH, "end": "2026-11-25T00:00:00Z"}).json()["data"]
    assert again == rows


def test_success_usage_is_limited_to_the_scope_of_the_token(sandbox: Sandbox) -> None:
    tenant_id, tenant = next(iter(sandbox.directory.tenants.items()))
    tokens = {
        "tenant": sandbox.issue_token(role="tenant_admin", tenant_id=tenant_id),
        "partner": sandbox.issue_token(role="partner_admin", partner_id=tenant["partner_id"]),
    }
    seen = {
        name: [row["group_key"] for row in get(sandbox, USAGE, token, **MONTH).json()["data"]]
        for name, token in tokens.items()
    }
    assert seen["tenant"] == [tenant_id]
    assert seen["partner"] == [
        other
        for other, row in list(sandbox.directory.tenants.items())[:3]
        if row["partner_id"] == tenant["partner_id"]
    ]


def test_fail_credentials(sandbox: Sandbox) -> None:
    assert get_error(get(sandbox, "/v1/me", None)) == (401, "AUTH_TOKEN_MISSING")
    assert get_error(get(sandbox, "/v1/me", "sgk_other")) == (401, "AUTH_TOKEN_INVALID")
    assert get_error(get(sandbox, "/v1/me", "no.token.at-all")) == (401, "SERVICE_TOKEN_INVALID")
    expired = sandbox.issue_platform_token(exp=1)
    assert get_error(get(sandbox, "/v1/me", expired)) == (401, "SERVICE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("permission", "path"),
    [
        ("models:list", "/v1/models"),
        ("accounting:view_partner", USAGE),
        ("accounting:view_tenant", USAGE),
    ],
)
def test_fail_without_the_permission(
    permission: str, path: str, sandbox: Sandbox, key: str
) -> None:
    sandbox.scaigrid.permissions.remove(permission)
    response = get(sandbox, path, key, **MONTH)
    assert get_error(response) == (403, "AUTHZ_PERMISSION_DENIED")
    assert response.json()["error"]["message"] == f"Permission {permission} required"


def test_fail_too_often(sandbox: Sandbox, key: str) -> None:
    sandbox.scaigrid.key_limit = 2
    answers = [get(sandbox, "/v1/me", key) for _ in range(3)]
    assert [response.status_code for response in answers] == [200, 200, 429]
    assert get_error(answers[-1]) == (429, "RATE_LIMITED")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert get(sandbox, "/v1/me", sandbox.issue_platform_token()).status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "unknown", "input": ["a"]}, (404, "MODEL_NOT_FOUND")),
        ({"model": "chat-small", "input": ["a"]}, (422, "VALIDATION_ERROR")),
        ({"model": "embed-small", "input": []}, (422, "VALIDATION_ERROR")),
        ({"model": "embed-small", "input": "a"}, (422, "VALIDATION_ERROR")),
    ],
)
def test_fail_embed(body: Any, expected: tuple[int, str], sandbox: Sandbox) -> None:
    assert get_error(embed(sandbox, body)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"start": "yesterday"},
        {"end": "2026-10-01T00:00:00Z"},
        {"end": "2026-11-24T12:00:00"},
        {"group_by": "model"},
    ],
)
def test_fail_usage_of_no_period(change: dict[str, str], sandbox: Sandbox, key: str) -> None:
    response = get(sandbox, USAGE, key, **{**MONTH, **change})
    assert get_error(response) == (422, "VALIDATION_ERROR")


def test_fail_a_fault_on_demand(sandbox: Sandbox, key: str) -> None:
    sandbox.faults.add("status", path="/v1/models", status=502)
    assert get(sandbox, "/v1/models", key).status_code == 502

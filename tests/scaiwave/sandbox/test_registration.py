"""Registration: statuses, and credentials that are returned exactly once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import ADMIN, SMALL, make_client, walk

BASE = "/api/v1/public/register/applications"
BODY: dict[str, Any] = {
    "name": "ScaiWave",
    "scope": "GLOBAL",
    "contact_email": "ops@example.org",
    "application_type": "SERVICE",
    "redirect_uris": ["https://chat.example.org/callback"],
    "requested_scopes": ["admin:read"],
}


def register(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    response = client.post(BASE, json={**BODY, **changes})
    assert response.status_code == 201
    body: dict[str, Any] = response.json()
    assert body.keys() == {"request_id", "status_token", "status"}
    return body


def poll(client: httpx.Client, request: dict[str, Any]) -> dict[str, Any]:
    query = {"status_token": request["status_token"]}
    response = client.get(f"{BASE}/{request['request_id']}/status", params=query)
    body: dict[str, Any] = response.raise_for_status().json()
    return body


def register_approved(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """Register, approve, and return the credentials."""
    request = register(client, **changes)
    client.post(f"/sandbox/registrations/{request['request_id']}/approve").raise_for_status()
    credentials: dict[str, Any] = poll(client, request)["credentials"]
    return credentials


def request_token(
    client: httpx.Client, credentials: dict[str, Any], path: str | None = None
) -> httpx.Response:
    auth = (credentials["client_id"], credentials["client_secret"])
    form = {"grant_type": "client_credentials"}
    return client.post(path or "/api/v1/platform/oauth/token", data=form, auth=auth)


def test_success_credentials_once(sandbox: Sandbox, api: httpx.Client) -> None:
    request = register(api)
    assert poll(api, request) == {"request_id": request["request_id"], "status": "PENDING"}
    api.post(f"/sandbox/registrations/{request['request_id']}/approve").raise_for_status()

    first = poll(api, request)
    assert first["status"] == "APPROVED"
    assert first["credentials"].keys() == {
        "client_id", "client_secret", "application_id", "issuer",
    }  # fmt: skip
    assert first["credentials"]["issuer"] == sandbox.url
    assert poll(api, request) == {"request_id": request["request_id"], "status": "APPROVED"}
    assert request_token(api, first["credentials"]).json()["scope"] == "admin:read"
    assert api.get("/sandbox/").json()["registrations"][0]["status"] == "APPROVED"
    names = [row["name"] for row in walk(api, f"{ADMIN}/applications/")]
    assert names == ["ScaiWave (sandbox)", "ScaiWave"]


@pytest.mark.sandbox(**SMALL, auto_approve=True)
def test_success_credentials_once_to_concurrent_requests(api: httpx.Client) -> None:
    request = register(api)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: poll(api, request), range(24)))
    assert sum("credentials" in answer for answer in answers) == 1


def test_success_credentials_outlive_a_restart() -> None:
    with Sandbox(**SMALL) as sandbox, make_client(sandbox) as client:
        credentials = register_approved(client)
    with Sandbox(**SMALL) as sandbox, make_client(sandbox) as client:
        granted = request_token(client, credentials).json()["access_token"]
        with make_client(sandbox, granted) as admin:
            apps = [row["id"] for row in walk(admin, f"{ADMIN}/applications/")]
    assert credentials["application_id"] in apps
    with Sandbox(**{**SMALL, "seed": 8}) as sandbox, make_client(sandbox) as client:
        assert request_token(client, credentials).status_code == 401


def test_success_partner_and_tenant_apps(sandbox: Sandbox, api: httpx.Client) -> None:
    tenant = walk(api, f"{ADMIN}/tenants/")[0]
    partner = api.get(f"{ADMIN}/partners/{tenant['partner_id']}").json()
    endpoint = f"/api/v1/auth/tenants/{tenant['slug']}/oauth/token"
    for_partner = register_approved(api, scope="PARTNER", partner_slug=partner["slug"])
    for_tenant = register_approved(api, scope="TENANT", tenant_slug=tenant["slug"])
    assert for_tenant["issuer"] == f"{sandbox.url}/tenants/{tenant['id']}"

    for credentials in (for_partner, for_tenant):
        for path in (None, endpoint):
            granted = request_token(api, credentials, path).json()["access_token"]
            with make_client(sandbox, granted) as client:
                seen = walk(client, f"{ADMIN}/tenants/")
                assert tenant in seen
                assert all(row["partner_id"] == partner["id"] for row in seen)
                assert client.get(f"{ADMIN}/partners/").status_code == 403
                assert "platform_token" not in client.get(f"{ADMIN}/auth/me").json()
                if credentials is for_tenant:
                    assert seen == [tenant]


def test_fail_tenant_app_of_another_tenant(api: httpx.Client) -> None:
    first, second = walk(api, f"{ADMIN}/tenants/")[:2]
    credentials = register_approved(api, scope="TENANT", tenant_slug=first["slug"])

    response = request_token(api, credentials, f"/api/v1/auth/tenants/{second['slug']}/oauth/token")

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


def test_fail_public_apps_get_no_token(api: httpx.Client) -> None:
    credentials = register_approved(api, application_type="SPA")
    assert credentials["client_secret"] is None
    response = request_token(api, {**credentials, "client_secret": ""})
    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")


def test_success_rejected(api: httpx.Client) -> None:
    request = register(api)
    path = f"/sandbox/registrations/{request['request_id']}"
    api.post(f"{path}/reject", json={"reason": "Who are you?"}).raise_for_status()

    assert poll(api, request) == {
        "request_id": request["request_id"],
        "status": "REJECTED",
        "rejection_reason": "Who are you?",
    }
    response = api.post(f"{path}/approve")
    assert response.status_code == 409
    assert response.json() == {"detail": "Registration request is REJECTED"}


def test_success_cancelled_while_pending_only(api: httpx.Client) -> None:
    request = register(api)
    path, query = f"{BASE}/{request['request_id']}", {"status_token": request["status_token"]}

    assert api.delete(path, params=query).status_code == 204
    assert poll(api, request)["status"] == "CANCELLED"
    assert api.delete(path, params=query).status_code == 409


def test_success_expired(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.registrations.lifetime = 0
    assert poll(api, register(api))["status"] == "EXPIRED"


def test_fail_status_token(api: httpx.Client) -> None:
    request = register(api)
    path = f"{BASE}/{request['request_id']}/status"

    response = api.get(path)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "status_token"]
    response = api.get(path, params={"status_token": "wrong"})
    assert (response.status_code, response.json()) == (403, {"detail": "Invalid status token"})
    response = api.get(f"{BASE}/req_none/status", params={"status_token": "x"})
    assert response.json() == {"detail": "Registration request not found"}


@pytest.mark.parametrize(
    ("changes", "field", "kind"),
    [
        ({"name": ""}, "name", "string_type"),
        ({"name": 5}, "name", "string_type"),
        ({"scope": "WORLD"}, "scope", "enum"),
        ({"application_type": "ROBOT"}, "application_type", "enum"),
        ({"contact_email": "unknown"}, "contact_email", "value_error"),
        ({"requested_scopes": ["root"]}, "requested_scopes", "enum"),
        ({"requested_scopes": "admin:read"}, "requested_scopes", "list_type"),
        ({"redirect_uris": 1}, "redirect_uris", "list_type"),
        ({"scope": "PARTNER"}, "partner_slug", "missing"),
        ({"scope": "TENANT"}, "tenant_slug", "missing"),
    ],
)
def test_fail_invalid_field(
    api: httpx.Client, changes: dict[str, Any], field: str, kind: str
) -> None:
    response = api.post(BASE, json={**BODY, **changes})

    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body", field], kind)


@pytest.mark.parametrize(
    ("content", "kind"), [(b"{", "json_invalid"), (b"[]", "dict_type"), (b"{}", "missing")]
)
def test_fail_invalid_body(api: httpx.Client, content: bytes, kind: str) -> None:
    response = api.post(BASE, content=content)

    assert (response.status_code, response.json()["detail"][0]["type"]) == (422, kind)


def test_fail_unknown_slug(api: httpx.Client) -> None:
    response = api.post(BASE, json={**BODY, "scope": "TENANT", "tenant_slug": "unknown"})

    assert (response.status_code, response.json()) == (404, {"detail": "Tenant not found"})

"""The scope of each caller."""

from __future__ import annotations

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import ADMIN, get_ids, make_client, walk

NEEDS_SCOPE = {"detail": "Platform token requires admin:read or admin:write scope"}


@pytest.mark.parametrize("scope", ["admin:read", "admin:write", "openid admin:read"])
def test_success_platform_token_sees_everything(sandbox: Sandbox, scope: str) -> None:
    with make_client(sandbox, sandbox.issue_platform_token(scope=scope)) as client:
        assert len(walk(client, f"{ADMIN}/users/")) == 130
        assert len(walk(client, f"{ADMIN}/partners/")) == 3
        me = client.get(f"{ADMIN}/auth/me").json()
    assert (me["role"], me["platform_token"], me["scope"]) == ("super_admin", True, scope)


@pytest.mark.parametrize("scope", ["", "openid", "admin:reading"])
def test_fail_platform_token_without_scope(sandbox: Sandbox, scope: str) -> None:
    with make_client(sandbox, sandbox.issue_platform_token(scope=scope)) as client:
        response = client.get(f"{ADMIN}/users/")
    assert (response.status_code, response.json()) == (403, NEEDS_SCOPE)


def test_fail_no_role(sandbox: Sandbox) -> None:
    for claims in ({}, {"role": "user"}, {"role": "partner_admin"}, {"roles": ["tenant_admin"]}):
        with make_client(sandbox, sandbox.issue_token(**claims)) as client:
            response = client.get(f"{ADMIN}/users/")
        assert (response.status_code, response.json()) == (403, {"detail": "Admin role required"})


def test_success_partner_admin(sandbox: Sandbox, api: httpx.Client) -> None:
    tenants = walk(api, f"{ADMIN}/tenants/")
    partner = tenants[0]["partner_id"]
    its = {row["id"] for row in tenants if row["partner_id"] == partner}
    other = next(row["id"] for row in tenants if row["partner_id"] != partner)
    token = sandbox.issue_token(roles=["Partner_Admin"], partner_id=partner)

    with make_client(sandbox, token) as client:
        assert set(get_ids(walk(client, f"{ADMIN}/tenants/"))) == its
        people = walk(client, f"{ADMIN}/users/")
        assert {row["tenant_id"] for row in people} == its
        assert {row["tenant_id"] for row in walk(client, f"{ADMIN}/groups/")} == its
        assert walk(client, f"{ADMIN}/users/", tenant_id=other) == []
        assert walk(client, f"{ADMIN}/applications/") == []
        stranger = walk(api, f"{ADMIN}/users/", tenant_id=other)[0]["id"]
        group = walk(api, f"{ADMIN}/groups/", tenant_id=other)[0]["id"]
        for path in (f"tenants/{other}", f"users/{stranger}", f"groups/{group}/members"):
            assert client.get(f"{ADMIN}/{path}").status_code == 404
        for path in ("partners/", f"partners/{partner}"):
            response = client.get(f"{ADMIN}/{path}")
            assert response.status_code == 403
            assert response.json() == {"detail": "Super admin role required"}


def test_success_tenant_admin(sandbox: Sandbox, api: httpx.Client) -> None:
    tenant = walk(api, f"{ADMIN}/tenants/")[1]
    token = sandbox.issue_token(
        role="tenant_admin", tenant_id=tenant["id"], iss=f"{sandbox.url}/tenants/{tenant['id']}"
    )
    with make_client(sandbox, token) as client:
        assert walk(client, f"{ADMIN}/tenants/") == [tenant]
        assert walk(client, f"{ADMIN}/users/") == walk(
            api, f"{ADMIN}/users/", tenant_id=tenant["id"]
        )
        assert client.get(f"{ADMIN}/partners/").status_code == 403
        me = client.get(f"{ADMIN}/auth/me").json()
    assert (me["role"], me["tenant_id"], me["id"]) == (
        "tenant_admin",
        tenant["id"],
        "usr_sandbox_admin",
    )

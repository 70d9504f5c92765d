"""Discovery, keys and tokens."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import ADMIN, SMALL, get_rows, make_client

PLATFORM = "/api/v1/platform"
GRANT = {"grant_type": "client_credentials"}


def decode_claims(sandbox: Sandbox, token: str, **options: Any) -> dict[str, Any]:
    """Verify the token with the JWKS, as a client does, and return its claims."""
    keys = httpx.get(f"{sandbox.url}{PLATFORM}/.well-known/jwks.json", trust_env=False).json()
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWKSet.from_dict(keys)[kid]
    audience = options.pop("audience", sandbox.client_id)
    return jwt.decode(token, key, algorithms=[sandbox.keys.alg], audience=audience)


def fetch_token(sandbox: Sandbox, api: httpx.Client, **form: str) -> httpx.Response:
    auth = (sandbox.client_id, sandbox.client_secret)
    return api.post(f"{PLATFORM}/oauth/token", data={**GRANT, **form}, auth=auth)


@pytest.mark.sandbox(**SMALL, token_lifetime=120)
@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_success_client_credentials(alg: str) -> None:
    with Sandbox(**SMALL, token_lifetime=120, alg=alg) as sandbox, make_client(sandbox) as client:
        response = fetch_token(sandbox, client, scope="admin:read")

        body = response.json()
        assert response.headers["cache-control"] == "no-store"
        assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}
        assert (body["token_type"], body["expires_in"], body["scope"]) == (
            "Bearer",
            120,
            "admin:read",
        )
        claims = decode_claims(sandbox, body["access_token"])
        assert claims.pop("exp") - claims.pop("iat") == 120
        assert claims == {
            "iss": sandbox.url,
            "aud": sandbox.client_id,
            "sub": sandbox.client_id,
            "client_id": sandbox.client_id,
            "scope": "admin:read",
            "app_scope": "GLOBAL",
            "platform_token": True,
            "token_type": "client_credentials",
        }


def test_success_all_scopes_by_default(sandbox: Sandbox, api: httpx.Client) -> None:
    assert fetch_token(sandbox, api).json()["scope"] == "admin:read admin:write"


def test_success_same_credentials_for_same_seed(sandbox: Sandbox) -> None:
    again = Sandbox(**SMALL)

    assert (again.client_id, again.client_secret) == (sandbox.client_id, sandbox.client_secret)
    assert Sandbox(seed=8).client_secret != sandbox.client_secret
    assert Sandbox(client_id="mine", client_secret="own").client_id == "mine"


def test_success_discovery(sandbox: Sandbox, api: httpx.Client) -> None:
    tenant = get_rows(api.get(f"{ADMIN}/tenants/").json())[0]
    base = f"/api/v1/auth/tenants/{tenant['slug']}"
    platform = api.get(f"{PLATFORM}/oauth/.well-known/openid-configuration").json()
    own = api.get(f"{base}/.well-known/openid-configuration").json()

    assert platform["issuer"] == sandbox.url
    assert platform["token_endpoint"] == f"{sandbox.url}{PLATFORM}/oauth/token"
    assert platform["jwks_uri"] == f"{sandbox.url}{PLATFORM}/.well-known/jwks.json"
    assert own["issuer"] == f"{sandbox.url}/tenants/{tenant['id']}"
    assert own["token_endpoint"] == f"{sandbox.url}{base}/oauth/token"
    assert api.get(own["jwks_uri"]).json() == api.get(platform["jwks_uri"]).json()


def test_fail_unknown_tenant(api: httpx.Client) -> None:
    base = "/api/v1/auth/tenants/unknown"
    for path in ("/.well-known/openid-configuration", "/.well-known/jwks.json"):
        assert api.get(base + path).json() == {"detail": "Tenant not found"}
    assert api.post(f"{base}/oauth/token").status_code == 404


def test_fail_global_app_at_a_tenant(sandbox: Sandbox, api: httpx.Client) -> None:
    slug = get_rows(api.get(f"{ADMIN}/tenants/").json())[0]["slug"]
    auth = (sandbox.client_id, sandbox.client_secret)

    response = api.post(f"/api/v1/auth/tenants/{slug}/oauth/token", data=GRANT, auth=auth)

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


def get_status(sandbox: Sandbox, token: str) -> int:
    with make_client(sandbox, token) as client:
        return client.get(f"{ADMIN}/users/").status_code


def test_success_rotation_keeps_the_old_key(sandbox: Sandbox, api: httpx.Client) -> None:
    old = sandbox.issue_token(role="super_admin")
    sandbox.rotate_keys()
    new = sandbox.issue_token(role="super_admin")

    assert len(api.get(f"{PLATFORM}/.well-known/jwks.json").json()["keys"]) == 2
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    assert (get_status(sandbox, old), get_status(sandbox, new)) == (200, 200)


def test_fail_old_key_after_hard_rotation(sandbox: Sandbox) -> None:
    old = sandbox.issue_token(role="super_admin")
    assert get_status(sandbox, old) == 200
    sandbox.rotate_keys(keep_old=False)

    assert get_status(sandbox, old) == 401
    assert get_status(sandbox, sandbox.issue_token(role="super_admin")) == 200


def test_fail_token_expires_while_in_use(sandbox: Sandbox) -> None:
    token = sandbox.issue_token(role="super_admin", exp=time.time() + 1.5)
    assert get_status(sandbox, token) == 200
    while time.time() < jwt.decode(token, options={"verify_signature": False})["exp"]:
        time.sleep(0.05)
    assert get_status(sandbox, token) == 401


def test_fail_bad_tokens(sandbox: Sandbox) -> None:
    now = time.time()
    bad = {
        "foreign key": sandbox.issue_token(role="super_admin", key=sandbox.keys.foreign_key()),
        "no algorithm": sandbox.issue_token(role="super_admin", alg="none"),
        "public key as secret": sandbox.issue_token(role="super_admin", alg="HS256"),
        "secret of its own": sandbox.issue_token(role="super_admin", alg="HS256", key=b"x" * 32),
        "expired": sandbox.issue_token(role="super_admin", exp=now - 1),
        "no expiry": sandbox.issue_token(role="super_admin", exp=None),
        "not yet": sandbox.issue_token(role="super_admin", nbf=now + 60),
        "issuer": sandbox.issue_token(role="super_admin", iss="https://evil.example"),
        "issuer of no tenant": sandbox.issue_token(
            role="super_admin", iss=f"{sandbox.url}/tenants/tnt_x"
        ),
        "unknown kid": sandbox.issue_token(role="super_admin", kid="unknown"),
        "no kid": sandbox.issue_token(role="super_admin", headers={"kid": None}),
        "no token": "nonsense",
    }
    assert {name: get_status(sandbox, token) for name, token in bad.items()} == dict.fromkeys(
        bad, 401
    )


def test_success_bad_tokens_are_bad_as_named(sandbox: Sandbox) -> None:
    unsigned = sandbox.issue_token(role="super_admin", alg="none")
    confused = sandbox.issue_token(role="super_admin", alg="HS256", headers={"typ": None})

    assert unsigned.endswith(".")
    assert jwt.get_unverified_header(unsigned)["alg"] == "none"
    assert jwt.get_unverified_header(confused).keys() == {"alg", "kid"}
    for_others = sandbox.issue_token(
        aud="other-app", sub="usr_1", role="tenant_admin", tenant_id="t"
    )
    assert decode_claims(sandbox, for_others, audience="other-app")["tenant_id"] == "t"


@pytest.mark.parametrize("header", ["", "Basic eA==", "Bearer"])
def test_fail_no_bearer(sandbox: Sandbox, header: str) -> None:
    with make_client(sandbox) as client:
        response = client.get(f"{ADMIN}/users/", headers={"Authorization": header})

    assert (response.status_code, response.json()) == (401, {"detail": "Not authenticated"})
    assert response.headers["www-authenticate"] == "Bearer"

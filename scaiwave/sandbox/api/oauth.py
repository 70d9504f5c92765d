"""Discovery, JWKS and the token endpoint (ScaiKey docs, reference/oauth-endpoints)."""

from __future__ import annotations

import base64
import binascii
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus

from scaiwave.sandbox.clients import SCOPES, Client
from scaiwave.sandbox.errors import UnknownEntity
from scaiwave.sandbox.http.routing import HTTPError, Request, Response, json_response, route

if TYPE_CHECKING:
    from scaiwave.sandbox.server import Sandbox

PLATFORM = "/api/v1/platform"
TENANT = "/api/v1/auth/tenants/{slug}"
BASIC = {"WWW-Authenticate": 'Basic realm="scaikey"'}
# A grant is not to be kept by anybody on the way (RFC 6749, 5.1).
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@route("GET", PLATFORM + "/oauth/.well-known/openid-configuration")
def platform_discovery(sandbox: Sandbox, request: Request) -> Response:
    paths = f"{sandbox.url}{PLATFORM}"
    return _discovery(sandbox, sandbox.issuer(None), f"{paths}/oauth", paths)


@route("GET", TENANT + "/.well-known/openid-configuration")
def tenant_discovery(sandbox: Sandbox, request: Request) -> Response:
    tenant = _tenant(sandbox, request)
    paths = f"{sandbox.url}{TENANT.format(slug=tenant['slug'])}"
    return _discovery(sandbox, sandbox.issuer(tenant["id"]), f"{paths}/oauth", paths)


def _discovery(sandbox: Sandbox, issuer: str, oauth: str, keys: str) -> Response:
    return json_response(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{oauth}/authorize",
            "token_endpoint": f"{oauth}/token",
            "userinfo_endpoint": f"{oauth}/userinfo",
            "jwks_uri": f"{keys}/.well-known/jwks.json",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "id_token_signing_alg_values_supported": [sandbox.keys.alg],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
        }
    )


@route("GET", PLATFORM + "/.well-known/jwks.json")
def platform_jwks(sandbox: Sandbox, request: Request) -> Response:
    return json_response(sandbox.keys.jwks())


@route("GET", TENANT + "/.well-known/jwks.json")
def tenant_jwks(sandbox: Sandbox, request: Request) -> Response:
    """The same keys as the platform's (an assumption)."""
    _tenant(sandbox, request)
    return json_response(sandbox.keys.jwks())


@route("POST", PLATFORM + "/oauth/token")
def platform_token(sandbox: Sandbox, request: Request) -> Response:
    """For GLOBAL apps; that PARTNER and TENANT apps may come here too is an assumption."""
    client = _authenticate(sandbox, request)
    return _grant(sandbox, request, client, sandbox.issuer(None))


@route("POST", TENANT + "/oauth/token")
def tenant_token(sandbox: Sandbox, request: Request) -> Response:
    """For the tenant's own apps, and for those of its partner (an assumption)."""
    tenant = _tenant(sandbox, request)
    client = _authenticate(sandbox, request)
    if client.target not in (tenant["id"], tenant["partner_id"]):
        raise _refused("invalid_client", status=401, headers=BASIC)
    return _grant(sandbox, request, client, sandbox.issuer(tenant["id"]))


def _tenant(sandbox: Sandbox, request: Request) -> dict[str, Any]:
    try:
        return sandbox.directory.tenant_by_slug(request.params["slug"])
    except UnknownEntity:
        raise HTTPError(404, "Tenant not found") from None


def _authenticate(sandbox: Sandbox, request: Request) -> Client:
    name, _, secret = _basic(request.headers.get("authorization", "")).partition(":")
    public = sandbox.clients.find(unquote_plus(name))
    if public and sandbox.clients.secret(public) is None:
        raise _refused("unauthorized_client")
    client = sandbox.clients.authenticate(unquote_plus(name), unquote_plus(secret))
    if client is None:
        raise _refused("invalid_client", status=401, headers=BASIC)
    return client


def _basic(header: str) -> str:
    """`client:secret` of a Basic header; '' for anything else."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _grant(sandbox: Sandbox, request: Request, client: Client, issuer: str) -> Response:
    form = _form(request)
    if form.get("grant_type") != "client_credentials":
        known = "grant_type" in form
        raise _refused("unsupported_grant_type" if known else "invalid_request")
    wanted = form["scope"].split() if form.get("scope") else list(client.scopes)
    if not set(wanted) <= set(client.scopes):
        raise _refused("invalid_scope")
    scope = " ".join(wanted)
    token = sandbox.keys.craft(
        client_claims(sandbox, client, scope=scope, issuer=issuer),
        key=None,
        alg=None,
        kid=None,
        headers=None,
    )
    body = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": sandbox.token_lifetime,
        "scope": scope,
    }
    return json_response(body, headers=dict(NO_STORE))


def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _refused("invalid_request")
    return dict(parse_qsl(request.body.decode("utf-8", "replace")))


def client_claims(
    sandbox: Sandbox, client: Client, *, scope: str, issuer: str
) -> dict[str, int | str | bool]:
    """Claims of a client-credentials token (ScaiKey docs, concepts/tokens-and-scopes).

    Assumption: the token of a PARTNER or TENANT app is no platform token; it carries the role
    that goes with its scope, or it could list nothing.
    """
    now = int(time.time())
    claims: dict[str, int | str | bool] = {
        "iss": issuer,
        "aud": client.client_id,
        "sub": client.client_id,
        "client_id": client.client_id,
        "scope": scope,
        "app_scope": client.app_scope,
        "token_type": "client_credentials",
        "iat": now,
        "exp": now + sandbox.token_lifetime,
    }
    if client.partner_id:
        return {**claims, "partner_id": client.partner_id, "role": "partner_admin"}
    if client.tenant_id:
        return {**claims, "tenant_id": client.tenant_id, "role": "tenant_admin"}
    return {**claims, "platform_token": True}


def _refused(error: str, *, status: int = 400, headers: dict[str, str] | None = None) -> HTTPError:
    refusal = HTTPError(status, None)
    refusal.response = json_response(
        {"error": error}, status=status, headers={**NO_STORE, **(headers or {})}
    )
    return refusal

"""Discovery, JWKS, token and userinfo endpoints (ScaiKey docs, reference/oauth-endpoints)."""

from __future__ import annotations

import base64
import binascii
import time
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from scaiwave.sandbox.api import sessions
from scaiwave.sandbox.api.oauth_errors import (
    NO_STORE,
    build_client_error,
    build_oauth_error,
)
from scaiwave.sandbox.clients import SCOPES, Client
from scaiwave.sandbox.errors import UnknownEntity
from scaiwave.sandbox.http.messages import HTTPError, Request, Response, json_response
from scaiwave.sandbox.http.routing import SandboxState, route

PLATFORM = "/api/v1/platform"
TENANT = "/api/v1/auth/tenants/{slug}"
CLAIMS = (
    *("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid"),
    *("name", "given_name", "family_name", "picture", "email", "email_verified"),
)


@route("GET", PLATFORM + "/oauth/.well-known/openid-configuration")
def get_platform_discovery(sandbox: SandboxState, request: Request) -> Response:
    paths = f"{sandbox.url}{PLATFORM}"
    return _build_discovery(sandbox, sandbox.get_issuer(None), f"{paths}/oauth", paths)


@route("GET", TENANT + "/.well-known/openid-configuration")
def get_tenant_discovery(sandbox: SandboxState, request: Request) -> Response:
    tenant = find_tenant(sandbox, request)
    paths = f"{sandbox.url}{TENANT.format(slug=tenant['slug'])}"
    return _build_discovery(sandbox, sandbox.get_issuer(tenant["id"]), f"{paths}/oauth", paths)


def _build_discovery(sandbox: SandboxState, issuer: str, oauth: str, keys: str) -> Response:
    return json_response(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{oauth}/authorize",
            "token_endpoint": f"{oauth}/token",
            "userinfo_endpoint": f"{oauth}/userinfo",
            "end_session_endpoint": f"{oauth}/logout",
            "jwks_uri": f"{keys}/.well-known/jwks.json",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "id_token_signing_alg_values_supported": [sandbox.keys.alg],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
            "claims_supported": list(CLAIMS),
            "claim_types_supported": ["normal"],
            "claims_parameter_supported": False,
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }
    )


@route("GET", PLATFORM + "/.well-known/jwks.json")
def get_platform_jwks(sandbox: SandboxState, request: Request) -> Response:
    return _build_jwks(sandbox)


@route("GET", TENANT + "/.well-known/jwks.json")
def get_tenant_jwks(sandbox: SandboxState, request: Request) -> Response:
    """Return the platform's keys (an assumption)."""
    find_tenant(sandbox, request)
    return _build_jwks(sandbox)


def _build_jwks(sandbox: SandboxState) -> Response:
    response = json_response(sandbox.keys.build_jwks())
    response.content_type = "application/jwk-set+json"  # RFC 7517, 8.5.1
    return response


@route("POST", PLATFORM + "/oauth/token")
def grant_platform_token(sandbox: SandboxState, request: Request) -> Response:
    """Issue a platform token to GLOBAL apps, and to PARTNER and TENANT apps (an assumption)."""
    client = _authenticate(sandbox, request)
    return _grant(sandbox, request, client, sandbox.get_issuer(None))


@route("POST", TENANT + "/oauth/token")
def grant_tenant_token(sandbox: SandboxState, request: Request) -> Response:
    """Issue a tenant token to the apps of the tenant, and of its partner (an assumption)."""
    tenant = find_tenant(sandbox, request)
    client = _authenticate(sandbox, request)
    if client.target not in (tenant["id"], tenant["partner_id"]):
        raise build_client_error()
    return _grant(sandbox, request, client, sandbox.get_issuer(tenant["id"]))


@route("GET", PLATFORM + "/oauth/userinfo")
@route("POST", PLATFORM + "/oauth/userinfo")
def get_platform_userinfo(sandbox: SandboxState, request: Request) -> Response:
    return sessions.get_userinfo(sandbox, request)


@route("GET", TENANT + "/oauth/userinfo")
@route("POST", TENANT + "/oauth/userinfo")
def get_tenant_userinfo(sandbox: SandboxState, request: Request) -> Response:
    find_tenant(sandbox, request)
    return sessions.get_userinfo(sandbox, request)


def find_tenant(sandbox: SandboxState, request: Request) -> dict[str, Any]:
    """Return the tenant that the path names. Raises HTTPError 404."""
    try:
        return sandbox.directory.get_tenant_by_slug(request.params["slug"])
    except UnknownEntity:
        raise HTTPError(404, "Tenant not found") from None


def _authenticate(sandbox: SandboxState, request: Request) -> Client:
    name, _, secret = _parse_basic_credentials(request.headers.get("authorization", "")).partition(
        ":"
    )
    public = sandbox.clients.find(unquote_plus(name))
    if public and sandbox.clients.get_secret(public) is None:
        raise build_oauth_error("unauthorized_client", "The application has no secret.")
    client = sandbox.clients.authenticate(unquote_plus(name), unquote_plus(secret))
    if client is None:
        raise build_client_error()
    return client


def _parse_basic_credentials(header: str) -> str:
    """Return `client:secret` from a Basic header, or an empty string for any other header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _grant(sandbox: SandboxState, request: Request, client: Client, issuer: str) -> Response:
    form = _parse_form(request)
    if form.get("client_id", client.client_id) != client.client_id:
        raise build_oauth_error("invalid_request", "client_id differs from the credentials.")
    if "client_secret" in form:  # RFC 6749, 2.3
        raise build_oauth_error("invalid_request", "The client authenticates in two ways.")
    grant_type = form.get("grant_type")
    if grant_type in ("authorization_code", "refresh_token") and client.app_type != "WEB":
        raise build_oauth_error("unauthorized_client", "Only WEB applications sign people in.")
    if grant_type == "authorization_code":
        return sessions.redeem_code(sandbox, client, form, issuer)
    if grant_type == "refresh_token":
        return sessions.refresh_tokens(sandbox, client, form, issuer)
    if grant_type is None:
        raise build_oauth_error("invalid_request", "grant_type is missing.")
    if grant_type != "client_credentials":
        raise build_oauth_error("unsupported_grant_type", "grant_type is not supported.")
    return _grant_client_credentials(sandbox, client, form, issuer)


def _grant_client_credentials(
    sandbox: SandboxState, client: Client, form: dict[str, str], issuer: str
) -> Response:
    scopes = form["scope"].split() if form.get("scope") else list(client.scopes)
    if not set(scopes) <= set(client.scopes):
        raise build_oauth_error(
            "invalid_scope", f"The application may request: {' '.join(client.scopes)}."
        )
    scope = " ".join(scopes)
    token = sandbox.keys.sign(build_client_claims(sandbox, client, scope=scope, issuer=issuer))
    body = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": sandbox.token_lifetime,
        "scope": scope,
    }
    return json_response(body, headers=dict(NO_STORE))


def _parse_form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise build_oauth_error("invalid_request", "The body is not a form.")
    pairs = parse_qsl(request.body.decode("utf-8", "replace"))
    if len(dict(pairs)) < len(pairs):
        raise build_oauth_error("invalid_request", "A parameter is repeated.")
    return dict(pairs)


def build_client_claims(
    sandbox: SandboxState, client: Client, *, scope: str, issuer: str
) -> dict[str, int | str | bool]:
    """Return the claims of a client-credentials token (ScaiKey docs, concepts/tokens-and-scopes).

    Assumption: the token of a PARTNER or TENANT app is not a platform token; it has the role that
    belongs to its scope, since without a role it could not list anything.
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

"""Discovery, JWKS, token and userinfo endpoints (ScaiKey docs, reference/oauth-endpoints).

Errors: RFC 6749, 5.2; RFC 6750, 3. Tokens of people: RFC 6749, 4.1.3 and 6; OpenID Connect Core, 2
and 5.3. Each endpoint exists for the platform and for each tenant.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import time
from urllib.parse import parse_qsl, unquote_plus

import jwt

from scaiwave.core.base64url import encode_base64url
from scaiwave.sandbox.clients import SCOPES, Client
from scaiwave.sandbox.data.roster import Row
from scaiwave.sandbox.errors import UnknownEntity
from scaiwave.sandbox.grants import Grant, GrantRefused, is_verifier
from scaiwave.sandbox.http.messages import HTTPError, Request, Response, json_response
from scaiwave.sandbox.http.routing import route
from scaiwave.sandbox.state import SandboxState

REALM = "scaikey"
BASIC = {"WWW-Authenticate": f'Basic realm="{REALM}"'}
# Intermediaries must not store a token response (RFC 6749, 5.1).
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def build_oauth_error(
    error: str,
    description: str,
    *,
    status: int = 400,
    headers: dict[str, str] | None = None,
) -> HTTPError:
    """Return an error of the token endpoint."""
    body = {"error": error, "error_description": description}
    all_headers = {**NO_STORE, **(headers or {})}
    return HTTPError(status, response=json_response(body, status, all_headers))


def build_client_error() -> HTTPError:
    """Return the error for a client that is unknown, or that has not proven who it is."""
    return build_oauth_error(
        "invalid_client", "Client authentication failed.", status=401, headers=BASIC
    )


def build_bearer_error(error: str, description: str, *, status: int, scope: str = "") -> HTTPError:
    """Return an error of an endpoint that takes an access token; without `error` none was sent.

    The challenge always has a parameter, and no error if no token was sent (RFC 6750, 3).
    """
    parameters = {"realm": REALM}
    if error:
        parameters |= {"error": error, "error_description": description}
    if scope:
        parameters["scope"] = scope
    challenge = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    return build_oauth_error(
        error or "unauthorized",
        description,
        status=status,
        headers={"WWW-Authenticate": f"Bearer {challenge}"},
    )


PLATFORM = "/api/v1/platform"
TENANT = "/api/v1/auth/tenants/{slug}"
CLAIMS = (
    *("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid"),
    *("name", "given_name", "family_name", "picture", "email", "email_verified"),
)


@route(
    "GET",
    PLATFORM + "/oauth/.well-known/openid-configuration",
    TENANT + "/.well-known/openid-configuration",
)
def get_discovery(sandbox: SandboxState, request: Request) -> Response:
    tenant = find_tenant(sandbox, request)
    issuer = _get_issuer(sandbox, tenant)
    keys = sandbox.url + (TENANT.format(slug=tenant["slug"]) if tenant else PLATFORM)
    oauth = f"{keys}/oauth"
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
            "grant_types_supported": list(GRANTS),
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


@route("GET", PLATFORM + "/.well-known/jwks.json", TENANT + "/.well-known/jwks.json")
def get_jwks(sandbox: SandboxState, request: Request) -> Response:
    """Return the platform's keys, which sign for its tenants too (an assumption)."""
    find_tenant(sandbox, request)
    kind = "application/jwk-set+json"  # RFC 7517, 8.5.1
    return json_response(sandbox.keys.build_jwks(), kind=kind)


@route("POST", PLATFORM + "/oauth/token", TENANT + "/oauth/token")
def grant_token(sandbox: SandboxState, request: Request) -> Response:
    """Issue a platform token to any app, or a tenant token to the apps of the tenant.

    Assumptions: PARTNER and TENANT apps get platform tokens, and a partner's apps get the tokens of
    its tenants.
    """
    tenant = find_tenant(sandbox, request)
    client = _authenticate(sandbox, request)
    if tenant is not None and client.target not in (tenant["id"], tenant["partner_id"]):
        raise build_client_error()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise build_oauth_error("invalid_request", "The body is not a form.")
    pairs = parse_qsl(request.body.decode("utf-8", "replace"))
    if len(dict(pairs)) < len(pairs):
        raise build_oauth_error("invalid_request", "A parameter is repeated.")
    form = dict(pairs)
    if form.get("client_id", client.client_id) != client.client_id:
        raise build_oauth_error("invalid_request", "client_id differs from the credentials.")
    if "client_secret" in form:  # RFC 6749, 2.3
        raise build_oauth_error("invalid_request", "The client authenticates in two ways.")
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise build_oauth_error("invalid_request", "grant_type is missing.")
    if grant_type not in GRANTS:
        raise build_oauth_error("unsupported_grant_type", "grant_type is not supported.")
    if grant_type != "client_credentials" and client.app_type != "WEB":
        raise build_oauth_error("unauthorized_client", "Only WEB applications sign people in.")
    return GRANTS[grant_type](sandbox, client, form, _get_issuer(sandbox, tenant))


def find_tenant(sandbox: SandboxState, request: Request) -> Row | None:
    """Return the tenant that the path names; None for the platform. Raises UnknownEntity."""
    if "slug" not in request.params:
        return None
    return sandbox.directory.get_by_slug("tenant", request.params["slug"])


def _get_issuer(sandbox: SandboxState, tenant: Row | None) -> str:
    return sandbox.get_issuer(tenant["id"] if tenant else None)


def _authenticate(sandbox: SandboxState, request: Request) -> Client:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    credentials = ""
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            credentials = base64.b64decode(encoded, validate=True).decode()
    name, _, secret = credentials.partition(":")
    public = sandbox.clients.find(unquote_plus(name))
    if public and sandbox.clients.get_secret(public) is None:
        raise build_oauth_error("unauthorized_client", "The application has no secret.")
    client = sandbox.clients.authenticate(unquote_plus(name), unquote_plus(secret))
    if client is None:
        raise build_client_error()
    return client


def _grant_client_credentials(
    sandbox: SandboxState, client: Client, form: dict[str, str], issuer: str
) -> Response:
    scopes = form["scope"].split() if form.get("scope") else list(client.scopes)
    if not set(scopes) <= set(client.scopes):
        raise build_oauth_error(
            "invalid_scope", f"The application may request: {' '.join(client.scopes)}."
        )
    claims = build_client_claims(sandbox, client, scope=" ".join(scopes), issuer=issuer)
    return json_response(_issue(sandbox, claims), headers=NO_STORE)


def _issue(sandbox: SandboxState, claims: Row) -> Row:
    """Return the members of a response that contains the access token with these claims."""
    return {
        "access_token": sandbox.keys.sign(claims),
        "token_type": "Bearer",
        "expires_in": sandbox.token_lifetime,
        "scope": claims["scope"],
    }


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


ROLES = ("super_admin", "partner_admin", "tenant_admin")


def redeem_code(
    sandbox: SandboxState, client: Client, form: dict[str, str], issuer: str
) -> Response:
    """Answer `grant_type=authorization_code`. Raises HTTPError."""
    for name in ("code", "redirect_uri", "code_verifier"):
        if name not in form:
            raise build_oauth_error("invalid_request", f"{name} is missing.")
    if not is_verifier(form["code_verifier"]):
        raise build_oauth_error("invalid_request", "code_verifier is malformed (RFC 7636, 4.1).")
    try:
        grant = sandbox.grants.redeem(
            form["code"],
            client_id=client.client_id,
            issuer=issuer,
            redirect_uri=form["redirect_uri"],
            verifier=form["code_verifier"],
        )
    except GrantRefused as error:
        raise build_oauth_error("invalid_grant", str(error)) from None
    return _respond(sandbox, client, grant, grant.scopes, nonce=grant.nonce)


def refresh_tokens(
    sandbox: SandboxState, client: Client, form: dict[str, str], issuer: str
) -> Response:
    """Answer `grant_type=refresh_token`. Raises HTTPError."""
    if "refresh_token" not in form:
        raise build_oauth_error("invalid_request", "refresh_token is missing.")
    try:
        grant = sandbox.grants.refresh(
            form["refresh_token"], client_id=client.client_id, issuer=issuer
        )
    except GrantRefused as error:
        raise build_oauth_error("invalid_grant", str(error)) from None
    scopes = tuple(form["scope"].split()) if "scope" in form else grant.scopes
    if not set(scopes) <= set(grant.scopes):
        raise build_oauth_error(
            "invalid_scope", f"The person has granted: {' '.join(grant.scopes)}."
        )
    # The nonce belongs to the sign-in, not to what follows it (OpenID Connect Core, 12.2).
    return _respond(sandbox, client, grant, scopes, nonce=None)


def build_role_claims(sandbox: SandboxState, person: Row) -> Row:
    """Return the tenant and the partner of a person, and their highest role."""
    tenant = sandbox.directory.get_tenant_of_user(person["id"])
    claims = {"tenant_id": tenant["id"]}
    if tenant["partner_id"]:
        claims["partner_id"] = tenant["partner_id"]
    held = {str(role).lower() for role in person.get("roles") or []}
    if highest := next((role for role in ROLES if role in held), None):
        claims["role"] = highest
    return claims


def _respond(
    sandbox: SandboxState,
    client: Client,
    grant: Grant,
    scopes: tuple[str, ...],
    *,
    nonce: str | None,
) -> Response:
    person = find_active_person(sandbox, grant.user_id)
    if person is None:
        sandbox.grants.revoke(grant.grant_id)
        raise build_oauth_error("invalid_grant", "The account is not active.")
    now = int(time.time())
    common: dict[str, object] = {
        "iss": grant.issuer,
        "sub": grant.user_id,
        "aud": client.client_id,
        "sid": grant.grant_id,
        "iat": now,
        "exp": now + sandbox.token_lifetime,
    }
    access_claims = {
        **common,
        "client_id": client.client_id,
        "scope": " ".join(scopes),
        "app_scope": client.app_scope,
        **build_role_claims(sandbox, person),
    }
    body = {**_issue(sandbox, access_claims), "refresh_token": grant.refresh_token}
    if "openid" in scopes:
        claims = {**common, "auth_time": grant.auth_time, **({"nonce": nonce} if nonce else {})}
        if sandbox.at_hash:
            # OpenID Connect Core, 3.1.3.6; both algorithms here use SHA-256.
            digest = hashlib.sha256(body["access_token"].encode()).digest()
            claims["at_hash"] = encode_base64url(digest[:16])
        body["id_token"] = sandbox.keys.sign(claims)
    return json_response(body, headers=NO_STORE)


def find_active_person(sandbox: SandboxState, user_id: str) -> dict[str, object] | None:
    """Return the row of a person who may sign in: active, and in a tenant that is active."""
    try:
        person = sandbox.directory.get("user", user_id)
        tenant = sandbox.directory.get_tenant_of_user(user_id)
    except UnknownEntity:
        return None
    return person if person["status"] == tenant["status"] == "ACTIVE" else None


@route("GET POST", PLATFORM + "/oauth/userinfo", TENANT + "/oauth/userinfo")
def get_userinfo(sandbox: SandboxState, request: Request) -> Response:
    """Return the claims of the person whose access token this is. Raises HTTPError."""
    find_tenant(sandbox, request)
    if not request.bearer:
        raise build_bearer_error("", "No access token was sent.", status=401)
    claims = verify_token(sandbox, request)
    scopes = str(claims.get("scope", "")).split() if claims else []
    if claims and "openid" not in scopes:
        raise build_bearer_error(
            "insufficient_scope", "The scope openid is needed.", status=403, scope="openid"
        )
    person = find_active_person(sandbox, str(claims["sub"])) if claims else None
    if person is None:
        raise build_bearer_error("invalid_token", "The token is invalid or expired.", status=401)
    # The claims of the scopes (OpenID Connect Core, 5.4).
    answer: dict[str, object] = {"sub": person["id"]}
    if "profile" in scopes:
        answer |= {
            "name": get_name(person),
            "given_name": person.get("first_name"),
            "family_name": person.get("last_name"),
            "picture": person.get("avatar_url"),
        }
    if "email" in scopes and person["email"]:
        answer |= {"email": person["email"], "email_verified": True}
    present = {name: value for name, value in answer.items() if value is not None}
    return json_response(present, headers=NO_STORE)


def verify_token(sandbox: SandboxState, request: Request) -> Row | None:
    """Return the claims of the bearer token, or None if it is invalid or its sign-in revoked."""
    try:
        claims = sandbox.keys.verify(request.bearer, is_trusted_issuer=sandbox.is_trusted_issuer)
    except jwt.InvalidTokenError:
        return None
    # Only the tokens of people have a `sid`.
    is_revoked = "sid" in claims and sandbox.grants.is_revoked(str(claims["sid"]))
    return None if is_revoked else claims


def get_name(person: Row) -> str:
    """Return a person's name; rows may lack any name."""
    full = " ".join(filter(None, map(person.get, ("first_name", "last_name"))))
    return str(person.get("display_name") or full or person["email"] or person["id"])


GRANTS = {
    "authorization_code": redeem_code,
    "client_credentials": _grant_client_credentials,
    "refresh_token": refresh_tokens,
}

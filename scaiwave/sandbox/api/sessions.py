"""Tokens of people: the grants of the token endpoint that follow a sign-in, and userinfo.

(RFC 6749, 4.1.3 and 6; OpenID Connect Core, 2 and 5.3)
"""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import jwt

from scaiwave.sandbox.api.oauth_errors import NO_STORE, build_bearer_error, build_oauth_error
from scaiwave.sandbox.clients import Client
from scaiwave.sandbox.errors import UnknownEntity
from scaiwave.sandbox.grants import Grant, GrantRefused, is_verifier
from scaiwave.sandbox.http.messages import Request, Response, json_response
from scaiwave.sandbox.http.routing import SandboxState

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
    now, scope = int(time.time()), " ".join(scopes)
    common = {
        "iss": grant.issuer,
        "sub": grant.user_id,
        "aud": client.client_id,
        "sid": grant.grant_id,
        "iat": now,
        "exp": now + sandbox.token_lifetime,
    }
    access_token = sandbox.keys.sign(
        {
            **common,
            "client_id": client.client_id,
            "scope": scope,
            "app_scope": client.app_scope,
            **_build_role_claims(sandbox, person),
        }
    )
    body = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": sandbox.token_lifetime,
        "scope": scope,
        "refresh_token": grant.refresh_token,
    }
    if "openid" in scopes:
        claims = {**common, "auth_time": grant.auth_time, **({"nonce": nonce} if nonce else {})}
        if sandbox.at_hash:
            claims["at_hash"] = _hash_token(access_token)
        body["id_token"] = sandbox.keys.sign(claims)
    return json_response(body, headers=dict(NO_STORE))


def find_active_person(sandbox: SandboxState, user_id: str) -> dict[str, Any] | None:
    """Return the row of a person who may sign in: active, and in a tenant that is active."""
    try:
        person = sandbox.directory.get_user(user_id)
        tenant = sandbox.directory.get_tenant_of_user(user_id)
    except UnknownEntity:
        return None
    return person if person["status"] == tenant["status"] == "ACTIVE" else None


def _build_role_claims(sandbox: SandboxState, person: dict[str, Any]) -> dict[str, str]:
    """Return tenant, partner and the highest admin role of a person's `roles`."""
    tenant = sandbox.directory.get_tenant_of_user(person["id"])
    claims = {"tenant_id": tenant["id"]}
    if tenant["partner_id"]:
        claims["partner_id"] = tenant["partner_id"]
    held = {str(role).lower() for role in person.get("roles") or []}
    if highest := next((role for role in ROLES if role in held), None):
        claims["role"] = highest
    return claims


def _hash_token(token: str) -> str:
    """Return the at_hash (OpenID Connect Core, 3.1.3.6); both algorithms here use SHA-256."""
    digest = hashlib.sha256(token.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def get_userinfo(sandbox: SandboxState, request: Request) -> Response:
    """Return the claims of the person whose access token this is. Raises HTTPError."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise build_bearer_error("", "No access token was sent.", status=401)
    invalid = build_bearer_error("invalid_token", "The token is invalid or expired.", status=401)
    try:
        claims = sandbox.keys.verify(token, is_trusted_issuer=sandbox.is_trusted_issuer)
    except jwt.InvalidTokenError:
        raise invalid from None
    scopes = str(claims.get("scope", "")).split()
    if "openid" not in scopes:
        raise build_bearer_error(
            "insufficient_scope", "The scope openid is needed.", status=403, scope="openid"
        )
    person = find_active_person(sandbox, str(claims["sub"]))
    if person is None or is_token_revoked(sandbox, claims):
        raise invalid
    return json_response(_build_userinfo(person, scopes), headers=dict(NO_STORE))


def is_token_revoked(sandbox: SandboxState, claims: dict[str, Any]) -> bool:
    """Return whether the sign-in of a token was revoked; other tokens have no `sid`."""
    return "sid" in claims and sandbox.grants.is_revoked(str(claims["sid"]))


def _build_userinfo(person: dict[str, Any], scopes: list[str]) -> dict[str, Any]:
    """Return the claims of the scopes (OpenID Connect Core, 5.4), without empty ones."""
    claims: dict[str, Any] = {"sub": person["id"]}
    if "profile" in scopes:
        claims |= {
            "name": get_name(person),
            "given_name": person.get("first_name"),
            "family_name": person.get("last_name"),
            "picture": person.get("avatar_url"),
        }
    if "email" in scopes and person["email"]:
        claims |= {"email": person["email"], "email_verified": True}
    return {name: value for name, value in claims.items() if value is not None}


def get_name(person: dict[str, Any]) -> str:
    """Return a person's name; rows may lack any name."""
    full = " ".join(filter(None, map(person.get, ("first_name", "last_name"))))
    return str(person.get("display_name") or full or person["email"] or person["id"])

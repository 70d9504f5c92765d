"""Whom the admin API lets in (ScaiKey docs, reference/admin-api).

The texts of refusals that the vendor does not document are an assumption; the documented one is
NEEDS_SCOPE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from scaiwave.sandbox.http.routing import HTTPError, Request

if TYPE_CHECKING:
    from scaiwave.sandbox.server import Sandbox

NEEDS_SCOPE = "Platform token requires admin:read or admin:write scope"
NEEDS_ROLE = "Admin role required"
NEEDS_SUPER_ADMIN = "Super admin role required"
BEARER = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: without partner and tenant everything is in scope."""

    claims: dict[str, Any]
    role: str
    partner_id: str | None = None
    tenant_id: str | None = None

    @property
    def client_id(self) -> str:
        return str(self.claims.get("client_id", ""))


def caller(sandbox: Sandbox, request: Request) -> Principal:
    """Raises Refusal 401 for a token that isn't ours or valid, 403 for one that may not read."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HTTPError(401, "Not authenticated", headers=BEARER)
    try:
        claims = sandbox.keys.verify(token, trusts=sandbox.trusts)
    except jwt.InvalidTokenError:
        raise HTTPError(401, "Invalid or expired token", headers=BEARER) from None
    return _judge(claims)


def _judge(claims: dict[str, Any]) -> Principal:
    machine = claims.get("platform_token") or claims.get("token_type") == "client_credentials"
    scopes = str(claims.get("scope", "")).split()
    if machine and not {"admin:read", "admin:write"} & set(scopes):
        raise HTTPError(403, NEEDS_SCOPE)
    roles = {str(role).lower() for role in [claims.get("role"), *claims.get("roles", [])]}
    if "super_admin" in roles or claims.get("platform_token"):
        return Principal(claims, "super_admin")
    if "partner_admin" in roles and claims.get("partner_id"):
        return Principal(claims, "partner_admin", partner_id=claims["partner_id"])
    if "tenant_admin" in roles and claims.get("tenant_id"):
        return Principal(claims, "tenant_admin", tenant_id=claims["tenant_id"])
    raise HTTPError(403, NEEDS_ROLE)


def super_admin(sandbox: Sandbox, request: Request) -> Principal:
    who = caller(sandbox, request)
    if who.role != "super_admin":
        raise HTTPError(403, NEEDS_SUPER_ADMIN)
    return who

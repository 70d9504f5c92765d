"""Authentication and authorisation for the admin API (ScaiKey docs, reference/admin-api).

The vendor documents the text NEEDS_SCOPE; the other texts are an assumption.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaiwave.sandbox.api.oauth import verify_token
from scaiwave.sandbox.data.population import ListFilter
from scaiwave.sandbox.http.messages import HTTPError, Request
from scaiwave.sandbox.state import SandboxState

NEEDS_SCOPE = "Platform token requires admin:read or admin:write scope"
NEEDS_ROLE = "Admin role required"
NEEDS_SUPER_ADMIN = "Super admin role required"
BEARER = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. A super_admin has no partner or tenant, and everything in scope."""

    claims: dict[str, object]
    role: str
    partner_id: str | None = None
    tenant_id: str | None = None

    @property
    def scope(self) -> ListFilter:
        return ListFilter(scope_partner_id=self.partner_id, scope_tenant_id=self.tenant_id)

    @property
    def client_id(self) -> str:
        return str(self.claims.get("client_id", ""))


def authenticate(sandbox: SandboxState, request: Request) -> Principal:
    """Return the caller. Raises HTTPError 401 for an invalid token, 403 without permission."""
    if not request.bearer:
        raise HTTPError(401, "Not authenticated", headers=BEARER)
    claims = verify_token(sandbox, request)
    if claims is None:
        raise HTTPError(401, "Invalid or expired token", headers=BEARER)
    # A token of an application (`client_credentials`) needs a scope of the admin API too. Only an
    # application of the whole platform has the claim `platform_token`, and then no role.
    is_client = claims.get("platform_token") or claims.get("token_type") == "client_credentials"
    scopes = str(claims.get("scope", "")).split()
    if is_client and not {"admin:read", "admin:write"} & set(scopes):
        raise HTTPError(403, NEEDS_SCOPE)
    roles = {str(role).lower() for role in [claims.get("role"), *claims.get("roles", [])]}
    if "super_admin" in roles or claims.get("platform_token"):
        return Principal(claims, "super_admin")
    if "partner_admin" in roles and claims.get("partner_id"):
        return Principal(claims, "partner_admin", partner_id=claims["partner_id"])
    if "tenant_admin" in roles and claims.get("tenant_id"):
        return Principal(claims, "tenant_admin", tenant_id=claims["tenant_id"])
    raise HTTPError(403, NEEDS_ROLE)


def require_super_admin(sandbox: SandboxState, request: Request) -> Principal:
    """Like `authenticate`, but raises HTTPError 403 for every other role."""
    principal = authenticate(sandbox, request)
    if principal.role != "super_admin":
        raise HTTPError(403, NEEDS_SUPER_ADMIN)
    return principal

"""Who acts, and what they may touch.

With SCAIWAVE_ADMIN_TOKEN the operator is whom that ScaiKey token says (ScaiKey docs,
concepts/tokens-and-scopes). Without it, it is the host operator: whoever can read this server's
configuration holds its database anyway. Services ask `operator.require(…)` in their first line,
so that no command, job or view can walk past it.
"""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from scaiwave import registry
from scaiwave.config import Configuration
from scaiwave.errors import InsufficientPermission, InvalidToken, TokenRequired

if TYPE_CHECKING:
    from scaiwave.auth.tokens import Claims, FetchJwks


class Role(Enum):
    HOST = "host"
    SUPER_ADMIN = "super_admin"
    PARTNER_ADMIN = "partner_admin"
    TENANT_ADMIN = "tenant_admin"
    PLATFORM_READ = "platform_read"
    # Whoever calls the HTTP API for themselves: no operator, and bound to their tenant.
    PARTICIPANT = "participant"


class Permission(Enum):
    """What can be asked for; the value completes 'may not …'."""

    MANAGE_PLATFORM = "manage the platform"
    MANAGE_TENANTS = "manage tenants"
    MANAGE_ROLES = "manage roles"
    CARRY_ROOMS = "export and import rooms"
    VIEW = "look at tenants"
    VIEW_PLATFORM = "look at this server's configuration"


_EVERYTHING = frozenset(Permission)
GRANTED: dict[Role, frozenset[Permission]] = {
    Role.HOST: _EVERYTHING,
    Role.SUPER_ADMIN: _EVERYTHING,
    Role.PARTNER_ADMIN: frozenset(
        {
            Permission.MANAGE_TENANTS,
            Permission.MANAGE_ROLES,
            Permission.CARRY_ROOMS,
            Permission.VIEW,
        }
    ),
    Role.TENANT_ADMIN: frozenset({Permission.CARRY_ROOMS, Permission.VIEW}),
    Role.PLATFORM_READ: frozenset({Permission.VIEW, Permission.VIEW_PLATFORM}),
    Role.PARTICIPANT: frozenset({Permission.CARRY_ROOMS}),
}


@dataclass(frozen=True)
class Operator:
    """Whoever acts. `partner_id` and `tenant_id` are ScaiKey ids and bound the scope; `subject`
    is the ScaiKey id of whom a token was given to."""

    name: str
    role: Role
    partner_id: str | None = None
    tenant_id: str | None = None
    origin: str = ""
    subject: str = ""

    def require(self, permission: Permission) -> None:
        """Raise `InsufficientPermission` unless the role grants this at all."""
        if not self.may(permission):
            raise InsufficientPermission(
                f"{self.name} ({self.role.value}) may not {permission.value}.",
                fix="Ask an operator whose role allows it: "
                + ", ".join(
                    role.value
                    for role, granted in GRANTED.items()
                    if permission in granted and role is not Role.PARTICIPANT
                )
                + ".",
            )

    def may(self, permission: Permission) -> bool:
        return permission in GRANTED[self.role]

    @property
    def sees_everything(self) -> bool:
        return self.role in (Role.HOST, Role.SUPER_ADMIN, Role.PLATFORM_READ)


def host_operator() -> Operator:
    return Operator(_os_user(), Role.HOST, origin=socket.gethostname())


def _os_user() -> str:
    """By the process itself: the variables USER and LOGNAME say whatever somebody likes."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # no name for this uid, as in many containers
        return f"uid {os.geteuid()}"


def identify_operator(config: Configuration) -> Operator:
    """The operator of this process.

    Raises `InvalidToken` and its like (exit 3) for a token that is no good, whatever else would
    be allowed without one; `UpstreamError` (exit 2) when ScaiKey's keys can't be fetched.
    """
    token = config.get_str("SCAIWAVE_ADMIN_TOKEN")
    if token:
        return _from_claims(verified_claims(config, token))
    if config.get_bool("SCAIWAVE_REQUIRE_ADMIN_TOKEN"):
        raise TokenRequired("This server asks for an operator's token, and none is given.")
    return host_operator()


def verified_claims(
    config: Configuration, token: str, *, fetch_jwks: FetchJwks | None = None
) -> Claims:
    """What a ScaiKey token made for this server says. Raises what `identify_operator` raises.

    `fetch_jwks` gives the keys from elsewhere than ScaiKey itself, such as a cache.
    """
    from scaiwave.auth.tokens import verify_token

    base_url = config.get_url("SCAIWAVE_SCAIKEY_URL") or config.required("SCAIWAVE_SCAIKEY_URL")
    audience = config.get_str("SCAIWAVE_SCAIKEY_AUDIENCE") or config.required(
        "SCAIWAVE_SCAIKEY_CLIENT_ID"
    )
    return verify_token(
        token,
        issuer=config.get_url("SCAIWAVE_SCAIKEY_ISSUER") or base_url,
        audience=audience,
        fetch_jwks=fetch_jwks or (lambda tenant_id: fetch_jwks_of(base_url, _slug_of(tenant_id))),
    )


def fetch_jwks_of(base_url: str, tenant_slug: str | None, **options: Any) -> dict[str, Any]:
    """The keys that ScaiKey lists now; `options` are those of its client."""
    from scaiwave.clients.scaikey.client import ScaiKeyClient

    with ScaiKeyClient(base_url, **options) as client:
        return client.fetch_jwks(tenant_slug=tenant_slug)


def _slug_of(tenant_id: str | None) -> str | None:
    return registry.resolve_tenant_slug(tenant_id) if tenant_id else None


def _from_claims(claims: Claims) -> Operator:
    role = _role(claims)
    if role is Role.PARTNER_ADMIN and not claims.partner_id:
        raise InvalidToken("The token says partner_admin but names no partner.")
    if role is Role.TENANT_ADMIN and not claims.tenant_id:
        raise InvalidToken("The token says tenant_admin but names no tenant.")
    return Operator(
        name=claims.email or claims.name or claims.subject,
        role=role,
        partner_id=claims.partner_id if role is Role.PARTNER_ADMIN else None,
        tenant_id=claims.tenant_id if role is Role.TENANT_ADMIN else None,
        origin=socket.gethostname(),
        subject=claims.subject,
    )


def _role(claims: Claims) -> Role:
    """A platform token has scopes instead of a role (ScaiKey docs, reference/admin-api)."""
    if claims.role:
        return Role(claims.role)
    if claims.platform and "admin:write" in claims.scopes:
        return Role.SUPER_ADMIN
    if claims.platform and "admin:read" in claims.scopes:
        return Role.PLATFORM_READ
    raise InsufficientPermission(
        "The token carries no administrator role.",
        fix="Sign in to ScaiKey as super_admin, partner_admin or tenant_admin and export that "
        "token as SCAIWAVE_ADMIN_TOKEN.",
    )

"""The operator of a command, and what it may do.

With SCAIWAVE_ADMIN_TOKEN the operator is the subject of that ScaiKey token (ScaiKey docs,
concepts/tokens-and-scopes). Without a token it is the host operator, because a user who can read
this server's configuration can use its database anyway. Services call `operator.require(…)` in
their first line, so that no command, job or view can bypass it.
"""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass
from enum import Enum
from shlex import quote
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scaiwave import registry
from scaiwave.config import Configuration
from scaiwave.errors import InsufficientPermission, InvalidToken, SettingInvalid, TokenRequired

if TYPE_CHECKING:
    from scaiwave.auth.tokens import Claims, FetchJwks


class OperatorRole(Enum):
    HOST = "host"
    SUPER_ADMIN = "super_admin"
    PARTNER_ADMIN = "partner_admin"
    TENANT_ADMIN = "tenant_admin"
    PLATFORM_READ = "platform_read"
    # An application with a PARTNER or TENANT registration that may read ScaiKey but not change it.
    SERVICE = "service"
    # A caller of the HTTP API: not an operator, and limited to their own tenant.
    PARTICIPANT = "participant"
    # An account of the admin site, and a client that tries to sign in with one. They are recorded
    # with their sign-ins and can run no operation.
    ADMINISTRATOR = "administrator"
    ANONYMOUS = "anonymous"


class Permission(Enum):
    """What an operator can be allowed; the value completes 'may not …'."""

    MANAGE_PLATFORM = "manage the platform"
    MANAGE_TENANTS = "manage tenants"
    SYNC_TENANTS = "sync tenants"
    MANAGE_ROLES = "manage roles"
    TRANSFER_ROOMS = "export and import rooms"
    READ_MESSAGES = "read the messages of rooms"
    VIEW = "view tenants"
    VIEW_PLATFORM = "view this server's configuration"


_ALL_PERMISSIONS = frozenset(Permission)
ROLE_PERMISSIONS: dict[OperatorRole, frozenset[Permission]] = {
    OperatorRole.HOST: _ALL_PERMISSIONS,
    OperatorRole.SUPER_ADMIN: _ALL_PERMISSIONS,
    OperatorRole.PARTNER_ADMIN: frozenset(
        {
            Permission.MANAGE_TENANTS,
            Permission.SYNC_TENANTS,
            Permission.MANAGE_ROLES,
            Permission.TRANSFER_ROOMS,
            Permission.VIEW,
        }
    ),
    OperatorRole.TENANT_ADMIN: frozenset(
        {Permission.SYNC_TENANTS, Permission.TRANSFER_ROOMS, Permission.VIEW}
    ),
    OperatorRole.PLATFORM_READ: frozenset({Permission.VIEW, Permission.VIEW_PLATFORM}),
    OperatorRole.SERVICE: frozenset({Permission.SYNC_TENANTS, Permission.VIEW}),
    OperatorRole.PARTICIPANT: frozenset({Permission.TRANSFER_ROOMS}),
    OperatorRole.ADMINISTRATOR: frozenset(),
    OperatorRole.ANONYMOUS: frozenset(),
}


@dataclass(frozen=True)
class Operator:
    """The caller of an act.

    `partner_id` and `tenant_id` are ScaiKey ids that limit the scope. `subject` is the ScaiKey id
    of the token's owner. `is_own_application` is true for the token that this server itself gets
    by its client credentials. `granted` are permissions that the operator has beside those of the
    role.
    """

    name: str
    role: OperatorRole
    partner_id: str | None = None
    tenant_id: str | None = None
    origin: str = ""
    subject: str = ""
    is_own_application: bool = False
    granted: frozenset[Permission] = frozenset()

    def require(self, permission: Permission) -> None:
        """Raise InsufficientPermission unless the role grants this permission."""
        if not self.has_permission(permission):
            raise InsufficientPermission(
                f"{self.name} ({self.role.value}) may not {permission.value}.",
                fix="Ask an operator with one of these roles: "
                + ", ".join(
                    role.value
                    for role, granted in ROLE_PERMISSIONS.items()
                    if permission in granted
                    and role not in (OperatorRole.PARTICIPANT, OperatorRole.SERVICE)
                )
                + ".",
            )

    def has_permission(self, permission: Permission) -> bool:
        return permission in ROLE_PERMISSIONS[self.role] or permission in self.granted

    @property
    def sees_everything(self) -> bool:
        return self.role in (
            OperatorRole.HOST,
            OperatorRole.SUPER_ADMIN,
            OperatorRole.PLATFORM_READ,
        )


def get_host_operator() -> Operator:
    return Operator(_get_os_user(), OperatorRole.HOST, origin=socket.gethostname())


def _get_os_user() -> str:
    """Ask the process itself: the variables USER and LOGNAME can be set to anything."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # The uid has no name, as in many containers.
        return f"uid {os.geteuid()}"


def identify_operator(config: Configuration) -> Operator:
    """Return the operator of this process.

    Raises AuthError (exit 3) for an invalid token, even where none is needed, or if this server has
    suspended its owner, UpstreamError (exit 2) if ScaiKey's keys can't be fetched, and
    SettingInvalid (exit 2) if the address of ScaiKey has a path too many.
    """
    token = config.get_str("SCAIWAVE_ADMIN_TOKEN")
    if token:
        claims = _verify_own_token(config, token)
        operator = build_token_operator(claims, config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"))
        _ensure_not_suspended(operator)
        _ensure_scope_is_active(operator)
        return operator
    if config.get_bool("SCAIWAVE_REQUIRE_ADMIN_TOKEN"):
        raise TokenRequired("No operator token is set, and this server requires one.")
    return get_host_operator()


def identify_service_operator(config: Configuration) -> Operator:
    """Return the operator of a process that a service manager keeps running.

    Its jobs act as the host operator anyway, so it needs no token where one is required of people.
    A token that is set must be valid, as everywhere. Raises as `identify_operator` does.
    """
    if config.get_str("SCAIWAVE_ADMIN_TOKEN"):
        return identify_operator(config)
    return get_host_operator()


def _verify_own_token(config: Configuration, token: str) -> Claims:
    try:
        return verify_scaikey_token(config, token)
    except InvalidToken:
        _ensure_address_has_no_path_of_api(config, token)
        raise


def _ensure_address_has_no_path_of_api(config: Configuration, token: str) -> None:
    """Raise SettingInvalid if the configured address is below the issuer that the token names.

    The token is not accepted either way, so that its claims need not be verified.
    """
    from scaiwave.auth.tokens import get_unverified_issuer

    base_url, issuer = config.get_url("SCAIWAVE_SCAIKEY_URL"), get_unverified_issuer(token)
    if urlsplit(issuer).netloc and base_url.startswith(f"{issuer}/"):
        raise SettingInvalid(
            f"SCAIWAVE_SCAIKEY_URL is {base_url}, and the token was issued by {issuer}.",
            fix=f"Set SCAIWAVE_SCAIKEY_URL to {issuer}, if that is the address of ScaiKey.",
        )


def _ensure_not_suspended(operator: Operator) -> None:
    if registry.is_suspended(operator.subject):
        raise InsufficientPermission(
            f"{operator.name} is suspended manually on this server.",
            fix="Ask another operator to run `scaiwave admin resume-participant "
            f"{quote(operator.subject)}`.",
        )


def _ensure_scope_is_active(operator: Operator) -> None:
    """Refuse whom the admin site refuses: the administrators of a partner or tenant that is
    suspended or deactivated here. The token of this server itself may still sync, which is how
    their status in ScaiKey gets here.

    If the database can't be read, nothing can be changed in it either, and commands that the role
    may not run at all are still refused for that reason.
    """
    from django.db import Error

    if operator.is_own_application:
        return
    try:
        blocker = registry.find_operator_scope(operator).blocker
    except Error:
        return
    if blocker:
        raise InsufficientPermission(
            f"{operator.name} ({operator.role.value}) may not run commands: {blocker}.",
            fix="Ask a super_admin, or the operators of this server.",
        )


def verify_scaikey_token(
    config: Configuration, token: str, *, fetch_jwks: FetchJwks | None = None
) -> Claims:
    """Return the claims of a ScaiKey token for this server. Raises what `identify_operator` raises.

    `fetch_jwks` replaces the request to ScaiKey for its keys, for example by a cache.
    """
    from scaiwave.auth.tokens import verify_token

    base_url = config.get_url("SCAIWAVE_SCAIKEY_URL") or config.get_required("SCAIWAVE_SCAIKEY_URL")
    audience = config.get_str("SCAIWAVE_SCAIKEY_AUDIENCE") or config.get_required(
        "SCAIWAVE_SCAIKEY_CLIENT_ID"
    )
    return verify_token(
        token,
        issuer=config.get_url("SCAIWAVE_SCAIKEY_ISSUER") or base_url,
        audience=audience,
        fetch_jwks=fetch_jwks
        or (lambda tenant_id: fetch_scaikey_jwks(base_url, _get_tenant_slug(tenant_id))),
    )


def fetch_scaikey_jwks(base_url: str, tenant_slug: str | None, **options: Any) -> dict[str, Any]:
    """Fetch the current keys of ScaiKey; `options` are passed to its client."""
    from scaiwave.clients.scaikey.client import ScaiKeyClient

    with ScaiKeyClient(base_url, **options) as client:
        return client.fetch_jwks(tenant_slug=tenant_slug)


def _get_tenant_slug(tenant_id: str | None) -> str | None:
    return registry.resolve_tenant_slug(tenant_id) if tenant_id else None


MAX_NAME_CHARS = 200
"""Names from tokens are cut to this length: they are repeated in errors and the audit log."""

_SCOPES = {
    OperatorRole.SUPER_ADMIN: "GLOBAL",
    OperatorRole.PARTNER_ADMIN: "PARTNER",
    OperatorRole.TENANT_ADMIN: "TENANT",
}
_ROLES = {scope: role for role, scope in _SCOPES.items()}


def build_token_operator(claims: Claims, own_client_id: str) -> Operator:
    """Return the operator whose token has these verified claims.

    Raises InsufficientPermission if they have no role, and InvalidToken if the role has no scope.
    """
    role, scope = _get_role_and_scope(claims)
    if scope == "PARTNER" and not claims.partner_id:
        raise InvalidToken(f"The token has the role {role.value} but no partner.")
    if scope == "TENANT" and not claims.tenant_id:
        raise InvalidToken(f"The token has the role {role.value} but no tenant.")
    return Operator(
        name=(claims.email or claims.name or claims.subject)[:MAX_NAME_CHARS],
        role=role,
        partner_id=claims.partner_id if scope == "PARTNER" else None,
        tenant_id=claims.tenant_id if scope == "TENANT" else None,
        origin=socket.gethostname(),
        subject=claims.subject,
        is_own_application=claims.by_client and claims.client_id == own_client_id,
    )


def _get_role_and_scope(claims: Claims) -> tuple[OperatorRole, str]:
    """Return the role and what it reaches, one of `APPLICATION_SCOPES`.

    What an application may do depends on the scopes of its token (ScaiKey docs,
    reference/admin-api), also if the token names a role.
    """
    if claims.by_client:
        if found := _get_role_of_application(claims):
            return found
    elif claims.role:
        role = OperatorRole(claims.role)
        return role, _SCOPES[role]
    if claims.issuing_tenant_id and not {"super_admin", "partner_admin"}.isdisjoint(claims.roles):
        raise InsufficientPermission(
            "The token claims a role of the platform, but a tenant has issued it.",
            fix="Sign in to ScaiKey's platform, not to a tenant, and export that token as "
            "SCAIWAVE_ADMIN_TOKEN.",
        )
    raise InsufficientPermission(
        "The token has no administrator role.",
        fix="Sign in to ScaiKey as super_admin, partner_admin or tenant_admin and export that "
        "token as SCAIWAVE_ADMIN_TOKEN.",
    )


def _get_role_of_application(claims: Claims) -> tuple[OperatorRole, str] | None:
    scope = claims.app_scope or registry.find_application_scope(claims.client_id)
    if not scope:
        raise InsufficientPermission(
            "The token does not name the scope of its application (app_scope), and this server "
            "has no registration for that application.",
            fix="Use a token of the application that `scaiwave sync register` has registered.",
        )
    if scope not in _ROLES or (claims.issuing_tenant_id and scope != "TENANT"):
        return None
    if "admin:write" in claims.scopes:
        return _ROLES[scope], scope
    if "admin:read" in claims.scopes:
        return OperatorRole.PLATFORM_READ if scope == "GLOBAL" else OperatorRole.SERVICE, scope
    return None

"""Find out who the operator of a process is, from its token or the host.

With SCAIWAVE_ADMIN_TOKEN the operator is the subject of that ScaiKey token (ScaiKey docs,
concepts/tokens-and-scopes). Without a token it is the host operator, because a user who can read
this server's configuration can use its database anyway.
"""

from __future__ import annotations

import socket
from shlex import quote
from typing import TYPE_CHECKING, Unpack
from urllib.parse import urlsplit

from scaiwave import extensions
from scaiwave.config import Configuration
from scaiwave.core.errors import InsufficientPermission, InvalidToken, SettingInvalid, TokenRequired
from scaiwave.core.operators import (
    Operator,
    OperatorRole,
    find_room_permissions,
    get_host_operator,
)

if TYPE_CHECKING:
    from scaiwave.auth.tokens import Claims, FetchJwks
    from scaiwave.clients.http.client import ClientOptions


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
        if extensions.MANUAL_SUSPENSION.load()(operator.subject):
            raise InsufficientPermission(
                f"{operator.name} is suspended manually on this server.",
                fix="Ask another operator to run `scaiwave admin resume-participant "
                f"{quote(operator.subject)}`.",
            )
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
    except InvalidToken as error:
        # The token is not accepted either way, so its claims need not be verified.
        from scaiwave.auth.tokens import get_unverified_issuer

        base_url, issuer = config.get_url("SCAIWAVE_SCAIKEY_URL"), get_unverified_issuer(token)
        # In this order: a text that begins a valid address can be parsed as one.
        if base_url.startswith(f"{issuer}/") and urlsplit(issuer).netloc:
            raise SettingInvalid(
                f"SCAIWAVE_SCAIKEY_URL is {base_url}, and the token was issued by {issuer}.",
                fix=f"Set SCAIWAVE_SCAIKEY_URL to {issuer}, if that is the address of ScaiKey.",
            ) from error
        raise


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
        blocker = extensions.OPERATOR_SCOPE.load()(operator).blocker
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
        or (lambda tenant_id: fetch_scaikey_jwks(base_url, get_tenant_slug(tenant_id))),
    )


def fetch_scaikey_jwks(
    base_url: str, tenant_slug: str | None, **options: Unpack[ClientOptions]
) -> dict[str, object]:
    """Fetch the current keys of ScaiKey; `options` are passed to its client."""
    from scaiwave.clients.scaikey.client import ScaiKeyClient

    with ScaiKeyClient(base_url, **options) as client:
        return client.fetch_jwks(tenant_slug=tenant_slug)


def get_tenant_slug(tenant_id: str | None) -> str | None:
    return extensions.TENANT_SLUG.load()(tenant_id) if tenant_id else None


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
        room_permissions=find_room_permissions(claims.scopes),
    )


def _get_role_and_scope(claims: Claims) -> tuple[OperatorRole, str]:
    """Return the role and its scope, one of `APPLICATION_SCOPES`.

    What an application may do depends on the scopes of its token (ScaiKey docs,
    reference/admin-api), even if the token names a role.
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


def find_application_scope(client_id: str) -> str:
    """Return GLOBAL, PARTNER or TENANT; empty if this server has not registered the application."""
    return extensions.APPLICATION_SCOPE.load()(client_id) if client_id else ""


def _get_role_of_application(claims: Claims) -> tuple[OperatorRole, str] | None:
    scope = claims.app_scope or find_application_scope(claims.client_id)
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

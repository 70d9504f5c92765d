"""The scope: the rows that the credentials can read, so that a sync may deactivate them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from django.conf import settings

from identity_sync.errors import TenantGone, TenantNotLinked
from identity_sync.sync.fetch.records import DELETED_STATUSES
from scaiwave.clients.http.client import ClientOptions
from scaiwave.clients.http.exceptions import INTERACTIVE_TIMEOUTS
from scaiwave.clients.http.retry import INTERACTIVE_RETRIES
from scaiwave.clients.scaikey.client import ScaiKeyClient, own_scaikey_client
from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord, parse_role_names
from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.errors import InsufficientPermission, NotRegistered
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.resolve import resolve_tenant
from tenants.models import Tenant


def resolve_linked_tenant(operator: Operator, name: str) -> Tenant:
    """Return a tenant that a sync can read. Raises `TenantNotFound` and `TenantNotLinked`."""
    tenant = resolve_tenant(operator, name)
    if tenant.scaikey_tenant_id:
        return tenant
    raise TenantNotLinked(
        f"Tenant {tenant.slug} is not linked to ScaiKey.",
        fix=f"Link it: `scaiwave admin link-tenant {quote(tenant.slug)} --scaikey-tenant-id <id>`.",
    )


_INTERACTIVE: ClientOptions = {
    "timeouts": INTERACTIVE_TIMEOUTS,
    "retry_policy": INTERACTIVE_RETRIES,
}
_SCOPE_OF_ROLE = {"super_admin": "GLOBAL", "partner_admin": "PARTNER", "tenant_admin": "TENANT"}


@dataclass(frozen=True)
class SyncScope:
    """What the credentials can read, or the one tenant of a run if `tenant_only` is true.

    `name` is GLOBAL, PARTNER or TENANT (ScaiKey docs, concepts/applications); the ids identify
    the partner or tenant. `announced_only` is true for a run for single records.
    """

    name: str
    partner_id: str = ""
    tenant_id: str = ""
    tenant_only: bool = False
    announced_only: bool = False

    @property
    def params(self) -> dict[str, str] | None:
        """Query parameters that restrict a list to the one tenant of a run."""
        return {"tenant_id": self.tenant_id} if self.tenant_only else None

    def fetch_tenant(self, client: ScaiKeyClient) -> ScaiKeyTenantRecord:
        """Fetch the one tenant of a run. Raises `TenantGone`."""
        record = client.get_tenant(self.tenant_id)
        if record is None or record.status in DELETED_STATUSES:
            raise TenantGone(f"Tenant not found in ScaiKey: {self.tenant_id}.")
        return record


@dataclass(frozen=True)
class ScaiKeySource:
    """ScaiKey as one run reads it: the client, the part that the run covers, and the progress.

    Without `removals` no one loses access. The rooms `fetch` and `confirm` take it; the rooms after
    them read no network.
    """

    client: ScaiKeyClient
    scope: SyncScope
    progress: ProgressFactory
    removals: bool = True


def resolve_scope(client: ScaiKeyClient, tenant: Tenant | None) -> SyncScope:
    """Read the scope from the token: its `app_scope`, or the role of an operator's token."""
    claims = client.claims()
    name = _get_scope_name(claims)
    if tenant is not None:
        return SyncScope(name, tenant_id=str(tenant.scaikey_tenant_id), tenant_only=True)
    return SyncScope(
        name,
        partner_id=str(claims.get("partner_id") or ""),
        tenant_id=str(claims.get("tenant_id") or ""),
    )


def authorise_sync(
    operator: Operator, tenant: str | None, *, is_interactive: bool = False
) -> Tenant | None:
    """Return the only tenant of a sync, or None for all that the credentials can read.

    Raises what `require_whole_scope` and `resolve_linked_tenant` raise.
    """
    # An empty name is still a name; it must not select all tenants.
    if tenant is None:
        require_whole_scope(operator, settings.CONFIG, is_interactive=is_interactive)
        return None
    operator.require(Permission.SYNC_TENANTS)
    return resolve_linked_tenant(operator, tenant)


def require_whole_scope(
    operator: Operator, config: Configuration, *, is_interactive: bool = False
) -> None:
    """Raise InsufficientPermission unless the operator may run a full sync.

    That takes a role for the whole platform, or for exactly what this server's own credentials can
    read: its partner, or its only tenant. An operator who reaches less would leave rows unread that
    a full sync is expected to cover. `is_interactive` is true while someone waits for a page.
    Raises the errors of a request for a token.
    """
    if operator.has_permission(Permission.MANAGE_PLATFORM):
        return
    operator.require(Permission.SYNC_TENANTS)
    if operator.is_own_application or _is_whole_scope(operator, config, is_interactive):
        return
    raise InsufficientPermission(
        f"{operator.name} ({operator.role.value}) may not sync everything that this server's "
        "credentials can read.",
        fix="Sync one tenant: `scaiwave sync --tenant <slug>`, or ask an operator with the role "
        "super_admin.",
    )


def _is_whole_scope(operator: Operator, config: Configuration, is_interactive: bool) -> bool:
    try:
        with own_scaikey_client(config, **(_INTERACTIVE if is_interactive else {})) as client:
            scope = resolve_scope(client, None)
    except NotRegistered:
        return False
    if scope.name == "PARTNER":
        return bool(scope.partner_id) and scope.partner_id == operator.partner_id
    if scope.name == "TENANT":
        return bool(scope.tenant_id) and scope.tenant_id == operator.tenant_id
    return False


def _get_scope_name(claims: Mapping[str, Any]) -> str:
    # The role of an administrator takes precedence over the application they signed in with. A
    # token without such claims is treated as GLOBAL: if it is narrower, ScaiKey responds with 403,
    # which stops the run, and the removal limit protects the rest.
    roles = {str(claims.get("role") or "").lower(), *parse_role_names(claims.get("roles") or [])}
    for role, name in _SCOPE_OF_ROLE.items():
        if role in roles:
            return name
    name = str(claims.get("app_scope") or "").upper()
    return name if name in _SCOPE_OF_ROLE.values() else "GLOBAL"

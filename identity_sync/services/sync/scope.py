"""How far our credentials reach, and so what is read and what may be called absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from identity_sync.errors import TenantGone
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord, role_names
from tenants.models import Tenant

_SCOPE_OF_ROLE = {"super_admin": "GLOBAL", "partner_admin": "PARTNER", "tenant_admin": "TENANT"}

# assumption: what was deleted may still be answered by id, and even be listed, with this status.
GONE_STATUSES = ("DELETED",)


@dataclass(frozen=True)
class SyncScope:
    """`name` is GLOBAL, PARTNER or TENANT (ScaiKey docs, concepts/applications), the ids say of
    what; `tenant_only` is a run for one tenant, whatever the scope."""

    name: str
    partner_id: str = ""
    tenant_id: str = ""
    tenant_only: bool = False

    @property
    def params(self) -> dict[str, str] | None:
        """The query parameters that restrict a list to the one tenant of a run."""
        return {"tenant_id": self.tenant_id} if self.tenant_only else None

    def fetch_tenant(self, client: ScaiKeyClient) -> ScaiKeyTenantRecord:
        """The one tenant of a run. Raises `TenantGone`."""
        record = client.get_tenant(self.tenant_id)
        if record is None or record.status in GONE_STATUSES:
            raise TenantGone(f"ScaiKey has no tenant {self.tenant_id}.")
        return record


def resolve_scope(client: ScaiKeyClient, tenant: Tenant | None) -> SyncScope:
    """Read it from our own token: `app_scope`, or the role of an operator's token."""
    claims = client.claims()
    name = _scope_name(claims)
    if tenant is not None:
        return SyncScope(name, tenant_id=str(tenant.scaikey_tenant_id), tenant_only=True)
    return SyncScope(
        name,
        partner_id=str(claims.get("partner_id") or ""),
        tenant_id=str(claims.get("tenant_id") or ""),
    )


def _scope_name(claims: dict[str, Any]) -> str:
    # The role of an administrator counts for more than the application they signed in with. A
    # token without such claims is taken for one that sees everything: if it does not, ScaiKey
    # answers 403, which stops the run, and the removal limit guards the rest.
    roles = {str(claims.get("role") or "").lower(), *role_names(claims.get("roles") or [])}
    for role, name in _SCOPE_OF_ROLE.items():
        if role in roles:
            return name
    name = str(claims.get("app_scope") or "").upper()
    return name if name in _SCOPE_OF_ROLE.values() else "GLOBAL"

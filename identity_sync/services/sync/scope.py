"""How far our credentials reach, and so what is walked and what may be called absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from identity_sync.errors import TenantGone
from identity_sync.services.sync.fetch import Fetched, stage_items, stage_members, stage_walk
from identity_sync.services.sync.staging import key, load
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.schemas import PartnerRow, TenantRow, role_names
from scaiwave.console.progress import Bars
from scaiwave.errors import UpstreamForbidden
from tenants.models import Partner, Tenant

_SCOPE_OF_ROLE = {"super_admin": "GLOBAL", "partner_admin": "PARTNER", "tenant_admin": "TENANT"}

# assumption: a tenant that was deleted may still be answered by id, with this status.
GONE_STATUSES = ("DELETED",)


@dataclass(frozen=True)
class Reach:
    """`scope` is GLOBAL, PARTNER or TENANT (ScaiKey docs, concepts/applications), the ids say of
    what; `tenant_only` is a run for one tenant, whatever the scope."""

    scope: str
    partner_id: str = ""
    tenant_id: str = ""
    tenant_only: bool = False

    @property
    def params(self) -> dict[str, str] | None:
        return {"tenant_id": self.tenant_id} if self.tenant_only else None


def find_reach(client: ScaiKeyClient, tenant: Tenant | None) -> Reach:
    """Read it from our own token: `app_scope`, or the role of an operator's token."""
    claims = client.claims()
    scope = _scope(claims)
    if tenant is not None:
        return Reach(scope, tenant_id=str(tenant.scaikey_tenant_id), tenant_only=True)
    return Reach(
        scope,
        partner_id=str(claims.get("partner_id") or ""),
        tenant_id=str(claims.get("tenant_id") or ""),
    )


def _scope(claims: dict[str, Any]) -> str:
    # The role of an administrator counts for more than the application they signed in with. A
    # token that says nothing of itself is taken for one that sees everything: if it does not,
    # ScaiKey answers 403, which stops the run, and the brake guards the rest.
    roles = {str(claims.get("role") or "").lower(), *role_names(claims.get("roles") or [])}
    for role, scope in _SCOPE_OF_ROLE.items():
        if role in roles:
            return scope
    scope = str(claims.get("app_scope") or "").upper()
    return scope if scope in _SCOPE_OF_ROLE.values() else "GLOBAL"


def stage_everything(client: ScaiKeyClient, reach: Reach, *, fetched: Fetched, bars: Bars) -> None:
    """Walk everything within reach into the temporary tables."""
    _stage_scope(reach)
    if reach.tenant_only:
        stage_items("tenants", [_the_tenant(client, reach.tenant_id)])
    else:
        _stage_partners(client, reach, fetched=fetched, bars=bars)
        with bars("Tenants") as progress:
            stage_walk(client, "tenants", fetched=fetched, progress=progress)
    for kind, title in (("participants", "People"), ("groups", "Groups")):
        with bars(title) as progress:
            stage_walk(client, kind, fetched=fetched, progress=progress, params=reach.params)
    with bars("Group members") as progress:
        stage_members(client, fetched=fetched, progress=progress)


def _stage_scope(reach: Reach) -> None:
    """The linked tenants within reach: what is not among them is never called absent."""
    tenants = Tenant.objects.exclude(scaikey_tenant_id=None)
    if reach.tenant_only or reach.scope == "TENANT":
        tenants = tenants.filter(scaikey_tenant_id=reach.tenant_id)
    elif reach.scope == "PARTNER":
        tenants = tenants.filter(partner__scaikey_id=reach.partner_id)
    load("scope_tenants", ((key(pk),) for pk in tenants.values_list("pk", flat=True)))


def _stage_partners(client: ScaiKeyClient, reach: Reach, *, fetched: Fetched, bars: Bars) -> None:
    if reach.scope == "GLOBAL":
        with bars("Partners") as progress:
            stage_walk(client, "partners", fetched=fetched, progress=progress)
    elif reach.partner_id:
        stage_items("partners", _own_partner(client, reach.partner_id))


def _the_tenant(client: ScaiKeyClient, tenant_id: str) -> TenantRow:
    row = client.get_tenant(tenant_id)
    if row is None or row.status in GONE_STATUSES:
        raise TenantGone(f"ScaiKey has no tenant {tenant_id}.")
    return row


def _own_partner(client: ScaiKeyClient, partner_id: str) -> list[PartnerRow]:
    """Our one partner, which only a wider scope may list; its id is enough to hang tenants on."""
    try:
        row = client.get_partner(partner_id)
    except UpstreamForbidden:
        known = Partner.objects.filter(scaikey_id=partner_id).exists()
        row = None if known else PartnerRow(id=partner_id)
    return [row] if row else []

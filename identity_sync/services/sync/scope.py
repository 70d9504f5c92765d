"""How far our credentials reach, and so what is walked and what may be called absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from identity_sync.errors import TenantGone
from identity_sync.services.sync.fetch import (
    FetchResult,
    stage_collection,
    stage_members,
    stage_records,
)
from identity_sync.services.sync.staging import copy_rows, uuid_param
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.schemas import PartnerRecord, ScaiKeyTenantRecord, role_names
from scaiwave.console.progress import ProgressFactory
from scaiwave.errors import UpstreamForbidden
from tenants.models import Partner, Tenant

_SCOPE_OF_ROLE = {"super_admin": "GLOBAL", "partner_admin": "PARTNER", "tenant_admin": "TENANT"}

# assumption: a tenant that was deleted may still be answered by id, with this status.
GONE_STATUSES = ("DELETED",)


@dataclass(frozen=True)
class SyncScope:
    """`scope` is GLOBAL, PARTNER or TENANT (ScaiKey docs, concepts/applications), the ids say of
    what; `tenant_only` is a run for one tenant, whatever the scope."""

    scope: str
    partner_id: str = ""
    tenant_id: str = ""
    tenant_only: bool = False

    @property
    def params(self) -> dict[str, str] | None:
        return {"tenant_id": self.tenant_id} if self.tenant_only else None


def resolve_scope(client: ScaiKeyClient, tenant: Tenant | None) -> SyncScope:
    """Read it from our own token: `app_scope`, or the role of an operator's token."""
    claims = client.claims()
    scope = _scope(claims)
    if tenant is not None:
        return SyncScope(scope, tenant_id=str(tenant.scaikey_tenant_id), tenant_only=True)
    return SyncScope(
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


def stage_all(
    client: ScaiKeyClient, reach: SyncScope, *, fetched: FetchResult, bars: ProgressFactory
) -> None:
    """Walk everything within reach into the temporary tables."""
    _stage_scope(reach)
    if reach.tenant_only:
        stage_records("tenants", [_the_tenant(client, reach.tenant_id)])
    else:
        _stage_partners(client, reach, fetched=fetched, bars=bars)
        with bars("Tenants") as progress:
            stage_collection(client, "tenants", fetched=fetched, progress=progress)
    for kind, title in (("participants", "People"), ("groups", "Groups")):
        with bars(title) as progress:
            stage_collection(client, kind, fetched=fetched, progress=progress, params=reach.params)
    with bars("Group members") as progress:
        stage_members(client, fetched=fetched, progress=progress)


def _stage_scope(reach: SyncScope) -> None:
    """The linked tenants within reach: what is not among them is never called absent."""
    tenants = Tenant.objects.exclude(scaikey_tenant_id=None)
    if reach.tenant_only or reach.scope == "TENANT":
        tenants = tenants.filter(scaikey_tenant_id=reach.tenant_id)
    elif reach.scope == "PARTNER":
        tenants = tenants.filter(partner__scaikey_id=reach.partner_id)
    copy_rows("scope_tenants", ((uuid_param(pk),) for pk in tenants.values_list("pk", flat=True)))


def _stage_partners(
    client: ScaiKeyClient, reach: SyncScope, *, fetched: FetchResult, bars: ProgressFactory
) -> None:
    if reach.scope == "GLOBAL":
        with bars("Partners") as progress:
            stage_collection(client, "partners", fetched=fetched, progress=progress)
    elif reach.partner_id:
        stage_records("partners", _own_partner(client, reach.partner_id))


def _the_tenant(client: ScaiKeyClient, tenant_id: str) -> ScaiKeyTenantRecord:
    row = client.get_tenant(tenant_id)
    if row is None or row.status in GONE_STATUSES:
        raise TenantGone(f"ScaiKey has no tenant {tenant_id}.")
    return row


def _own_partner(client: ScaiKeyClient, partner_id: str) -> list[PartnerRecord]:
    """Our one partner, which only a wider scope may list; its id is enough to hang tenants on."""
    try:
        row = client.get_partner(partner_id)
    except UpstreamForbidden:
        known = Partner.objects.filter(scaikey_id=partner_id).exists()
        row = None if known else PartnerRecord(id=partner_id)
    return [row] if row else []

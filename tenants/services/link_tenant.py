from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.errors import TenantConflict
from tenants.models import Tenant
from tenants.models.directory import ACTIVE_STATUSES
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row, tenant_row
from tenants.services.audit import record_audit
from tenants.services.role_rules import lock_super_admins
from tenants.services.scaikey import TenantLookup
from tenants.services.scaikey_lookup import fetch_scaikey_tenant
from tenants.services.tenant_conflicts import scaikey_id_conflict
from tenants.services.tenant_rules import ensure_super_admin_remains
from tenants.services.validators import check_scaikey_id

if TYPE_CHECKING:
    from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord


@dataclass(frozen=True)
class LinkTenantResult:
    """`changed` is False when it was linked already, and in a dry run. `next_sync` has what
    ScaiKey calls differently, so that the next sync changes it: {field: [from, to]}."""

    tenant: Row
    changed: bool
    next_sync: dict[str, list[str]] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        slug, scaikey_id = self.tenant["slug"], self.tenant["scaikey_tenant_id"]
        if self.dry_run:
            return f"Would link tenant {slug}."
        already = "" if self.changed else " already"
        return f"Tenant {slug} is linked to the ScaiKey tenant {scaikey_id}{already}."

    def document(self) -> Row:
        document = {"tenant": self.tenant, "changed": self.changed, "next_sync": self.next_sync}
        return {**document, "dry_run": True} if self.dry_run else document


def link_tenant(
    *,
    operator: Operator,
    name: str,
    scaikey_tenant_id: str,
    lookup: TenantLookup | None,
    now: datetime,
    dry_run: bool = False,
) -> LinkTenantResult:
    """Give a local tenant its tenant in ScaiKey; from then on the sync keeps it.

    Linking what is linked to the same one already changes nothing. Raises TenantNotFound,
    AmbiguousName, InvalidName, TenantConflict, ScaiKeyTenantNotFound, LastSuperAdmin where ScaiKey
    has the tenant suspended, and what the client of ScaiKey raises.
    """
    operator.require(Permission.MANAGE_TENANTS)
    check_scaikey_id(scaikey_tenant_id)
    tenant = resolve_tenant(operator, name)
    if _is_linked(operator, tenant, scaikey_tenant_id):
        return LinkTenantResult(tenant_row(tenant), changed=False)
    row = fetch_scaikey_tenant(operator, scaikey_tenant_id, lookup)
    _check_standing(tenant, row)
    if dry_run:
        changes = _next_sync(tenant, row)
        return LinkTenantResult(tenant_row(tenant), changed=False, next_sync=changes, dry_run=True)
    try:
        return _linked(operator, tenant, scaikey_tenant_id, row, now)
    except IntegrityError:
        _is_linked(operator, tenant, scaikey_tenant_id)
        raise


def _is_linked(operator: Operator, tenant: Tenant, scaikey_tenant_id: str) -> bool:
    """Raises `TenantConflict` if either of the two has another partner already."""
    if tenant.scaikey_tenant_id == scaikey_tenant_id:
        return True
    if tenant.scaikey_tenant_id is not None:
        raise TenantConflict(
            f"Tenant {tenant.slug!r} is linked to the ScaiKey tenant "
            f"{tenant.scaikey_tenant_id} already.",
            fix=f"`scaiwave admin unlink-tenant {tenant.slug}` first, if that one is wrong.",
        )
    if other := Tenant.objects.filter(scaikey_tenant_id=scaikey_tenant_id).first():
        raise scaikey_id_conflict(operator, other)
    return False


def _check_standing(tenant: Tenant, row: ScaiKeyTenantRecord | None) -> None:
    """Raises `LastSuperAdmin` if the link would suspend the tenant, and with it the last one."""
    if row is not None and row.status not in ACTIVE_STATUSES:
        ensure_super_admin_remains(tenant)


def _linked(
    operator: Operator,
    found: Tenant,
    scaikey_tenant_id: str,
    row: ScaiKeyTenantRecord | None,
    now: datetime,
) -> LinkTenantResult:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=found.pk)
        if _is_linked(operator, tenant, scaikey_tenant_id):
            return LinkTenantResult(tenant_row(tenant), changed=False)
        _check_standing(tenant, row)
        tenant.scaikey_tenant_id = scaikey_tenant_id
        tenant.scaikey_status = row.status if row else ""
        tenant.absent_since = None
        tenant.updated_at = now
        tenant.save(
            update_fields=["scaikey_tenant_id", "scaikey_status", "absent_since", "updated_at"]
        )
        record_audit(
            operator=operator,
            action="link-tenant",
            subject=tenant,
            tenant=tenant,
            now=now,
            details={"scaikey_tenant_id": scaikey_tenant_id},
        )
    return LinkTenantResult(tenant_row(tenant), changed=True, next_sync=_next_sync(tenant, row))


def _next_sync(tenant: Tenant, row: ScaiKeyTenantRecord | None) -> dict[str, list[str]]:
    if row is None:
        return {}
    partner = tenant.partner.scaikey_id if tenant.partner else None
    pairs = {
        "slug": (tenant.slug, row.slug),
        "name": (tenant.name, row.name),
        "partner": (partner or "", row.partner_id),
    }
    return {name: [here, there] for name, (here, there) in pairs.items() if there and there != here}

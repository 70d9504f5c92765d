from __future__ import annotations

from collections.abc import Callable
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
from tenants.services.create_tenant import scaikey_id_conflict
from tenants.services.role_rules import (
    ensure_super_admin_remains,
    ensure_super_admin_remains_after_unlink,
    lock_super_admins,
)
from tenants.services.scaikey_lookup import TenantLookup, fetch_scaikey_tenant
from tenants.services.validators import validate_scaikey_id

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
    validate_scaikey_id(scaikey_tenant_id)
    tenant = resolve_tenant(operator, name)
    if _is_linked(operator, tenant, scaikey_tenant_id):
        return LinkTenantResult(tenant_row(tenant), changed=False)
    row = fetch_scaikey_tenant(operator, scaikey_tenant_id, lookup)
    _ensure_not_suspending_last_super_admin(tenant, row)
    if dry_run:
        changes = _find_next_sync_changes(tenant, row)
        return LinkTenantResult(tenant_row(tenant), changed=False, next_sync=changes, dry_run=True)
    try:
        return _link(operator, tenant, scaikey_tenant_id, row, now)
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


def _ensure_not_suspending_last_super_admin(
    tenant: Tenant, row: ScaiKeyTenantRecord | None
) -> None:
    """Raises `LastSuperAdmin` if the link would suspend the tenant, and with it the last one."""
    if row is not None and row.status not in ACTIVE_STATUSES:
        ensure_super_admin_remains(tenant)


def _link(
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
        _ensure_not_suspending_last_super_admin(tenant, row)
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
    return LinkTenantResult(
        tenant_row(tenant), changed=True, next_sync=_find_next_sync_changes(tenant, row)
    )


def _find_next_sync_changes(
    tenant: Tenant, row: ScaiKeyTenantRecord | None
) -> dict[str, list[str]]:
    if row is None:
        return {}
    partner = tenant.partner.scaikey_id if tenant.partner else None
    pairs = {
        "slug": (tenant.slug, row.slug),
        "name": (tenant.name, row.name),
        "partner": (partner or "", row.partner_id),
    }
    return {name: [here, there] for name, (here, there) in pairs.items() if there and there != here}


@dataclass(frozen=True)
class UnlinkTenantResult:
    """`changed` is False when it was local already, and in a dry run."""

    tenant: Row
    changed: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        slug = self.tenant["slug"]
        if self.dry_run:
            return f"Would unlink tenant {slug} from {self.tenant['scaikey_tenant_id']}."
        return f"Tenant {slug} is {'now' if self.changed else 'already'} local."

    def document(self) -> Row:
        document = {"tenant": self.tenant, "changed": self.changed}
        return {**document, "dry_run": True} if self.dry_run else document


def unlink_tenant(
    *,
    operator: Operator,
    name: str,
    agree: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> UnlinkTenantResult:
    """Take a tenant out of ScaiKey's hands: it stays, and syncs no longer touch it.

    What ScaiKey said of its standing goes with the link, so that it can be active again; a
    suspension by hand stays. `agree` is told what this means, and raises when it is not agreed
    to. Raises TenantNotFound, AmbiguousName and LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_TENANTS)
    tenant = resolve_tenant(operator, name)
    if tenant.scaikey_tenant_id is None:
        return UnlinkTenantResult(tenant_row(tenant), changed=False)
    ensure_super_admin_remains_after_unlink(tenant)
    if dry_run:
        return UnlinkTenantResult(tenant_row(tenant), changed=False, dry_run=True)
    agree(_build_prompt(tenant))
    return _unlink(operator, tenant, now)


def _build_prompt(tenant: Tenant) -> str:
    standing = ""
    if not tenant.is_active and tenant.suspended_by_hand_at is None:
        standing = f" It is {tenant.inactive_reason}, and will be active again."
    return (
        f"Syncs will no longer touch tenant {tenant.slug}, and its people can't sign in until it "
        f"is linked again.{standing} If ScaiKey still has {tenant.scaikey_tenant_id}, the next "
        "full sync brings that in as another tenant. Unlink?"
    )


def _unlink(operator: Operator, found: Tenant, now: datetime) -> UnlinkTenantResult:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=found.pk)
        if tenant.scaikey_tenant_id is None:
            return UnlinkTenantResult(tenant_row(tenant), changed=False)
        ensure_super_admin_remains_after_unlink(tenant)
        details = {
            "scaikey_tenant_id": tenant.scaikey_tenant_id,
            "scaikey_status": tenant.scaikey_status,
            "absent_since": tenant.absent_since.isoformat() if tenant.absent_since else None,
        }
        tenant.scaikey_tenant_id = None
        tenant.scaikey_status = ""
        tenant.absent_since = None
        tenant.updated_at = now
        tenant.save(
            update_fields=["scaikey_tenant_id", "scaikey_status", "absent_since", "updated_at"]
        )
        record_audit(
            operator=operator,
            action="unlink-tenant",
            subject=tenant,
            tenant=tenant,
            now=now,
            details=details,
        )
    return UnlinkTenantResult(tenant_row(tenant), changed=True)

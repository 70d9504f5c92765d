"""Link local tenants to ScaiKey tenants, and unlink them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import IntegrityError, transaction

from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.errors import TenantConflict
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row, tenant_row
from tenants.lookup.validators import validate_scaikey_id
from tenants.models import Tenant
from tenants.models.directory import ACTIVE_STATUSES
from tenants.people.create_tenant import build_scaikey_id_conflict
from tenants.people.scaikey_lookup import TenantLookup, fetch_scaikey_tenant
from tenants.people.suspend_tenant import TenantChangeResult, describe_members
from tenants.roles.rules import (
    ensure_super_admin_can_sign_in,
    ensure_super_admin_remains,
    lock_super_admins,
)

if TYPE_CHECKING:
    from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord

_LINK_COLUMNS = ("scaikey_tenant_id", "scaikey_status", "absent_since", "updated_at")


@dataclass(frozen=True)
class LinkTenantResult(TenantChangeResult):
    """`next_sync` has the fields that differ in ScaiKey, which the next sync changes:
    {field: [from, to]}."""

    next_sync: dict[str, list[str]] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        slug, scaikey_id = self.tenant["slug"], self.tenant["scaikey_tenant_id"]
        if self.dry_run:
            return f"Would link tenant {slug}."
        if self.changed:
            return f"Tenant {slug} linked to ScaiKey tenant {scaikey_id}."
        return f"Tenant {slug} is already linked to ScaiKey tenant {scaikey_id}; nothing changed."

    def document(self) -> Row:
        return {
            **super().document(),
            "next_sync_changes": [
                {"field": field, "old": old, "new": new}
                for field, (old, new) in self.next_sync.items()
            ],
        }


def link_tenant(
    *,
    operator: Operator,
    name: str,
    scaikey_tenant_id: str,
    lookup: TenantLookup | None,
    now: datetime,
    dry_run: bool = False,
) -> LinkTenantResult:
    """Link a local tenant to a ScaiKey tenant. From then on, the sync manages it.

    Nothing changes if this link exists. Raises TenantNotFound, AmbiguousName, InvalidName,
    TenantConflict, ScaiKeyTenantNotFound, LastSuperAdmin if the tenant is suspended in ScaiKey,
    and what the ScaiKey client raises.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_scaikey_id(scaikey_tenant_id)
    tenant = resolve_tenant(operator, name)
    if _is_linked(operator, tenant, scaikey_tenant_id):
        return LinkTenantResult(tenant_row(tenant), changed=False)
    record = fetch_scaikey_tenant(operator, scaikey_tenant_id, lookup)
    _ensure_super_admin_remains(tenant, record)
    if dry_run:
        changes = _find_next_sync_changes(tenant, record)
        return LinkTenantResult(tenant_row(tenant), changed=False, next_sync=changes, dry_run=True)
    try:
        return _link(operator, tenant.pk, scaikey_tenant_id, record, now)
    except IntegrityError:
        _is_linked(operator, tenant, scaikey_tenant_id)
        raise


def _is_linked(operator: Operator, tenant: Tenant, scaikey_tenant_id: str) -> bool:
    """Raises `TenantConflict` if either tenant is linked to another one."""
    if tenant.scaikey_tenant_id == scaikey_tenant_id:
        return True
    if tenant.scaikey_tenant_id is not None:
        raise TenantConflict(
            f"Tenant {tenant.slug} is already linked to ScaiKey tenant {tenant.scaikey_tenant_id}.",
            fix="If that link is wrong, run `scaiwave admin unlink-tenant "
            f"{quote(tenant.slug)}` first.",
        )
    if other := Tenant.objects.filter(scaikey_tenant_id=scaikey_tenant_id).first():
        raise build_scaikey_id_conflict(operator, other)
    return False


def _ensure_super_admin_remains(tenant: Tenant, record: ScaiKeyTenantRecord | None) -> None:
    """Raises `LastSuperAdmin` if the link suspends the tenant and with it the last super_admin."""
    if record is not None and record.status not in ACTIVE_STATUSES:
        ensure_super_admin_remains(tenant)


def _link(
    operator: Operator,
    tenant_id: UUID,
    scaikey_tenant_id: str,
    record: ScaiKeyTenantRecord | None,
    now: datetime,
) -> LinkTenantResult:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
        if _is_linked(operator, tenant, scaikey_tenant_id):
            return LinkTenantResult(tenant_row(tenant), changed=False)
        _ensure_super_admin_remains(tenant, record)
        tenant.scaikey_tenant_id = scaikey_tenant_id
        tenant.scaikey_status = record.status if record else ""
        tenant.absent_since = None
        tenant.updated_at = now
        tenant.save(update_fields=_LINK_COLUMNS)
        record_audit(
            operator=operator,
            action="link-tenant",
            subject=tenant,
            tenant=tenant,
            now=now,
            details={"scaikey_tenant_id": scaikey_tenant_id},
        )
    changes = _find_next_sync_changes(tenant, record)
    return LinkTenantResult(tenant_row(tenant), changed=True, next_sync=changes)


def _find_next_sync_changes(
    tenant: Tenant, record: ScaiKeyTenantRecord | None
) -> dict[str, list[str]]:
    if record is None:
        return {}
    partner = tenant.partner.scaikey_id if tenant.partner else None
    values = {
        "slug": (tenant.slug, record.slug),
        "name": (tenant.name, record.name),
        "partner": (partner or "", record.partner_id),
    }
    return {name: [old, new] for name, (old, new) in values.items() if new and new != old}


class UnlinkTenantResult(TenantChangeResult):
    @property
    def sentence(self) -> str:
        slug = self.tenant["slug"]
        if self.dry_run:
            return f"Would unlink tenant {slug} from {self.tenant['scaikey_tenant_id']}."
        if self.changed:
            return f"Tenant {slug} unlinked from ScaiKey; it is now local."
        return f"Tenant {slug} is already local; nothing changed."


def unlink_tenant(
    *,
    operator: Operator,
    name: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> UnlinkTenantResult:
    """Stop syncing a tenant from ScaiKey. It stays on this server as a local tenant.

    Its status in ScaiKey is removed with the link, so it can become active again; a manual
    suspension stays. `confirm` gets the question to ask, and raises if the answer is not yes.
    Raises TenantNotFound, AmbiguousName and LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_TENANTS)
    tenant = resolve_tenant(operator, name)
    if tenant.scaikey_tenant_id is None:
        return UnlinkTenantResult(tenant_row(tenant), changed=False)
    ensure_super_admin_can_sign_in(without=tenant)
    if dry_run:
        return UnlinkTenantResult(tenant_row(tenant), changed=False, dry_run=True)
    confirm(_describe_effect(tenant))
    return _unlink(operator, tenant.pk, now)


def _describe_effect(tenant: Tenant) -> str:
    note = ""
    if not tenant.is_active and tenant.suspended_by_hand_at is None:
        note = f" The tenant is {tenant.inactive_reason}; it becomes active again."
    return (
        f"This stops syncs for tenant {tenant.slug}, and blocks sign-in for "
        f"{describe_members(tenant)} until it is linked again.{note} If ScaiKey still has "
        f"{tenant.scaikey_tenant_id}, the next full sync creates another tenant for it."
    )


def _unlink(operator: Operator, tenant_id: UUID, now: datetime) -> UnlinkTenantResult:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
        if tenant.scaikey_tenant_id is None:
            return UnlinkTenantResult(tenant_row(tenant), changed=False)
        ensure_super_admin_can_sign_in(without=tenant)
        details = {
            "scaikey_tenant_id": tenant.scaikey_tenant_id,
            "scaikey_status": tenant.scaikey_status,
            "absent_since": tenant.absent_since.isoformat() if tenant.absent_since else None,
        }
        tenant.scaikey_tenant_id = None
        tenant.scaikey_status = ""
        tenant.absent_since = None
        tenant.updated_at = now
        tenant.save(update_fields=_LINK_COLUMNS)
        record_audit(
            operator=operator,
            action="unlink-tenant",
            subject=tenant,
            tenant=tenant,
            now=now,
            details=details,
        )
    return UnlinkTenantResult(tenant_row(tenant), changed=True)

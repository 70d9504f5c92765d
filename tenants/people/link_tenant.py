"""Link local tenants to ScaiKey tenants, and unlink them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import IntegrityError, transaction

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.errors import TenantConflict
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import tenant_row
from tenants.lookup.validators import validate_scaikey_id
from tenants.models import Tenant
from tenants.models.directory import ACTIVE_STATUSES
from tenants.people.create_tenant import build_scaikey_id_conflict
from tenants.people.scaikey_lookup import TenantLookup, fetch_scaikey_tenant
from tenants.people.suspension import describe_members
from tenants.roles.rules import (
    ensure_super_admin_can_sign_in,
    ensure_super_admin_remains,
    lock_super_admins,
)

if TYPE_CHECKING:
    from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord

_LINK_COLUMNS = ("scaikey_tenant_id", "scaikey_status", "absent_since", "updated_at")


LINK = ChangeWords(
    "tenant",
    "Would link tenant {slug}.",
    "Tenant {slug} linked to ScaiKey tenant {scaikey_tenant_id}.",
    "Tenant {slug} is already linked to ScaiKey tenant {scaikey_tenant_id}; nothing changed.",
)
UNLINKING = ChangeWords(
    "tenant",
    "Would unlink tenant {slug} from {scaikey_tenant_id}.",
    "Tenant {slug} unlinked from ScaiKey; it is now local.",
    "Tenant {slug} is already local; nothing changed.",
)


def link_tenant(
    *,
    operator: Operator,
    name: str,
    scaikey_tenant_id: str,
    lookup: TenantLookup | None,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Link a local tenant to a ScaiKey tenant. From then on, the sync manages it.

    Nothing changes if this link exists. Raises TenantNotFound, AmbiguousName, InvalidName,
    TenantConflict, ScaiKeyTenantNotFound, LastSuperAdmin if the tenant is suspended in ScaiKey,
    and the errors of the ScaiKey client.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_scaikey_id(scaikey_tenant_id)
    tenant = resolve_tenant(operator, name)
    if _is_linked(operator, tenant, scaikey_tenant_id):
        return _build_link_result(tenant)
    record = fetch_scaikey_tenant(operator, scaikey_tenant_id, lookup)
    _ensure_super_admin_remains(tenant, record)
    if dry_run:
        return _build_link_result(tenant, record, dry_run=True)
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
        ensure_super_admin_remains([tenant])


def _link(
    operator: Operator,
    tenant_id: UUID,
    scaikey_tenant_id: str,
    record: ScaiKeyTenantRecord | None,
    now: datetime,
) -> Change:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
        if _is_linked(operator, tenant, scaikey_tenant_id):
            return _build_link_result(tenant)
        _ensure_super_admin_remains(tenant, record)
        tenant.scaikey_tenant_id = scaikey_tenant_id
        tenant.scaikey_status = record.status if record else ""
        tenant.absent_since = None
        tenant.updated_at = now
        tenant.save(update_fields=_LINK_COLUMNS)
        record_audit(operator, "link-tenant", tenant, now, {"scaikey_tenant_id": scaikey_tenant_id})
    return _build_link_result(tenant, record, changed=True)


def _build_link_result(
    tenant: Tenant,
    record: ScaiKeyTenantRecord | None = None,
    *,
    changed: bool = False,
    dry_run: bool = False,
) -> Change:
    """Add the fields that differ in ScaiKey, which the next sync changes."""
    changes = []
    if record is not None:
        partner = tenant.partner.scaikey_id if tenant.partner else None
        for field, old, new in (
            ("slug", tenant.slug, record.slug),
            ("name", tenant.name, record.name),
            ("partner", partner or "", record.partner_id),
        ):
            if new and new != old:
                changes.append({"field": field, "old": old, "new": new})
    return Change(
        LINK,
        tenant_row(tenant),
        changed,
        dry_run,
        rest={"next_sync_changes": changes},
        cautions=[
            f"The next sync changes the {each['field']} from {each['old']!r} to {each['new']!r}."
            for each in changes
        ],
    )


def unlink_tenant(
    *,
    operator: Operator,
    name: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Stop syncing a tenant from ScaiKey. It stays on this server as a local tenant.

    Its status in ScaiKey is removed with the link, so it can become active again; a manual
    suspension stays. `confirm` gets the question to ask, and raises if the answer is not yes.
    Raises TenantNotFound, AmbiguousName and LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_TENANTS)
    tenant = resolve_tenant(operator, name)
    if tenant.scaikey_tenant_id is None:
        return Change(UNLINKING, tenant_row(tenant))
    ensure_super_admin_can_sign_in(without=[tenant])
    if dry_run:
        return Change(UNLINKING, tenant_row(tenant), dry_run=True)
    note = ""
    if not tenant.is_active and tenant.suspended_by_hand_at is None:
        note = f" The tenant is {tenant.inactive_reason}; it becomes active again."
    confirm(
        f"This stops syncs for tenant {tenant.slug}, and blocks sign-in for "
        f"{describe_members(tenant)} until it is linked again.{note} If ScaiKey still has "
        f"{tenant.scaikey_tenant_id}, the next full sync creates another tenant for it."
    )
    return _unlink(operator, tenant.pk, now)


def _unlink(operator: Operator, tenant_id: UUID, now: datetime) -> Change:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
        if tenant.scaikey_tenant_id is None:
            return Change(UNLINKING, tenant_row(tenant))
        ensure_super_admin_can_sign_in(without=[tenant])
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
        record_audit(operator, "unlink-tenant", tenant, now, details)
    return Change(UNLINKING, tenant_row(tenant), changed=True)

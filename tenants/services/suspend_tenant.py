from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row, tenant_row
from tenants.services.audit import record_audit
from tenants.services.role_rules import ensure_super_admin_remains, lock_super_admins
from tenants.services.validators import validate_reason


@dataclass(frozen=True)
class SuspendTenantResult:
    """`changed` is False when it was suspended by hand already, and in a dry run."""

    tenant: Row
    changed: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        slug = self.tenant["slug"]
        if self.dry_run:
            return f"Would suspend tenant {slug}."
        return f"Tenant {slug} is {'now' if self.changed else 'already'} suspended by hand."

    def document(self) -> Row:
        document = {"tenant": self.tenant, "changed": self.changed}
        return {**document, "dry_run": True} if self.dry_run else document


def suspend_tenant(
    *,
    operator: Operator,
    name: str,
    reason: str,
    agree: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> SuspendTenantResult:
    """Suspend a tenant by hand, whatever ScaiKey says of it; syncs leave that alone.

    The reason, which may be empty, is kept in the audit. `agree` is told what this means, and
    raises when it is not agreed to. Raises TenantNotFound, AmbiguousName, InvalidName and
    LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    tenant = resolve_tenant(operator, name)
    if tenant.suspended_by_hand_at is not None:
        return SuspendTenantResult(tenant_row(tenant), changed=False)
    ensure_super_admin_remains(tenant)
    if dry_run:
        return SuspendTenantResult(tenant_row(tenant), changed=False, dry_run=True)
    agree(
        f"Nobody of tenant {tenant.slug} ({tenant.name}) can sign in until `scaiwave admin "
        f"resume-tenant {tenant.slug}`; syncs leave it so. Suspend?"
    )
    return _suspend(operator, tenant, reason, now)


def _suspend(operator: Operator, found: Tenant, reason: str, now: datetime) -> SuspendTenantResult:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=found.pk)
        if tenant.suspended_by_hand_at is not None:
            return SuspendTenantResult(tenant_row(tenant), changed=False)
        ensure_super_admin_remains(tenant)
        tenant.suspended_by_hand_at = tenant.updated_at = now
        tenant.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action="suspend-tenant",
            subject=tenant,
            tenant=tenant,
            now=now,
            details={"reason": reason},
        )
    return SuspendTenantResult(tenant_row(tenant), changed=True)


@dataclass(frozen=True)
class ResumeTenantResult:
    """`changed` is False when it was not suspended by hand, and in a dry run."""

    tenant: Row
    changed: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        slug, reason = self.tenant["slug"], self.tenant["reason"]
        if self.dry_run:
            return f"Would resume tenant {slug}."
        if not self.changed:
            standing = f"it is {reason}" if reason else "it is active"
            return f"Tenant {slug} is not suspended by hand; {standing}."
        return (
            f"Tenant {slug} is {f'resumed here, and still {reason}' if reason else 'active again'}."
        )

    def document(self) -> Row:
        document = {"tenant": self.tenant, "changed": self.changed}
        return {**document, "dry_run": True} if self.dry_run else document


def resume_tenant(
    *, operator: Operator, name: str, reason: str, now: datetime, dry_run: bool = False
) -> ResumeTenantResult:
    """End a suspension by hand; what ScaiKey says of the tenant counts again.

    The reason, which may be empty, is kept in the audit. Raises TenantNotFound, AmbiguousName and
    InvalidName.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    tenant = resolve_tenant(operator, name)
    if tenant.suspended_by_hand_at is None:
        return ResumeTenantResult(tenant_row(tenant), changed=False)
    if dry_run:
        return ResumeTenantResult(tenant_row(tenant), changed=False, dry_run=True)
    return _resume(operator, tenant, reason, now)


def _resume(operator: Operator, found: Tenant, reason: str, now: datetime) -> ResumeTenantResult:
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update().get(pk=found.pk)
        since = tenant.suspended_by_hand_at
        if since is None:
            return ResumeTenantResult(tenant_row(tenant), changed=False)
        tenant.suspended_by_hand_at = None
        tenant.updated_at = now
        tenant.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action="resume-tenant",
            subject=tenant,
            tenant=tenant,
            now=now,
            details={"reason": reason, "suspended_by_hand_at": since.isoformat()},
        )
    return ResumeTenantResult(tenant_row(tenant), changed=True)

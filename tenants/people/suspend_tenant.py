"""Suspend tenants manually, and resume them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from uuid import UUID

from django.db import transaction

from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row, tenant_row
from tenants.lookup.status_filters import MEMBERS
from tenants.lookup.validators import validate_reason
from tenants.models import Participant, Tenant
from tenants.roles.rules import ensure_super_admin_remains, lock_super_admins


@dataclass(frozen=True)
class TenantChangeResult:
    """`changed` is False if there was nothing to change, and in a dry run."""

    tenant: Row
    changed: bool
    dry_run: bool = False

    def document(self) -> Row:
        """Return the --json document. In a dry run, `changed` is whether something would change."""
        return {"tenant": self.tenant, "changed": self.changed or self.dry_run}


class SuspendTenantResult(TenantChangeResult):
    @property
    def sentence(self) -> str:
        slug = self.tenant["slug"]
        if self.dry_run:
            return f"Would suspend tenant {slug}."
        if self.changed:
            return f"Tenant {slug} suspended."
        return f"Tenant {slug} is already suspended (manually)."


def suspend_tenant(
    *,
    operator: Operator,
    name: str,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> SuspendTenantResult:
    """Suspend a tenant manually, whatever its status in ScaiKey. Syncs do not change this.

    The reason goes into the audit log and may be empty. `confirm` gets the question to ask, and
    raises if the answer is not yes. Raises TenantNotFound, AmbiguousName, InvalidName and
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
    confirm(_describe_effect(tenant))
    return _suspend(operator, tenant.pk, reason, now)


def _describe_effect(tenant: Tenant) -> str:
    return (
        f"This blocks sign-in for {describe_members(tenant)} until you run `scaiwave admin "
        f"resume-tenant {quote(tenant.slug)}`; syncs do not change this."
    )


def describe_members(tenant: Tenant) -> str:
    """Format the number of active people in a tenant, as `all 36 people in acme`."""
    count = Participant.objects.filter(MEMBERS, tenant=tenant).count()
    people = f"all {count:,} people" if count > 1 else pluralize(count, "person", "people")
    return f"{people} in {tenant.slug}"


def _suspend(
    operator: Operator, tenant_id: UUID, reason: str, now: datetime
) -> SuspendTenantResult:
    with transaction.atomic():
        lock_super_admins()
        tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
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


class ResumeTenantResult(TenantChangeResult):
    @property
    def sentence(self) -> str:
        slug, reason = self.tenant["slug"], self.tenant["reason"]
        if self.dry_run:
            return f"Would resume tenant {slug}."
        if not self.changed:
            return f"Tenant {slug} is not suspended manually; it is {reason or 'active'}."
        return f"Tenant {slug} resumed{f', but it is still {reason}' if reason else ''}."


def resume_tenant(
    *, operator: Operator, name: str, reason: str, now: datetime, dry_run: bool = False
) -> ResumeTenantResult:
    """Lift a manual suspension. The tenant's status in ScaiKey applies again.

    The reason goes into the audit log and may be empty. Raises TenantNotFound, AmbiguousName and
    InvalidName.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    tenant = resolve_tenant(operator, name)
    if tenant.suspended_by_hand_at is None:
        return ResumeTenantResult(tenant_row(tenant), changed=False)
    if dry_run:
        return ResumeTenantResult(tenant_row(tenant), changed=False, dry_run=True)
    return _resume(operator, tenant.pk, reason, now)


def _resume(operator: Operator, tenant_id: UUID, reason: str, now: datetime) -> ResumeTenantResult:
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
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

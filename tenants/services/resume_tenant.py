from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row, tenant_row
from tenants.services.audit import record_audit
from tenants.services.validators import check_reason


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
    check_reason(reason)
    tenant = resolve_tenant(operator, name)
    if tenant.suspended_by_hand_at is None:
        return ResumeTenantResult(tenant_row(tenant), changed=False)
    if dry_run:
        return ResumeTenantResult(tenant_row(tenant), changed=False, dry_run=True)
    return _resumed(operator, tenant, reason, now)


def _resumed(operator: Operator, found: Tenant, reason: str, now: datetime) -> ResumeTenantResult:
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

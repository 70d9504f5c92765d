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
from tenants.services.role_rules import lock_super_admins
from tenants.services.tenant_rules import ensure_super_admin_remains_after_unlink


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
    agree(_meaning(tenant))
    return _unlinked(operator, tenant, now)


def _meaning(tenant: Tenant) -> str:
    standing = ""
    if not tenant.is_active and tenant.suspended_by_hand_at is None:
        standing = f" It is {tenant.inactive_reason}, and will be active again."
    return (
        f"Syncs will no longer touch tenant {tenant.slug}, and its people can't sign in until it "
        f"is linked again.{standing} If ScaiKey still has {tenant.scaikey_tenant_id}, the next "
        "full sync brings that in as another tenant. Unlink?"
    )


def _unlinked(operator: Operator, found: Tenant, now: datetime) -> UnlinkTenantResult:
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

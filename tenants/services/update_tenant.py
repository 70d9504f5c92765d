from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from scaiwave.auth.operators import Operator, Permission
from scaiwave.errors import UsageError
from tenants.errors import ManagedByScaiKey
from tenants.models import Tenant
from tenants.queries.resolve import resolve_partner, resolve_tenant
from tenants.queries.serializers import Row, tenant_row
from tenants.services.audit import record_audit
from tenants.services.features import apply_changes, check_key
from tenants.services.tenant_changes import Change, changes_between, snapshot
from tenants.services.tenant_conflicts import slug_conflict
from tenants.services.tenant_limits import GREATEST, check_limits, limit_warnings
from tenants.services.validators import check_name, check_slug

_OF_SCAIKEY = ("name", "slug", "partner")


@dataclass(frozen=True)
class TenantUpdate:
    """What is to be changed; what is left out stays. A limit of None is no limit."""

    limits: Mapping[str, int | None] = field(default_factory=dict)
    features: Sequence[tuple[str, Any]] = ()
    remove_features: Sequence[str] = ()
    name: str | None = None
    slug: str | None = None
    partner: str | None = None
    no_partner: bool = False

    @property
    def is_empty(self) -> bool:
        called = (self.name, self.slug, self.partner)
        said = self.limits or self.features or self.remove_features or self.no_partner
        return not said and all(name is None for name in called)


@dataclass(frozen=True)
class UpdateTenantResult:
    """`tenant` is as it is now; in a dry run as it would be."""

    tenant: Row
    changes: list[Change]
    warnings: list[str]
    dry_run: bool = False

    @property
    def lines(self) -> list[str]:
        slug = self.tenant["slug"]
        if not self.changes:
            return [f"Nothing to change: tenant {slug} is so already."]
        first = f"{'Would change' if self.dry_run else 'Changed'} tenant {slug}:"
        width = max(len(change.field) for change in self.changes)
        told = (f"  {one.field:<{width}}  {one.was} → {one.becomes}" for one in self.changes)
        return [first, *told]

    def document(self) -> Row:
        document = {
            "tenant": self.tenant,
            "changed": bool(self.changes) and not self.dry_run,
            "changes": [change.document() for change in self.changes],
            "warnings": self.warnings,
        }
        return {**document, "dry_run": True} if self.dry_run else document


def update_tenant(
    *,
    operator: Operator,
    tenant: str,
    wanted: TenantUpdate,
    now: datetime,
    dry_run: bool = False,
) -> UpdateTenantResult:
    """Change limits and features of a tenant; of one without ScaiKey also what it is called.

    A limit may be below what is used already: that is warned about, and nothing is removed.

    Raises UsageError when nothing is asked for, InvalidLimit, InvalidFeature, InvalidName,
    InvalidSlug, TenantNotFound, PartnerNotFound, AmbiguousName, ManagedByScaiKey and
    TenantConflict; for a tenant that is to have no partner InsufficientPermission, since it leaves
    the scope of a partner's administrator.
    """
    operator.require(Permission.MANAGE_TENANTS)
    _check(operator, wanted)
    found = resolve_tenant(operator, tenant)
    give = _given(operator, wanted)
    if dry_run:
        changes = _changed(operator, found, give)
    else:
        found, changes = _written(operator, found, give, now)
    limits = {change.field: change.new for change in changes if change.field in GREATEST}
    return UpdateTenantResult(
        tenant=_row(found),
        changes=changes,
        warnings=limit_warnings(operator, found, limits, now),
        dry_run=dry_run,
    )


def _check(operator: Operator, wanted: TenantUpdate) -> None:
    if wanted.is_empty:
        raise UsageError(
            "Nothing is said of what to change.",
            fix="Pass a limit such as --max-participants 100, a feature, or a name.",
        )
    check_limits(wanted.limits)
    for key in (*wanted.remove_features, *(key for key, _ in wanted.features)):
        check_key(key)
    if wanted.name is not None:
        check_name(wanted.name)
    if wanted.slug is not None:
        check_slug(wanted.slug)
    if wanted.no_partner:
        operator.require(Permission.MANAGE_PLATFORM)


def _given(operator: Operator, wanted: TenantUpdate) -> Callable[[Tenant], None]:
    """What gives a tenant the wanted values, without saving it."""
    partner = resolve_partner(operator, wanted.partner) if wanted.partner is not None else None

    def give(tenant: Tenant) -> None:
        for name, limit in wanted.limits.items():
            setattr(tenant, name, limit)
        tenant.features = apply_changes(tenant.features, wanted.features, wanted.remove_features)
        tenant.name = tenant.name if wanted.name is None else wanted.name
        tenant.slug = tenant.slug if wanted.slug is None else wanted.slug
        if partner is not None or wanted.no_partner:
            tenant.partner = partner

    return give


def _written(
    operator: Operator, found: Tenant, give: Callable[[Tenant], None], now: datetime
) -> tuple[Tenant, list[Change]]:
    try:
        with transaction.atomic():
            tenant = Tenant.objects.select_for_update().get(pk=found.pk)
            changes = _changed(operator, tenant, give)
            if changes:
                tenant.updated_at = now
                tenant.save()
                _record(operator, tenant, changes, now)
    except IntegrityError:
        give(found)
        _check_slug_is_free(operator, found)
        raise
    return tenant, changes


def _changed(operator: Operator, tenant: Tenant, give: Callable[[Tenant], None]) -> list[Change]:
    """Give the tenant its new values, and say what they change, if they may."""
    before = snapshot(tenant)
    give(tenant)
    changes = changes_between(before, snapshot(tenant))
    kept = [change.field for change in changes if change.field in _OF_SCAIKEY]
    if kept and tenant.scaikey_tenant_id is not None:
        raise ManagedByScaiKey(
            f"ScaiKey keeps the {' and '.join(kept)} of tenant {before['slug']} "
            f"({tenant.scaikey_tenant_id}).",
            fix="Change that in ScaiKey, and the next `scaiwave sync` brings it here; limits and "
            "features are changed here.",
        )
    if "slug" in kept:
        _check_slug_is_free(operator, tenant)
    return changes


def _check_slug_is_free(operator: Operator, tenant: Tenant) -> None:
    others = Tenant.objects.exclude(pk=tenant.pk).select_related("partner")
    if other := others.filter(slug=tenant.slug).first():
        raise slug_conflict(operator, other)


def _record(operator: Operator, tenant: Tenant, changes: list[Change], now: datetime) -> None:
    record_audit(
        operator=operator,
        action="update-tenant",
        subject=tenant,
        tenant=tenant,
        now=now,
        details={"changes": [change.document() for change in changes]},
    )


def _row(tenant: Tenant) -> Row:
    limits = {name: getattr(tenant, name) for name in GREATEST}
    return {**tenant_row(tenant), **limits, "features": tenant.features}

"""Slugs and ScaiKey tenants are unique. Who has one already is told only to those who may see
that tenant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction

from scaiwave.auth.operators import Operator, Permission, Role
from tenants.errors import PartnerNotFound, TenantConflict
from tenants.models import Partner, Tenant
from tenants.queries.resolve import resolve_partner
from tenants.queries.serializers import Row, tenant_row
from tenants.queries.visibility import visible_partners, visible_tenants
from tenants.services.audit import record_audit
from tenants.services.scaikey_lookup import (
    TenantLookup,
    fetch_scaikey_tenant,
    find_partner,
    validate_match,
)
from tenants.services.validators import validate_name, validate_scaikey_id, validate_slug


@dataclass(frozen=True)
class TenantSpec:
    """What was asked for, and what ScaiKey has added to it."""

    slug: str
    name: str
    scaikey_tenant_id: str | None
    partner: Partner | None
    scaikey_status: str = ""
    contact_email: str = ""


@dataclass(frozen=True)
class CreateTenantResult:
    """`created` is False when it was there already, and in a dry run."""

    tenant: Row
    created: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        slug = self.tenant["slug"]
        if self.dry_run:
            return f"Would create tenant {slug}."
        if self.created:
            return f"Created tenant {slug} ({self.tenant['id']})."
        return f"Tenant {slug} is already there ({self.tenant['id']})."

    def document(self) -> Row:
        document = {"tenant": self.tenant, "created": self.created}
        return {**document, "dry_run": True} if self.dry_run else document


def create_tenant(
    *,
    operator: Operator,
    slug: str,
    name: str,
    scaikey_tenant_id: str | None,
    partner: str | None,
    lookup: TenantLookup | None,
    now: datetime,
    dry_run: bool = False,
) -> CreateTenantResult:
    """Create a tenant, linked to one in ScaiKey or local (without `scaikey_tenant_id`).

    `lookup` asks ScaiKey whether it has that tenant, and so called; None takes the caller's word.
    The same arguments once more find the tenant there and change nothing. A partner's
    administrator creates under that partner alone.

    Raises InvalidSlug, InvalidName, PartnerNotFound, AmbiguousName, TenantConflict,
    ScaiKeyTenantNotFound, ScaiKeyMismatch, and what the client of ScaiKey raises.
    """
    operator.require(Permission.MANAGE_TENANTS)
    wanted = _build_spec(operator, slug, name, scaikey_tenant_id, partner)
    if there := _find_existing(operator, wanted):
        return CreateTenantResult(tenant_row(there), created=False)
    wanted = _verify_in_scaikey(operator, wanted, lookup)
    if dry_run:
        return CreateTenantResult(
            {**tenant_row(_build_tenant(wanted, now)), "id": None}, False, dry_run=True
        )
    return _insert(operator, wanted, now)


def _build_spec(
    operator: Operator, slug: str, name: str, scaikey_tenant_id: str | None, partner: str | None
) -> TenantSpec:
    validate_slug(slug)
    validate_name(name)
    if scaikey_tenant_id is not None:
        validate_scaikey_id(scaikey_tenant_id)
    owner = (
        resolve_partner(operator, partner) if partner is not None else _get_own_partner(operator)
    )
    return TenantSpec(slug, name, scaikey_tenant_id, owner)


def _get_own_partner(operator: Operator) -> Partner | None:
    """The partner that a partner's administrator creates under without saying so."""
    if operator.role is not Role.PARTNER_ADMIN:
        return None
    if (own := visible_partners(operator).first()) is None:
        raise PartnerNotFound(f"There is no partner {operator.partner_id!r}.")
    return own


def _find_existing(operator: Operator, wanted: TenantSpec) -> Tenant | None:
    """The tenant, if it is what is wanted. Raises `TenantConflict` if it is another one."""
    tenants = Tenant.objects.select_related("partner")
    if other := tenants.filter(slug=wanted.slug).first():
        if _matches_spec(other, wanted):
            return other
        raise slug_conflict(operator, other)
    if wanted.scaikey_tenant_id is None:
        return None
    if other := tenants.filter(scaikey_tenant_id=wanted.scaikey_tenant_id).first():
        raise scaikey_id_conflict(operator, other)
    return None


def _matches_spec(tenant: Tenant, wanted: TenantSpec) -> bool:
    return (
        tenant.name == wanted.name
        and tenant.scaikey_tenant_id == wanted.scaikey_tenant_id
        and (wanted.partner is None or tenant.partner_id == wanted.partner.pk)
    )


def _verify_in_scaikey(
    operator: Operator, wanted: TenantSpec, lookup: TenantLookup | None
) -> TenantSpec:
    if wanted.scaikey_tenant_id is None:
        return wanted
    row = fetch_scaikey_tenant(operator, wanted.scaikey_tenant_id, lookup)
    if row is None:
        return wanted
    validate_match(row, slug=wanted.slug, name=wanted.name, partner=wanted.partner)
    return replace(
        wanted,
        partner=wanted.partner or find_partner(operator, row),
        scaikey_status=row.status,
        contact_email=row.contact_email,
    )


def _build_tenant(wanted: TenantSpec, now: datetime) -> Tenant:
    return Tenant(
        slug=wanted.slug,
        name=wanted.name,
        partner=wanted.partner,
        scaikey_tenant_id=wanted.scaikey_tenant_id,
        scaikey_status=wanted.scaikey_status,
        contact_email=wanted.contact_email,
        created_at=now,
        updated_at=now,
    )


def _insert(operator: Operator, wanted: TenantSpec, now: datetime) -> CreateTenantResult:
    """Insert it. Of two at once the database's unique constraints let one through."""
    tenant = _build_tenant(wanted, now)
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
            record_audit(
                operator=operator,
                action="create-tenant",
                subject=tenant,
                tenant=tenant,
                now=now,
                details=_build_details(tenant),
            )
    except IntegrityError:
        if there := _find_existing(operator, wanted):
            return CreateTenantResult(tenant_row(there), created=False)
        raise
    return CreateTenantResult(tenant_row(tenant), created=True)


def _build_details(tenant: Tenant) -> Row:
    return {
        "name": tenant.name,
        "scaikey_tenant_id": tenant.scaikey_tenant_id,
        "partner": str(tenant.partner) if tenant.partner else None,
    }


def slug_conflict(operator: Operator, other: Tenant) -> TenantConflict:
    if not _sees(operator, other):
        return TenantConflict(f"The slug {other.slug!r} is taken.", fix="Choose another slug.")
    linked = f"ScaiKey tenant {other.scaikey_tenant_id}" if other.scaikey_tenant_id else "local"
    partner = f"partner {other.partner}" if other.partner else "no partner"
    return TenantConflict(
        f"There is another tenant {other.slug!r} already: {other.name!r}, {linked}, {partner}.",
        fix=f"Choose another slug; `scaiwave admin show-tenant {other.slug}` shows that one.",
    )


def scaikey_id_conflict(operator: Operator, other: Tenant) -> TenantConflict:
    if not _sees(operator, other):
        return TenantConflict(
            f"The ScaiKey tenant {other.scaikey_tenant_id} is taken.",
            fix="Check the id in ScaiKey.",
        )
    return TenantConflict(
        f"The ScaiKey tenant {other.scaikey_tenant_id} is here already, as tenant {other.slug!r} "
        f"({other.name!r}).",
        fix=f"Check the id in ScaiKey; `scaiwave admin show-tenant {other.slug}` shows that one.",
    )


def _sees(operator: Operator, tenant: Tenant) -> bool:
    return visible_tenants(operator).filter(pk=tenant.pk).exists()

"""Create tenants, linked to ScaiKey or local."""

from __future__ import annotations

from datetime import datetime
from shlex import quote

from django.db import IntegrityError, transaction

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, OperatorRole, Permission
from tenants.audit.record import record_audit
from tenants.errors import PartnerNotFound, TenantConflict
from tenants.lookup.resolve import resolve_partner
from tenants.lookup.serializers import tenant_row
from tenants.lookup.validators import validate_name, validate_scaikey_id, validate_slug
from tenants.lookup.visibility import visible_partners, visible_tenants
from tenants.models import Partner, Tenant
from tenants.people.partner_capacity import ensure_partner_has_room, lock_partner
from tenants.people.scaikey_lookup import (
    TenantLookup,
    fetch_scaikey_tenant,
    find_partner,
    validate_match,
)

CREATION = ChangeWords(
    "tenant",
    "Would create tenant {slug}.",
    "Tenant {slug} created ({id}).",
    "Tenant {slug} already exists ({id}); nothing changed.",
)


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
) -> Change:
    """Create a tenant, linked to ScaiKey or local (without `scaikey_tenant_id`).

    `lookup` fetches the tenant from ScaiKey to compare slug and name; None skips the check.
    Nothing changes if a tenant with these values exists. A partner's administrator can create
    tenants only under that partner.

    Raises InvalidSlug, InvalidName, PartnerNotFound, AmbiguousName, TenantConflict,
    PartnerFull, ScaiKeyTenantNotFound, ScaiKeyMismatch, and the errors of the ScaiKey client.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_slug(slug)
    validate_name(name)
    if scaikey_tenant_id is not None:
        validate_scaikey_id(scaikey_tenant_id)
    owner = _get_own_partner(operator) if partner is None else resolve_partner(operator, partner)
    tenant = Tenant(
        slug=slug,
        name=name,
        scaikey_tenant_id=scaikey_tenant_id,
        partner=owner,
        scaikey_status="",
        created_at=now,
        updated_at=now,
    )
    if existing := _find_existing(operator, tenant):
        return Change(CREATION, tenant_row(existing))
    if scaikey_tenant_id is not None and (
        record := fetch_scaikey_tenant(operator, scaikey_tenant_id, lookup)
    ):
        validate_match(record, slug=slug, name=name, partner=tenant.partner)
        tenant.partner = tenant.partner or find_partner(operator, record)
        tenant.scaikey_status = record.status
        tenant.contact_email = record.contact_email
    ensure_partner_has_room(tenant.partner)
    if dry_run:
        return Change(CREATION, {**tenant_row(tenant), "id": None}, dry_run=True)
    return _insert(operator, tenant, now)


def _get_own_partner(operator: Operator) -> Partner | None:
    """Return the partner of a partner's administrator, the default for new tenants."""
    if operator.role is not OperatorRole.PARTNER_ADMIN:
        return None
    if (partner := visible_partners(operator).first()) is None:
        raise PartnerNotFound(f"Partner not found: {operator.partner_id}.")
    return partner


def _find_existing(operator: Operator, wanted: Tenant) -> Tenant | None:
    """Raises `TenantConflict` if a tenant has the slug or ScaiKey ID, but differs."""
    tenants = Tenant.objects.select_related("partner")
    if existing := tenants.filter(slug=wanted.slug).first():
        if (
            existing.name == wanted.name
            and existing.scaikey_tenant_id == wanted.scaikey_tenant_id
            and wanted.partner_id in {None, existing.partner_id}
        ):
            return existing
        raise build_slug_conflict(operator, existing)
    if wanted.scaikey_tenant_id is None:
        return None
    if existing := tenants.filter(scaikey_tenant_id=wanted.scaikey_tenant_id).first():
        raise build_scaikey_id_conflict(operator, existing)
    return None


def _insert(operator: Operator, tenant: Tenant, now: datetime) -> Change:
    """Insert the tenant. The unique constraints let only one of two concurrent calls succeed."""
    try:
        with transaction.atomic():
            lock_partner(tenant.partner)
            ensure_partner_has_room(tenant.partner)
            tenant.save(force_insert=True)
            details = {
                "name": tenant.name,
                "scaikey_tenant_id": tenant.scaikey_tenant_id,
                "partner": str(tenant.partner) if tenant.partner else None,
            }
            record_audit(operator, "create-tenant", tenant, now, details)
    except IntegrityError:
        if existing := _find_existing(operator, tenant):
            return Change(CREATION, tenant_row(existing))
        raise
    return Change(CREATION, tenant_row(tenant), changed=True)


# Slugs and ScaiKey IDs are unique on the whole platform. These errors name the tenant that has
# one only to operators who may see that tenant.


def build_slug_conflict(operator: Operator, other: Tenant) -> TenantConflict:
    if not _is_visible(operator, other):
        return TenantConflict(f"Slug {other.slug} is already in use.", fix="Choose another slug.")
    link = f"ScaiKey tenant {other.scaikey_tenant_id}" if other.scaikey_tenant_id else "local"
    partner = f"partner {other.partner}" if other.partner else "no partner"
    return TenantConflict(
        f"Another tenant {other.slug} already exists: {other.name!r}, {link}, {partner}.",
        fix=f"Choose another slug. `scaiwave admin show-tenant {quote(other.slug)}` shows that "
        "tenant.",
    )


def build_scaikey_id_conflict(operator: Operator, other: Tenant) -> TenantConflict:
    scaikey_tenant = f"ScaiKey tenant {other.scaikey_tenant_id}"
    if not _is_visible(operator, other):
        return TenantConflict(
            f"{scaikey_tenant} is already in use.", fix="Check the ID in ScaiKey."
        )
    return TenantConflict(
        f"{scaikey_tenant} is already linked to tenant {other.slug} ({other.name!r}).",
        fix="Check the ID in ScaiKey. "
        f"`scaiwave admin show-tenant {quote(other.slug)}` shows the linked tenant.",
    )


def _is_visible(operator: Operator, tenant: Tenant) -> bool:
    return visible_tenants(operator).filter(pk=tenant.pk).exists()

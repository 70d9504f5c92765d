"""Create local partners, and partners that this server's ScaiKey credentials do not reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from shlex import quote

from django.db import connection, transaction

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import execute
from tenants.audit.record import record_audit
from tenants.errors import PartnerConflict
from tenants.lookup.serializers import partner_row
from tenants.lookup.validators import validate_name, validate_scaikey_id, validate_slug
from tenants.models import Partner
from tenants.people.tenant_limits import validate_limits


@dataclass(frozen=True)
class PartnerSpec:
    """The requested partner. A limit that is left out or None means unlimited."""

    slug: str
    name: str
    scaikey_id: str | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)


CREATION = ChangeWords(
    "partner",
    "Would create partner {slug}.",
    "Partner {slug} created ({id}).",
    "Partner {slug} already exists ({id}); nothing changed.",
)


def create_partner(
    *, operator: Operator, spec: PartnerSpec, now: datetime, dry_run: bool = False
) -> Change:
    """Create a partner that syncs do not bring.

    Nothing changes if a partner with these values exists. Raises InvalidSlug, InvalidName,
    InvalidLimit and PartnerConflict.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_slug(spec.slug, entity="partner")
    validate_name(spec.name, entity="partner")
    if spec.scaikey_id is not None:
        validate_scaikey_id(spec.scaikey_id, entity="partner")
    validate_limits(spec.limits, entity="partner")
    if existing := _find_existing(spec):
        return Change(CREATION, partner_row(existing))
    if dry_run:
        row = {**partner_row(_build_partner(spec, now)), "id": None}
        return Change(CREATION, row, dry_run=True)
    return _insert(operator, spec, now)


def _find_existing(spec: PartnerSpec) -> Partner | None:
    """Raises `PartnerConflict` if a partner has the slug or ScaiKey ID, but differs."""
    if existing := Partner.objects.filter(slug=spec.slug).order_by("pk").first():
        if _matches_spec(existing, spec):
            return existing
        link = f"ScaiKey partner {existing.scaikey_id}" if existing.scaikey_id else "local"
        raise PartnerConflict(
            f"Another partner {existing.slug} already exists: {existing.name!r}, {link}"
            f"{_format_limits(existing)}.",
            fix="Choose another slug. `scaiwave admin show-partner "
            f"{quote(str(existing))}` shows that partner.",
        )
    if spec.scaikey_id is None:
        return None
    if existing := Partner.objects.filter(scaikey_id=spec.scaikey_id).first():
        raise PartnerConflict(
            f"ScaiKey partner {existing.scaikey_id} already exists as partner {existing} "
            f"({existing.name!r}).",
            fix="Check the ID in ScaiKey. `scaiwave admin show-partner "
            f"{quote(str(existing))}` shows that partner.",
        )
    return None


def _matches_spec(partner: Partner, spec: PartnerSpec) -> bool:
    return (
        partner.name == spec.name
        and partner.scaikey_id == spec.scaikey_id
        and all(getattr(partner, name) == limit for name, limit in spec.limits.items())
    )


def _format_limits(partner: Partner) -> str:
    names = ("max_tenants", "max_users_per_tenant", "max_applications_per_tenant")
    limits = {name: getattr(partner, name) for name in names}
    return "".join(f", {name} {limit}" for name, limit in limits.items() if limit is not None)


def _build_partner(spec: PartnerSpec, now: datetime) -> Partner:
    return Partner(
        slug=spec.slug,
        name=spec.name,
        scaikey_id=spec.scaikey_id,
        created_at=now,
        updated_at=now,
        **spec.limits,
    )


def _insert(operator: Operator, spec: PartnerSpec, now: datetime) -> Change:
    with transaction.atomic():
        lock_partners()
        if existing := _find_existing(spec):
            return Change(CREATION, partner_row(existing))
        partner = _build_partner(spec, now)
        partner.save(force_insert=True)
        details = {"name": partner.name, "scaikey_id": partner.scaikey_id, **spec.limits}
        record_audit(operator, "create-partner", partner, now, details)
    return Change(CREATION, partner_row(partner), changed=True)


def lock_partners() -> None:
    """Make concurrent calls wait. Slugs are not unique: partners from ScaiKey may have none.

    On SQLite, transactions that write already run one after another.
    """
    if connection.vendor == "postgresql":
        execute("LOCK TABLE sw_partners IN SHARE ROW EXCLUSIVE MODE")

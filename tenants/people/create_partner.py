"""Create local partners, and partners that this server's ScaiKey credentials do not reach."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from shlex import quote
from typing import Any

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

CREATION = ChangeWords(
    "partner",
    "Would create partner {slug}.",
    "Partner {slug} created ({id}).",
    "Partner {slug} already exists ({id}); nothing changed.",
)


def create_partner(
    *,
    operator: Operator,
    slug: str,
    name: str,
    scaikey_id: str | None,
    limits: Mapping[str, int | None],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Create a partner that syncs do not bring. A limit that is left out or None means unlimited.

    Nothing changes if a partner with these values exists. Raises InvalidSlug, InvalidName,
    InvalidLimit and PartnerConflict.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_slug(slug, entity="partner")
    validate_name(name, entity="partner")
    if scaikey_id is not None:
        validate_scaikey_id(scaikey_id, entity="partner")
    validate_limits(limits, entity="partner")
    values = {"name": name, "scaikey_id": scaikey_id, **limits}
    if existing := _find_existing(slug, values):
        return Change(CREATION, partner_row(existing))
    partner = Partner(slug=slug, created_at=now, updated_at=now, **values)
    if dry_run:
        return Change(CREATION, {**partner_row(partner), "id": None}, dry_run=True)
    with transaction.atomic():
        lock_partners()
        if existing := _find_existing(slug, values):
            return Change(CREATION, partner_row(existing))
        partner.save(force_insert=True)
        record_audit(operator, "create-partner", partner, now, values)
    return Change(CREATION, partner_row(partner), changed=True)


def _find_existing(slug: str, values: Mapping[str, Any]) -> Partner | None:
    """Raises `PartnerConflict` if a partner has the slug or ScaiKey ID, but differs."""
    if existing := Partner.objects.filter(slug=slug).order_by("pk").first():
        if all(getattr(existing, name) == value for name, value in values.items()):
            return existing
        facts = [f"ScaiKey partner {existing.scaikey_id}" if existing.scaikey_id else "local"]
        names = ("max_tenants", "max_users_per_tenant", "max_applications_per_tenant")
        limits = {name: getattr(existing, name) for name in names}
        facts += [f"{name} {limit}" for name, limit in limits.items() if limit is not None]
        raise PartnerConflict(
            f"Another partner {existing.slug} already exists: {existing.name!r}, "
            f"{', '.join(facts)}.",
            fix="Choose another slug. `scaiwave admin show-partner "
            f"{quote(str(existing))}` shows that partner.",
        )
    if values["scaikey_id"] is None:
        return None
    if existing := Partner.objects.filter(scaikey_id=values["scaikey_id"]).first():
        raise PartnerConflict(
            f"ScaiKey partner {existing.scaikey_id} already exists as partner {existing} "
            f"({existing.name!r}).",
            fix="Check the ID in ScaiKey. `scaiwave admin show-partner "
            f"{quote(str(existing))}` shows that partner.",
        )
    return None


def lock_partners() -> None:
    """Make concurrent calls wait. Slugs are not unique: partners from ScaiKey may have none.

    On SQLite, transactions that write already run one after another.
    """
    if connection.vendor == "postgresql":
        execute("LOCK TABLE sw_partners IN SHARE ROW EXCLUSIVE MODE")

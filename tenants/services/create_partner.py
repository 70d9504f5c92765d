from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection, transaction

from scaiwave.auth.operators import Operator, Permission
from scaiwave.sql import execute
from tenants.errors import PartnerConflict
from tenants.models import Partner
from tenants.queries.serializers import Row, partner_row
from tenants.services.audit import record_audit
from tenants.services.tenant_limits import validate_limits
from tenants.services.validators import validate_name, validate_scaikey_id, validate_slug


@dataclass(frozen=True)
class PartnerSpec:
    """What was asked for. A limit that is left out is none, one of None as well."""

    slug: str
    name: str
    scaikey_id: str | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CreatePartnerResult:
    """`created` is False when it was there already, and in a dry run."""

    partner: Row
    created: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        slug = self.partner["slug"]
        if self.dry_run:
            return f"Would create partner {slug}."
        if self.created:
            return f"Created partner {slug} ({self.partner['id']})."
        return f"Partner {slug} is already there ({self.partner['id']})."

    def document(self) -> Row:
        document = {"partner": self.partner, "created": self.created}
        return {**document, "dry_run": True} if self.dry_run else document


def create_partner(
    *, operator: Operator, wanted: PartnerSpec, now: datetime, dry_run: bool = False
) -> CreatePartnerResult:
    """Create a partner that no sync brings.

    The same arguments once more find the partner there and change nothing. Raises InvalidSlug,
    InvalidName, InvalidLimit and PartnerConflict.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_slug(wanted.slug, of="partner")
    validate_name(wanted.name, of="partner")
    if wanted.scaikey_id is not None:
        validate_scaikey_id(wanted.scaikey_id, of="partner")
    validate_limits(wanted.limits, of="partner")
    if there := _find_existing(wanted):
        return CreatePartnerResult(partner_row(there), created=False)
    if dry_run:
        row = {**partner_row(_build_partner(wanted, now)), "id": None}
        return CreatePartnerResult(row, created=False, dry_run=True)
    return _insert(operator, wanted, now)


def _find_existing(wanted: PartnerSpec) -> Partner | None:
    """The partner, if it is what is wanted. Raises `PartnerConflict` if it is another one."""
    if other := Partner.objects.filter(slug=wanted.slug).order_by("pk").first():
        if _matches_spec(other, wanted):
            return other
        at_scaikey = f"ScaiKey partner {other.scaikey_id}" if other.scaikey_id else "local"
        raise PartnerConflict(
            f"There is another partner {other.slug!r} already: {other.name!r}, {at_scaikey}"
            f"{_format_limits(other)}.",
            fix="Choose another slug; `scaiwave admin list-partners` shows that one.",
        )
    if wanted.scaikey_id is None:
        return None
    if other := Partner.objects.filter(scaikey_id=wanted.scaikey_id).first():
        raise PartnerConflict(
            f"The ScaiKey partner {other.scaikey_id} is here already, as partner "
            f"{str(other)!r} ({other.name!r}).",
            fix="Check the id in ScaiKey; `scaiwave admin list-partners` shows that one.",
        )
    return None


def _matches_spec(partner: Partner, wanted: PartnerSpec) -> bool:
    return (
        partner.name == wanted.name
        and partner.scaikey_id == wanted.scaikey_id
        and all(getattr(partner, name) == limit for name, limit in wanted.limits.items())
    )


def _format_limits(partner: Partner) -> str:
    names = ("max_tenants", "max_users_per_tenant", "max_applications_per_tenant")
    limits = {name: getattr(partner, name) for name in names}
    return "".join(f", {name} {limit}" for name, limit in limits.items() if limit is not None)


def _build_partner(wanted: PartnerSpec, now: datetime) -> Partner:
    return Partner(
        slug=wanted.slug,
        name=wanted.name,
        scaikey_id=wanted.scaikey_id,
        created_at=now,
        updated_at=now,
        **wanted.limits,
    )


def _insert(operator: Operator, wanted: PartnerSpec, now: datetime) -> CreatePartnerResult:
    with transaction.atomic():
        _lock_partners()
        if there := _find_existing(wanted):
            return CreatePartnerResult(partner_row(there), created=False)
        partner = _build_partner(wanted, now)
        partner.save(force_insert=True)
        record_audit(
            operator=operator,
            action="create-partner",
            subject=partner,
            now=now,
            details={"name": partner.name, "scaikey_id": partner.scaikey_id, **wanted.limits},
        )
    return CreatePartnerResult(partner_row(partner), created=True)


def _lock_partners() -> None:
    """Of two at once one waits: ScaiKey's partners may lack a slug, so it is not unique by itself.

    SQLite's transactions begin one after another as it is.
    """
    if connection.vendor == "postgresql":
        execute("LOCK TABLE sw_partners IN SHARE ROW EXCLUSIVE MODE")

"""Change name, slug, contact and limits of a local partner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from scaiwave.core.change import Change
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from tenants.audit.field_changes import FieldChange, build_update, record_changes, set_fields
from tenants.errors import ManagedByScaiKey, PartnerConflict
from tenants.lookup.resolve import resolve_partner
from tenants.lookup.serializers import partner_row
from tenants.lookup.validators import validate_email, validate_name, validate_slug
from tenants.models import Partner
from tenants.people.create_partner import lock_partners
from tenants.people.tenant_limits import validate_limits


@dataclass(frozen=True)
class PartnerUpdate:
    """The requested changes. Omitted values stay; a limit of None means unlimited."""

    name: str | None = None
    slug: str | None = None
    contact_email: str | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, str | int | None]:
        texts = {"name": self.name, "slug": self.slug, "contact_email": self.contact_email}
        given = {name: text for name, text in texts.items() if text is not None}
        return {**given, **self.limits}


def update_partner(
    *,
    operator: Operator,
    partner: str,
    update: PartnerUpdate,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Change a local partner. ScaiKey manages all fields of the others.

    Raises UsageError if no changes were requested, InvalidName, InvalidSlug, InvalidLimit,
    PartnerNotFound, AmbiguousName, ManagedByScaiKey and PartnerConflict.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    _validate(update)
    resolved = resolve_partner(operator, partner)
    if dry_run:
        changes = _apply(resolved, update)
    else:
        with transaction.atomic():
            lock_partners()
            resolved = Partner.objects.get(pk=resolved.pk)
            if changes := _apply(resolved, update):
                resolved.updated_at = now
                resolved.save(update_fields=[*update.values, "updated_at"])
                record_changes(operator, "update-partner", resolved, now, changes)
    return build_update("partner", partner_row(resolved), changes, dry_run=dry_run)


def _validate(update: PartnerUpdate) -> None:
    if not update.values:
        raise UsageError(
            "No changes were requested.", fix="Pass a limit such as --max-tenants 20, or a name."
        )
    validate_limits(update.limits, entity="partner")
    if update.name is not None:
        validate_name(update.name, entity="partner")
    if update.slug is not None:
        validate_slug(update.slug, entity="partner")
    if update.contact_email:
        validate_email(update.contact_email, entity="partner")


def _apply(partner: Partner, update: PartnerUpdate) -> list[FieldChange]:
    """Set the new values on the partner without saving it, and return the changes.

    Raises ManagedByScaiKey and PartnerConflict.
    """
    name = str(partner)
    changes = set_fields(partner, update.values)
    if changes and partner.scaikey_id is not None:
        fields = " and ".join(change.field for change in changes)
        raise ManagedByScaiKey(
            f"ScaiKey manages the {fields} of partner {name} ({partner.scaikey_id}).",
            fix="Change it in ScaiKey, then run `scaiwave sync`.",
        )
    if any(change.field == "slug" for change in changes):
        _ensure_slug_is_free(partner)
    return changes


def _ensure_slug_is_free(partner: Partner) -> None:
    if other := Partner.objects.exclude(pk=partner.pk).filter(slug=partner.slug).first():
        raise PartnerConflict(
            f"Another partner {other.slug} already exists: {other.name!r}.",
            fix=f"Choose another slug. `scaiwave admin show-partner {other.pk}` shows that "
            "partner.",
        )

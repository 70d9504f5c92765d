"""Change name, slug, contact and limits of a local partner."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

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


def update_partner(
    *,
    operator: Operator,
    partner: str,
    name: str | None = None,
    slug: str | None = None,
    contact_email: str | None = None,
    limits: Mapping[str, int | None] | None = None,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Change a local partner. ScaiKey manages all fields of the others.

    Omitted values stay; a limit of None means unlimited.

    Raises UsageError if no changes were requested, InvalidName, InvalidSlug, InvalidLimit,
    PartnerNotFound, AmbiguousName, ManagedByScaiKey and PartnerConflict.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    texts = {"name": name, "slug": slug, "contact_email": contact_email}
    values = {key: text for key, text in texts.items() if text is not None} | dict(limits or {})
    if not values:
        raise UsageError(
            "No changes were requested.", fix="Pass a limit such as --max-tenants 20, or a name."
        )
    validate_limits(limits or {}, entity="partner")
    if name is not None:
        validate_name(name, entity="partner")
    if slug is not None:
        validate_slug(slug, entity="partner")
    if contact_email:
        validate_email(contact_email, entity="partner")
    resolved = resolve_partner(operator, partner)
    if dry_run:
        changes = _apply(resolved, values)
    else:
        with transaction.atomic():
            lock_partners()
            resolved = Partner.objects.get(pk=resolved.pk)
            if changes := _apply(resolved, values):
                resolved.updated_at = now
                resolved.save(update_fields=[*values, "updated_at"])
                record_changes(operator, "update-partner", resolved, now, changes)
    return build_update("partner", partner_row(resolved), changes, dry_run=dry_run)


def _apply(partner: Partner, values: dict[str, Any]) -> list[FieldChange]:
    """Set the new values on the partner without saving it, and return the changes.

    Raises ManagedByScaiKey and PartnerConflict.
    """
    name = str(partner)
    changes = set_fields(partner, values)
    if changes and partner.scaikey_id is not None:
        fields = " and ".join(change.field for change in changes)
        raise ManagedByScaiKey(
            f"ScaiKey manages the {fields} of partner {name} ({partner.scaikey_id}).",
            fix="Change it in ScaiKey, then run `scaiwave sync`.",
        )
    same_slug = Partner.objects.exclude(pk=partner.pk).filter(slug=partner.slug)
    if any(change.field == "slug" for change in changes) and (other := same_slug.first()):
        raise PartnerConflict(
            f"Another partner {other.slug} already exists: {other.name!r}.",
            fix=f"Choose another slug. `scaiwave admin show-partner {other.pk}` shows that "
            "partner.",
        )
    return changes

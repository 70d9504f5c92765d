"""Convert models to rows with the keys of --json, for lists and single records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from tenants.lookup.subjects import load_participant_names
from tenants.models import AuditEntry, Group, Participant, Partner, Tenant

Row = dict[str, Any]

MAX_AUDIT_ENTRIES = 10


def get_server_name() -> str:
    return str(settings.CONFIG.get_str("SCAIWAVE_SERVER_NAME"))


def partner_reference(partner: Partner | None) -> Row | None:
    """Return a partner as it appears in other objects."""
    if partner is None:
        return None
    return {
        "id": partner.pk,
        "slug": partner.slug,
        "name": partner.name,
        "scaikey_id": partner.scaikey_id,
    }


def format_partner(partner: Row) -> str:
    """Return a partner by what commands accept: its slug, or else its ScaiKey id."""
    return str(partner["slug"] or partner["scaikey_id"] or partner["id"])


def partner_row(partner: Partner) -> Row:
    return {
        "id": partner.pk,
        "slug": partner.slug,
        "name": partner.name,
        "status": partner.status,
        "reason": partner.inactive_reason,
        "scaikey_id": partner.scaikey_id,
        "contact_email": partner.contact_email,
        "max_tenants": partner.max_tenants,
        "max_users_per_tenant": partner.max_users_per_tenant,
        "max_applications_per_tenant": partner.max_applications_per_tenant,
        **_status_columns(partner),
    }


def tenant_row(tenant: Tenant) -> Row:
    """Convert a tenant. Fetch it with `select_related("partner")`, since this reads the partner."""
    return {
        "id": tenant.pk,
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status,
        "reason": tenant.inactive_reason,
        "partner": partner_reference(tenant.partner),
        "scaikey_id": tenant.scaikey_tenant_id,
        "scaikey_tenant_id": tenant.scaikey_tenant_id,
        "contact_email": tenant.contact_email,
        **_status_columns(tenant),
    }


def participant_row(participant: Participant, *, server_name: str) -> Row:
    return {
        "id": participant.pk,
        "fqid": participant.fqid(server_name),
        "display_name": participant.display_name,
        "email": participant.email,
        "type": participant.participant_type,
        "status": participant.status,
        "reason": participant.inactive_reason,
        "tenant_id": participant.tenant_id,
        "scaikey_id": participant.scaikey_id,
        "local_id": participant.local_id,
        **_status_columns(participant),
        "purged_at": participant.purged_at,
    }


def group_row(group: Group) -> Row:
    return {
        "id": group.pk,
        "name": group.name,
        "type": group.group_type,
        "status": group.status,
        "reason": group.inactive_reason,
        "tenant_id": group.tenant_id,
        "scaikey_id": group.scaikey_id,
        "deactivated_at": group.absent_since,
        "created_at": group.created_at,
        "updated_at": group.updated_at,
    }


def last_audit_entries(entries: QuerySet[AuditEntry]) -> list[Row]:
    """Return the last entries, newest first."""
    latest = list(entries.order_by("-at", "-id")[:MAX_AUDIT_ENTRIES])
    names = load_participant_names(latest)
    return [
        {
            "created_at": entry.at,
            "operator": entry.operator,
            "role": entry.operator_role,
            "action": entry.action,
            "subject_type": entry.subject_type,
            "subject_id": entry.subject_id,
            "subject": names.get(entry.subject_id, entry.subject_name),
            "details": entry.details,
        }
        for entry in latest
    ]


def _status_columns(entity: Partner | Tenant | Participant) -> dict[str, datetime | str | None]:
    return {
        "scaikey_status": entity.scaikey_status,
        "deactivated_at": entity.absent_since,
        "suspended_manually_at": entity.suspended_by_hand_at,
        "created_at": entity.created_at,
        "updated_at": entity.updated_at,
    }

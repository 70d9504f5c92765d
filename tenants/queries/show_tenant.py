from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Q

from scaiwave.auth.operators import Operator, Permission
from tenants.models import ACTIVE, AuditEntry, Group, Participant, Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row, last_audit_entries, partner_row, tenant_row
from tenants.queries.status_filters import MEMBERS, status_q
from tenants.queries.tenants import month_of, provided_columns
from tenants.queries.usage import NO_USAGE, token_columns

MIB = 1024 * 1024


def show_tenant(*, operator: Operator, name: str, now: datetime) -> Row:
    """Everything about one tenant. Raises `TenantNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW)
    tenant = resolve_tenant(operator, name)
    participants = _participants(tenant)
    provided = provided_columns([tenant.pk])[tenant.pk]
    this = Tenant.objects.filter(pk=tenant.pk)
    usage = token_columns(this, month_of(now)).get(tenant.pk, NO_USAGE)
    used = {**provided, **usage}
    return {
        **tenant_row(tenant),
        "partner": _partner(tenant),
        "members": Participant.objects.filter(MEMBERS, tenant=tenant).count(),
        **used,
        "limits": _limits(tenant, used, active=sum(row["active"] for row in participants)),
        "features": tenant.features,
        "participants": participants,
        "groups": _groups(tenant),
        "audit": last_audit_entries(AuditEntry.objects.filter(tenant_id=str(tenant.pk))),
    }


def _partner(tenant: Tenant) -> Row | None:
    if tenant.partner is None:
        return None
    row = partner_row(tenant.partner)
    return {key: row[key] for key in ("id", "slug", "name", "status", "reason", "scaikey_id")}


def _participants(tenant: Tenant) -> list[Row]:
    """How many of each type there are, by status; types without any are left out."""
    of_each = Participant.objects.filter(tenant=tenant).values("participant_type")
    counted = of_each.annotate(
        active=Count("pk", filter=ACTIVE),
        suspended=Count("pk", filter=status_q("suspended")),
        absent=Count("pk", filter=status_q("absent")),
    )
    return [
        {
            "type": row["participant_type"],
            "active": row["active"],
            "suspended": row["suspended"],
            "absent": row["absent"],
        }
        for row in counted.order_by("participant_type")
    ]


def _groups(tenant: Tenant) -> Row:
    return Group.objects.filter(tenant=tenant).aggregate(
        active=Count("pk", filter=Q(absent_since=None)),
        absent=Count("pk", filter=Q(absent_since__isnull=False)),
    )


def _limits(tenant: Tenant, used: Row, *, active: int) -> Row:
    """What is used beside what is allowed; None is unknown, or no limit.

    assumption: the limit of participants counts the active ones of every type.
    """
    storage = tenant.max_storage_mb
    allowed = {
        "participants": (active, tenant.max_participants),
        "rooms": (used["rooms"], tenant.max_rooms),
        "storage_bytes": (used["storage_bytes"], None if storage is None else storage * MIB),
        "ai_tokens_month": (used["ai_tokens_month"], tenant.max_ai_tokens_month),
    }
    return {name: {"used": used, "limit": limit} for name, (used, limit) in allowed.items()}

"""List pending removals, and identify the ones of a tenant by a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from identity_sync.encoding import Row, encode_removal, explain_removal
from identity_sync.models import OPEN_STATES, PendingRemoval, RemovalState
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from scaiwave.core.sql import batched
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.visibility import visible_tenants
from tenants.models import GroupMembership, Participant

DIGEST_CHARS = 16
"""64 bits: it only has to differ between the sets that one tenant has at different times."""
MAX_FACTS = 20
"""Rows that are shown with a person."""
SHORT_ID_CHARS = 12
"""The last characters of an ID: the first ones are the time, which rows of one run share."""


def visible_removals(operator: Operator, *, is_open: bool = True) -> QuerySet[PendingRemoval]:
    """Return the open or all rows in the scope of an operator. Rows of partners have no tenant."""
    rows = PendingRemoval.objects.open() if is_open else PendingRemoval.objects.all()
    if operator.sees_everything:
        return rows
    return rows.filter(tenant__in=visible_tenants(operator))


def list_removals(
    *,
    operator: Operator,
    now: datetime,
    tenant: str | None = None,
    loss: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> Page:
    """Return the open rows as JSON has them, tenant by tenant. Raises `TenantNotFound`."""
    operator.require(Permission.VIEW)
    rows = visible_removals(operator).select_related("tenant")
    if tenant is not None:
        rows = rows.filter(tenant=resolve_tenant(operator, tenant))
    if loss is not None:
        rows = rows.filter(loss=loss)
    if since is not None:
        rows = rows.filter(first_seen_at__gte=since)
    rows = rows.order_by("tenant__slug", "loss", "subject_name", "id")
    return Page(_iter_rows(rows[:limit], now), count=rows.count)


def _iter_rows(rows: QuerySet[PendingRemoval], now: datetime) -> Iterator[Row]:
    for batch in batched(rows.iterator(chunk_size=1000), 1000):
        people = find_people(batch)
        yield from (build_row(row, people.get(row.subject_id), now) for row in batch)


def find_people(rows: Iterable[PendingRemoval]) -> dict[UUID, Participant]:
    """Return the person of each row that is about one, by the ID of its subject.

    The subject is the person, or their membership in a group.
    """
    subjects = [row.subject_id for row in rows if row.person_scaikey_id]
    edges = GroupMembership.objects.filter(pk__in=subjects).select_related("member_participant")
    people = {edge.pk: edge.member_participant for edge in edges if edge.member_participant}
    return people | Participant.objects.in_bulk(subjects)


def build_row(row: PendingRemoval, person: Participant | None, now: datetime) -> Row:
    state = row.get_state(now)
    # The columns of an expired decision are still filled.
    is_decided = state is not RemovalState.PENDING
    return {
        "id": row.pk,
        **encode_removal(row, row.tenant.slug if row.tenant else None),
        "email": (person.email or None) if person else None,
        "limit": row.limit_code,
        "state": state,
        "first_seen_at": row.first_seen_at,
        "last_seen_at": row.last_seen_at,
        "runs": row.runs,
        "decided_at": row.decided_at if is_decided else None,
        "decided_by": (row.decided_by or None) if is_decided else None,
        "decision_reason": (row.decision_reason or None) if is_decided else None,
        "expires_at": row.expires_at if is_decided else None,
    }


def count_by_tenant(operator: Operator, tenant: str | None, now: datetime) -> list[Row]:
    """Return number and digest of the pending rows of each tenant; with None for partners' rows.

    Raises `TenantNotFound`.
    """
    rows = visible_removals(operator).filter(is_pending_q(now))
    if tenant is not None:
        rows = rows.filter(tenant=resolve_tenant(operator, tenant))
    ids: dict[str | None, list[UUID]] = {}
    for key, slug in rows.order_by("tenant__slug", "pk").values_list("pk", "tenant__slug"):
        ids.setdefault(slug, []).append(key)
    return [
        {"tenant": slug, "count": len(keys), "digest": digest_pending(keys)}
        for slug, keys in ids.items()
    ]


def digest_pending(ids: Iterable[UUID]) -> str:
    """Return a digest of the rows that an operator saw: a decision about others is refused."""
    text = "\n".join(sorted(key.hex for key in ids))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def format_last_day(end: datetime) -> str:
    """Return the last day before an end, in local time: a keep until a day includes it."""
    return f"{(end - timedelta(seconds=1)).astimezone(settings.LOCAL_ZONE):%Y-%m-%d}"


def is_pending_q(now: datetime) -> Q:
    """Match the rows that wait for a decision, among them those whose decision has expired."""
    decided = Q(state__in=(RemovalState.APPROVED, RemovalState.KEPT), expires_at__lte=now)
    return Q(state=RemovalState.PENDING) | decided


def count_removals(rows: QuerySet[PendingRemoval], now: datetime) -> dict[str, int]:
    """Count open rows by their state."""
    counts = {state.value: 0 for state in OPEN_STATES}
    counts["pending"] = rows.filter(is_pending_q(now)).count()
    for state in (RemovalState.APPROVED, RemovalState.KEPT):
        counts[state] = rows.filter(state=state, expires_at__gt=now).count()
    return counts


def count_removals_of_tenant(tenant_id: UUID) -> dict[str, int]:
    """Count the open rows of a tenant by their state."""
    return count_removals(PendingRemoval.objects.open().filter(tenant=tenant_id), timezone.now())


def describe_removals_of_participant(participant_id: UUID) -> list[tuple[str, str]]:
    """Return title and value of each open row about a person or their group memberships."""
    edges = GroupMembership.objects.filter(member_participant=participant_id).values("pk")
    rows = PendingRemoval.objects.open().filter(
        Q(subject_id=participant_id) | Q(subject_id__in=edges)
    )
    titles = {
        RemovalState.PENDING: "Pending removal",
        RemovalState.APPROVED: "Approved removal",
        RemovalState.KEPT: "Access kept",
    }
    facts = []
    for row in rows.order_by("pk")[:MAX_FACTS]:
        state = row.get_state(timezone.now())
        until = f", until {format_last_day(row.expires_at)}" if row.expires_at else ""
        subject = f"{row.subject_name}, " if row.kind == "memberships" else ""
        facts.append((titles[state], f"{row.loss}: {subject}{explain_removal(row)}{until}"))
    return facts

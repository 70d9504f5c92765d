"""Which entries of the audit nobody can slip in before any more."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from scaiwave.auth.operators import Operator, Permission
from scaiwave.sql import fetch_one
from tenants.errors import TenantNotFound
from tenants.models import AuditEntry
from tenants.queries.resolve import is_storable_text, parse_uuid, resolve_tenant
from tenants.queries.serializers import Row
from tenants.queries.visibility import visible_tenants

BATCH_SIZE = 2000


@dataclass(frozen=True)
class AuditFilter:
    """Which entries; what is None does not matter. `until` is the first moment not meant.

    `operator` and `subject` are whole names, in small or capital letters; a subject also its id.
    """

    tenant: str | None = None
    operator: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class AuditPage:
    """Entries, the newest first. `next` is the entry to go on after; None when these are all."""

    entries: list[Row]
    next: UUID | None

    def document(self) -> Row:
        return {"audit_entries": self.entries, "next": self.next}


def list_audit(
    *, operator: Operator, only: AuditFilter, after: UUID | None = None, limit: int
) -> AuditPage:
    """A page of the audit, the newest first, going on after the entry of that id.

    Entries that are added meanwhile move nothing. Raises TenantNotFound and AmbiguousName.
    """
    operator.require(Permission.VIEW)
    found = _filter_entries(operator, only)
    if after is not None:
        found = found.filter(pk__lt=after)
    entries = [audit_row(entry) for entry in found.order_by("-pk")[: limit + 1]]
    more = len(entries) > limit
    return AuditPage(entries[:limit], next=entries[limit - 1]["id"] if more else None)


def follow_audit(
    *,
    operator: Operator,
    only: AuditFilter,
    after: UUID | None = None,
    limit: int | None = None,
) -> Generator[Row, None, None]:
    """The audit from its beginning, or from after the entry of that id, the oldest first.

    For whoever comes back with the last id and wants every entry once: what isn't settled yet
    waits for the next time. One at a time, so that memory does not grow; close it when not all is
    read. What can go wrong does so at once.
    """
    operator.require(Permission.VIEW)
    found = _filter_entries(operator, only).filter(committed_before_q())
    if after is not None:
        found = found.filter(pk__gt=after)
    return _iter_rows(found.order_by("pk")[:limit].iterator(chunk_size=BATCH_SIZE))


def _iter_rows(entries: Iterator[AuditEntry]) -> Generator[Row, None, None]:
    for entry in entries:
        yield audit_row(entry)


def audit_row(entry: AuditEntry) -> Row:
    return {
        "id": entry.pk,
        "at": entry.at,
        "operator": entry.operator,
        "role": entry.operator_role,
        "origin": entry.origin,
        "action": entry.action,
        "tenant_id": entry.tenant_id or None,
        "tenant": entry.tenant_slug or None,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "subject": entry.subject_name,
        "details": entry.details,
    }


def _filter_entries(operator: Operator, only: AuditFilter) -> QuerySet[AuditEntry]:
    texts = (only.operator, only.action, only.subject)
    if not all(is_storable_text(text) for text in texts if text is not None):
        return AuditEntry.objects.none()
    found = AuditEntry.objects.filter(_scope_q(operator))
    if only.tenant is not None:
        found = found.filter(_tenant_q(operator, only.tenant))
    if only.operator is not None:
        found = found.filter(operator__iexact=only.operator)
    if only.action is not None:
        found = found.filter(action=only.action)
    if only.subject is not None:
        key = parse_uuid(only.subject)
        named = Q(subject_id=str(key or only.subject)) | Q(subject_name__iexact=only.subject)
        found = found.filter(named)
    if only.since is not None:
        found = found.filter(at__gte=only.since)
    if only.until is not None:
        found = found.filter(at__lt=only.until)
    return found


def _scope_q(operator: Operator) -> Q:
    """What has no tenant, such as a federation key, is for those who see the whole platform."""
    if operator.sees_everything:
        return Q()
    keys = visible_tenants(operator).values_list("pk", flat=True)
    return Q(tenant_id__in=[str(key) for key in keys])


def _tenant_q(operator: Operator, name: str) -> Q:
    """Entries outlive their tenant; one that is gone is found by what it was called."""
    try:
        return Q(tenant_id=str(resolve_tenant(operator, name).pk))
    except TenantNotFound:
        gone = Q(tenant_id=name) | Q(tenant_slug=name)
        if not operator.sees_everything or not is_storable_text(name):
            raise
        if not AuditEntry.objects.filter(gone).exists():
            raise
        return gone


# By how much the clocks of this machine, of others and of the database may differ.
CLOCK_TOLERANCE = timedelta(seconds=2)


def committed_before_q() -> Q:
    """The entries older than every transaction that is still being written, and than now.

    Ids are in the order in which they were made, and become visible in the order of the commits.
    Whoever goes on after the last id seen would never see one that was made before that and
    committed later. SQLite has one writer at a time, so that both orders are the same there.
    """
    if connection.vendor != "postgresql":
        return Q()
    # The writers first: who begins after this has an id after the clock's.
    (oldest,) = fetch_one(
        "SELECT least(min(xact_start), statement_timestamp()) FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_xid IS NOT NULL "
        "AND pid <> pg_backend_pid()"
    )
    return Q(pk__lt=min_uuid7_at(oldest - CLOCK_TOLERANCE))


def min_uuid7_at(at: datetime) -> UUID:
    """Below every UUIDv7 of that moment: milliseconds since 1970 are its first 48 bits."""
    return UUID(int=int(at.timestamp() * 1000) << 80)

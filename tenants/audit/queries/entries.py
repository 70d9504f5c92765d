"""Read the audit log."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from uuid import UUID

from django.apps import apps
from django.db import connection
from django.db.models import BooleanField, Q, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Lower, Upper

from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page, one_more
from scaiwave.core.sql import batched, fetch_one
from tenants.errors import TenantNotFound
from tenants.lookup.resolve import is_storable_text, parse_uuid, participant_q, resolve_tenant
from tenants.lookup.serializers import Row
from tenants.lookup.subjects import PARTICIPANT, load_participant_names
from tenants.lookup.visibility import visible_participants, visible_tenants
from tenants.models import AuditEntry, Participant

BATCH_SIZE = 2000
MAX_NAMESAKES = 500
"""Participants with the name or e-mail address of a filter."""
CLOCK_TOLERANCE = timedelta(seconds=2)
"""How much the clocks of this server, of other servers and of the database may differ."""


@dataclass(frozen=True)
class AuditFilter:
    """Conditions for entries; None matches all. `until` is exclusive.

    `operator` and `subject` must match a whole name in any case; `subject` may also be an ID.
    """

    tenant: str | None = None
    operator: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_audit(
    *, operator: Operator, filters: AuditFilter, after: UUID | None = None, limit: int
) -> Page:
    """Return a page of the audit log, newest first, continuing after the entry with that ID.

    Entries that are added between two calls do not shift the pages. Raises TenantNotFound and
    AmbiguousName.
    """
    operator.require(Permission.VIEW)
    entries = filter_entries(_list_visible(operator), operator, filters)
    if after is not None:
        entries = entries.filter(pk__lt=after)
    newest = entries.order_by("-pk")[: one_more(limit)]
    return Page(_iter_rows_with_names(newest.iterator(chunk_size=BATCH_SIZE)), limit)


def follow_audit(
    *,
    operator: Operator,
    filters: AuditFilter,
    after: UUID | None = None,
    limit: int | None = None,
) -> Generator[Row, None, None]:
    """Return the audit log from the start, or after the entry with that ID, oldest first.

    A caller that passes the last ID it has seen gets every entry exactly once: entries that could
    still be preceded by an uncommitted one are left for the next call. Participants are not named,
    so that copies of the log have no personal data to erase. Yields one row at a time to save
    memory; close the generator if not all rows are read. Errors are raised at once.
    """
    operator.require(Permission.VIEW)
    entries = filter_entries(_list_visible(operator), operator, filters)
    entries = entries.filter(committed_before_q())
    if after is not None:
        entries = entries.filter(pk__gt=after)
    oldest = entries.order_by("pk")[:limit].iterator(chunk_size=BATCH_SIZE)
    return (_build_row(entry, {}) for entry in oldest)


def iter_entries_about(operator: Operator, person: Participant) -> Iterator[Row]:
    """Yield the entries about a participant, oldest first, as they may be given to that person.

    They have the person as their subject or in their details, or are acts of that person. Other
    operators are named by their role, and other subjects by their ID.
    """
    named = Q(subject_id=str(person.pk)) | Q(details_text__contains=str(person.pk))
    if person.scaikey_id:
        named |= Q(operator_id=person.scaikey_id)
    entries = _list_visible(operator).alias(details_text=Cast("details", TextField()))
    for entry in entries.filter(named).order_by("pk").iterator(chunk_size=BATCH_SIZE):
        is_own = bool(person.scaikey_id) and entry.operator_id == person.scaikey_id
        yield {
            "id": entry.pk,
            "created_at": entry.at,
            "operator": entry.operator if is_own else None,
            "role": entry.operator_role,
            "origin": entry.origin if is_own else None,
            "action": entry.action,
            "tenant": entry.tenant_slug or None,
            "subject_type": entry.subject_type,
            "subject_id": entry.subject_id,
            "details": entry.details,
        }


def _iter_rows_with_names(entries: Iterator[AuditEntry]) -> Generator[Row, None, None]:
    for batch in batched(entries):
        names = load_participant_names(batch)
        for entry in batch:
            yield _build_row(entry, names)


def _build_row(entry: AuditEntry, participant_names: Mapping[str, str]) -> Row:
    return {
        "id": entry.pk,
        "created_at": entry.at,
        "operator": entry.operator,
        "operator_id": entry.operator_id or None,
        "role": entry.operator_role,
        "origin": entry.origin,
        "action": entry.action,
        "tenant_id": entry.tenant_id or None,
        "tenant": entry.tenant_slug or None,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "subject": participant_names.get(entry.subject_id, entry.subject_name),
        "details": entry.details,
    }


def _list_visible(operator: Operator) -> QuerySet[AuditEntry]:
    """Entries without a tenant, such as entries about federation keys, need platform scope."""
    if operator.sees_everything:
        return AuditEntry.objects.all()
    keys = visible_tenants(operator).values_list("pk", flat=True)
    return AuditEntry.objects.filter(tenant_id__in=[str(key) for key in keys])


def filter_entries(
    entries: QuerySet[AuditEntry], operator: Operator, filters: AuditFilter
) -> QuerySet[AuditEntry]:
    """Return the entries that match. Raises TenantNotFound and AmbiguousName."""
    texts = (filters.operator, filters.action, filters.subject)
    if not all(is_storable_text(text) for text in texts if text is not None):
        return entries.none()
    entries = entries.alias(operator_upper=Upper("operator"), subject_upper=Upper("subject_name"))
    if filters.tenant is not None:
        entries = entries.filter(_tenant_q(operator, filters.tenant))
    if filters.operator is not None:
        entries = entries.filter(operator_upper=Upper(Value(filters.operator)))
    if filters.action is not None:
        entries = entries.filter(action=filters.action)
    if filters.subject is not None:
        entries = entries.filter(_subject_q(operator, filters.subject))
    if filters.since is not None:
        entries = entries.filter(at__gte=filters.since)
    if filters.until is not None:
        entries = entries.filter(at__lt=filters.until)
    return entries


def _subject_q(operator: Operator, subject: str) -> Q:
    """Match an ID or a name; with its type before it, and maybe its tenant, as tables show it."""
    found = _name_q(operator, subject)
    for each in apps.get_models():
        if shown := re.fullmatch(rf"{each._meta.verbose_name} (.+?)(, tenant (\S+))?", subject):
            place = {"tenant_slug": shown[3]} if shown[3] else {}
            found |= Q(subject_type=each._meta.model_name, **place) & _name_q(operator, shown[1])
    return found


def _name_q(operator: Operator, subject: str) -> Q:
    """Match an ID or a name: the name in the entry, or any present name of a participant."""
    people = visible_participants(operator).alias(folded=Lower("email"))
    people = people.filter(Q(display_name__iexact=subject) | participant_q([subject]))
    keys = [str(key) for key in people.values_list("pk", flat=True)[:MAX_NAMESAKES]]
    return (
        Q(subject_id=str(parse_uuid(subject) or subject))
        | Q(subject_upper=Upper(Value(subject)))
        | Q(subject_type=PARTICIPANT, subject_id__in=keys)
    )


_SEPARATORS = "@.:-_/,;()"
# The index `sw_audit_text` has exactly this expression.
AUDIT_TEXT = (
    """to_tsvector('simple'::regconfig, translate(action || ' ' || "operator" || ' ' || """
    """subject_name || ' ' || tenant_slug, '@.:-_/,;()', '          '))"""
)


def search_entries(entries: QuerySet[AuditEntry], text: str) -> QuerySet[AuditEntry]:
    """Return the entries whose action, operator, subject or tenant have words that begin with the
    words of a text. SQLite, which has no index for that, also finds them inside of words.
    """
    words = text.translate(str.maketrans(_SEPARATORS, " " * len(_SEPARATORS))).split()
    if not words:
        return entries.none()
    if connection.vendor != "postgresql":
        fields = ("action", "operator", "subject_name", "tenant_slug")
        for word in words:
            matches = (Q(**{f"{field}__icontains": word}) for field in fields)
            entries = entries.filter(reduce(or_, matches))
        return entries
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words)
    query = " & ".join(f"'{word}':*" for word in quoted)
    matches_query = f"{AUDIT_TEXT} @@ to_tsquery('simple', %s)"
    return entries.filter(RawSQL(matches_query, [query], output_field=BooleanField()))  # noqa: S611


def _tenant_q(operator: Operator, name: str) -> Q:
    """Match a deleted tenant by the ID and slug that its entries have kept."""
    try:
        return Q(tenant_id=str(resolve_tenant(operator, name).pk))
    except TenantNotFound:
        deleted = Q(tenant_id=str(parse_uuid(name) or name)) | Q(tenant_slug=name)
        if not operator.sees_everything or not is_storable_text(name):
            raise
        if not AuditEntry.objects.filter(deleted).exists():
            raise
        return deleted


def committed_before_q() -> Q:
    """Match entries that are older than every open transaction that writes, and than now.

    IDs are in the order of creation, but entries become visible in the order of the commits. A
    caller that continues after the last ID it has seen would never see an entry that was created
    before that one and committed later. SQLite has one writer at a time, so there both orders are
    the same.
    """
    if connection.vendor != "postgresql":
        return Q()
    # Transactions that start after this query create IDs later than the database's clock.
    (oldest,) = fetch_one(
        "SELECT least(min(xact_start), statement_timestamp()) FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_xid IS NOT NULL "
        "AND pid <> pg_backend_pid()"
    )
    return Q(pk__lt=min_uuid7_at(oldest - CLOCK_TOLERANCE))


def min_uuid7_at(timestamp: datetime) -> UUID:
    """Return a lower bound of all UUIDv7 values of a time.

    The first 48 bits of a UUIDv7 are milliseconds since 1970.
    """
    return UUID(int=max(0, int(timestamp.timestamp() * 1000)) << 80)


def get_uuid7_time(key: UUID) -> datetime:
    """Return the time in a UUIDv7, at which it was created."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=key.int >> 80)

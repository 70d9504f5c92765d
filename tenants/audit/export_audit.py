"""Export sealed days of the audit log with their seals, to be kept and verified elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from scaiwave.core.operators import Operator, Permission
from scaiwave.extensions import SERVER_SIGNER
from tenants.audit.queries.checks import parse_pruning
from tenants.audit.queries.format import (
    EXPORT_FORMAT,
    HASH_BYTES,
    RECORD_BYTES,
    VERSION,
    format_time,
    get_next_start_id,
    get_start_id,
)
from tenants.audit.queries.records import (
    EntryRecord,
    SealRow,
    iter_hash_lists,
    iter_records,
    iter_seals,
    load_prunings,
)
from tenants.audit.record import AuditSubject, record_audit
from tenants.errors import AuditNotSealed
from tenants.lookup.serializers import Row, get_server_name
from tenants.models import AuditSeal

_MICROSECOND = timedelta(microseconds=1)


def export_audit(
    *, operator: Operator, now: datetime, since: datetime | None, until: datetime | None
) -> Generator[Row, None, None]:
    """Return the lines of an export: the sealed days (UTC) that the period touches, whole.

    Writes an audit entry before the first line. Raises AuditNotSealed if there is no such day.
    """
    operator.require(Permission.VIEW_PLATFORM)
    seals = AuditSeal.objects.order_by("number")
    if since is not None:
        seals = seals.filter(day__gte=since.astimezone(UTC).date())
    if until is not None:
        seals = seals.filter(day__lte=(until - _MICROSECOND).astimezone(UTC).date())
    first, last = seals.first(), seals.last()
    if first is None or last is None:
        raise AuditNotSealed(
            "No day of this period is sealed.",
            fix="Run `scaiwave admin audit seal`, or choose a period that ended before today.",
        )
    details = {"seals": [first.number, last.number], "days": [str(first.day), str(last.day)]}
    subject = AuditSubject("auditseal", "", f"{first.day} to {last.day}")
    record_audit(operator, "audit export", subject, now, details, is_change=False)
    return _iter_lines(first, last, now)


def iter_tenant_audit(tenant_id: UUID, now: datetime) -> Iterator[Row]:
    """Yield the lines of an export with the entries of one tenant, and then its unsealed ones.

    The IDs and hashes of all entries are in it: without them no seal could be verified.
    """
    seals = AuditSeal.objects.order_by("number")
    first, last = seals.first(), seals.last()
    start = None
    if first is not None and last is not None:
        yield from _iter_lines(first, last, now, tenant_id=str(tenant_id))
        start = get_next_start_id(last.day)
    for record in iter_records(start, None):
        if record.fields["tenant_id"] == str(tenant_id):
            yield {"unsealed": record.fields}


def _iter_lines(
    first: AuditSeal, last: AuditSeal, now: datetime, tenant_id: str = ""
) -> Generator[Row, None, None]:
    keys = [key.public_key for key in SERVER_SIGNER.load()().load_keys().values()]
    yield {
        "export": {
            "format": EXPORT_FORMAT,
            "version": VERSION,
            "server_name": get_server_name(),
            "exported_at": format_time(now),
            "first_day": str(first.day),
            "last_day": str(last.day),
            "keys": keys,
            **({"tenant_id": tenant_id} if tenant_id else {}),
        }
    }
    for pruning in load_prunings():
        parsed = parse_pruning(pruning.statement)
        if parsed is not None and parsed.through >= first.day:
            yield {"pruning": {"statement": pruning.statement, "signature": pruning.signature}}
    seals = entries = 0
    for seal in iter_seals(first.number):
        if seal.number > last.number:
            break
        seals += 1
        yield {"seal": {"statement": seal.statement, "signature": seal.signature}}
        for line in _iter_day(seal):
            if tenant_id and "entry" in line and line["entry"]["tenant_id"] != tenant_id:
                continue
            entries += "entry" in line
            yield line
    yield {"end": {"seals": seals, "entries": entries}}


def _iter_day(seal: SealRow) -> Iterator[Row]:
    """Yield each part of the list of hashes, and after it the entries up to its last one."""
    day = date.fromisoformat(str(seal.day))
    records = iter_records(get_start_id(day), get_next_start_id(day))
    waiting: EntryRecord | None = next(records, None)
    for hashes in iter_hash_lists(day):
        yield {"hashes": base64.b64encode(hashes).decode()}
        last_listed = hashes[-RECORD_BYTES:-HASH_BYTES].hex()
        while waiting is not None and waiting.id <= last_listed:
            yield {"entry": waiting.fields}
            waiting = next(records, None)
    while waiting is not None:
        yield {"entry": waiting.fields}
        waiting = next(records, None)

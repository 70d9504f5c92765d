"""A sealed audit log, and ways to change it behind the back of the suite."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from federation.keys.lifecycle import generate_key
from scaiwave.config import load
from scaiwave.core.sql import execute, uuid_param
from scaiwave.operations.prune import prune
from tenants.audit.queries.checks import KeptSeal
from tenants.audit.queries.format import get_start_id
from tenants.audit.queries.problems import VerifyAuditResult
from tenants.audit.queries.remembered import get_path
from tenants.audit.queries.verify_audit import verify_audit
from tenants.audit.seal_audit import seal_audit
from tenants.audit.triggers import remove_audit_triggers
from tenants.models import AuditEntry
from tests.tenants.factories import HOST_OPERATOR

FIRST_DAY = date(2021, 11, 20)
TODAY = datetime(2021, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 4
"""Sealed days: the 20th to the 23rd, of which the 22nd has no entries."""
EMPTY_DAY = date(2021, 11, 22)
PER_DAY = 3


def make_entry(day: date, hour: int = 8, **fields: Any) -> AuditEntry:
    """Insert an entry that was written at that hour of a day in UTC."""
    at = datetime.combine(day, time(hour, 30, 15, 120_000), UTC)
    random = int.from_bytes(os.urandom(8))
    values: dict[str, Any] = {
        "id": UUID(int=get_start_id(day).int + (hour * 3_600_000 << 80) + (7 << 76) + random),
        "at": at,
        "operator": "anna@example.com",
        "operator_id": "usr_1",
        "operator_role": "super_admin",
        "origin": "203.0.113.7",
        "action": "update-tenant",
        "tenant_id": "019aab53-0000-7000-8000-000000000000",
        "tenant_slug": "acme",
        "subject_type": "tenant",
        "subject_id": "019aab53-0000-7000-8000-000000000000",
        "subject_name": "Zoë & Söhne",
        "details": {"changes": [{"field": "max_rooms", "old": 5, "new": 6.5}], "forced": True},
        **fields,
    }
    return AuditEntry.objects.create(**values)


def make_sealed_log(**fields: Any) -> list[AuditEntry]:
    """Create a key and four sealed days; return their entries, oldest first. Triggers are off.

    It is as on a host that has not sealed, and remembers no seal.
    """
    generate_key(operator=HOST_OPERATOR, now=TODAY - 300 * DAY)
    remove_audit_triggers()
    execute("DELETE FROM sw_audit_entries")  # that of the key
    entries = [
        make_entry(FIRST_DAY + number * DAY, 8 + hour, **fields)
        for number in range(DAYS)
        for hour in range(PER_DAY)
        if FIRST_DAY + number * DAY != EMPTY_DAY
    ]
    assert seal_audit(operator=HOST_OPERATOR, now=TODAY).figures["days"] == DAYS
    get_path().unlink()
    return entries


def verify(
    now: datetime = TODAY, keys: tuple[str, ...] = (), kept: tuple[KeptSeal, ...] = ()
) -> VerifyAuditResult:
    """Verify at a time that is long ago, without what acts of the test have written since."""
    if now.year < 2023:
        bounds = [uuid_param(get_start_id(date(year, 1, 1))) for year in (2023, 2100)]
        execute("DELETE FROM sw_audit_entries WHERE id >= %s AND id < %s", bounds)
    return verify_audit(operator=HOST_OPERATOR, now=now, keys=keys, kept=kept)


def find(now: datetime = TODAY) -> list[tuple[str, str | None, str | None]]:
    """Verify; return kind, day and entry of each problem."""
    problems = verify(now).problems
    assert problems.count == len(problems.listed)
    return [(each.kind.value, each.day, each.entry_id) for each in problems.listed]


def change(entry: AuditEntry, column: str, sql: str, *params: Any) -> None:
    """Change a column in SQL."""
    statement = f"UPDATE sw_audit_entries SET {column} = {sql} WHERE id = %s"
    assert execute(statement, [*params, uuid_param(entry.pk)]) == 1


def delete(*entries: AuditEntry) -> None:
    for entry in entries:
        execute("DELETE FROM sw_audit_entries WHERE id = %s", [uuid_param(entry.pk)])


def prune_audit(now: datetime, days: int) -> None:
    """Delete entries by retention, and leave the triggers off where it has replaced them."""
    prune(
        operator=HOST_OPERATOR,
        config=load({}),
        confirm=lambda question: None,
        now=now,
        audit_days=days,
    )
    if not is_postgresql():
        remove_audit_triggers()


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"

"""Fill an empty database by SQL, as if a large platform had been running on it.

The first tenant, `large`, has a third of the people and nearly all rooms; the others share the
rest. There are three years of the audit log, a month of syncs, and a year of AI tokens. The same
numbers always give the same rows, apart from times, which end now except in the audit log.

The ID of a row follows from its number `n` in its table, so that no query has to look up another
row, and all queries are the same on both databases: see `_insert`.
"""

# ruff: noqa: S608 — the queries contain only our own names and numbers

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from scripts.benchmarks.processes import call

LARGE_TENANT = "large"
ACTIONS = ("create-tenant", "suspend-tenant", "grant-role", "export-room", "create-key")
OPERATORS = 40
AUDIT_END = min(datetime(2026, 11, 1, 12, tzinfo=UTC), datetime.now(UTC))
AUDIT_PERIOD = timedelta(days=3 * 365)
MAX_TENANTS_OF_PARTNER = 100
PEOPLE_OF_GROUP = 20
PEOPLE_OF_ROOM = 3
ROOMS_WITH_EVENTS = 10
"""One room in so many has events."""
SECONDS_BETWEEN_RUNS = 600
RUNS = 30 * 24 * 6
CHANGES_OF_RUN = 20
MONTHS_OF_USAGE = 12
DAYS_OF_FIGURES = 90
SKIPPED = 500
ID_FIELDS = {"UUIDField", "ForeignKey"}

PEOPLE = """
    CREATE TEMPORARY TABLE people AS
    SELECT n, tenant_id, number, dense_rank() OVER (ORDER BY tenant_id, number / {team}) - 1 AS team
    FROM (
        SELECT n, tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY n) - 1 AS number
        FROM (
            SELECT n, CASE n % 3 WHEN 0 THEN 0 ELSE n % {tenants} END AS tenant_id FROM {people}
        ) a
    ) b
"""
"""The tenant of each person, their number in it, and their group."""


@dataclass(frozen=True)
class ServerSize:
    """Numbers of rows. Groups and members follow from them."""

    tenants: int = 10_000
    people: int = 300_000
    rooms: int = 100_000
    audit_entries: int = 1_000_000

    def scale(self, divisor: int) -> ServerSize:
        return ServerSize(*(max(1, count // divisor) for count in asdict(self).values()))

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in asdict(self).items())
        return counts.replace("_", " ")


def fill_server(environment: dict[str, str], size: ServerSize) -> None:
    """Fill the database of `environment`."""
    call(fill, asdict(size), environment={**environment, "SCAIWAVE_PROFILE": "full"})


def fill(sizes: dict[str, int]) -> None:
    from django.db import transaction

    size = ServerSize(**sizes)
    with transaction.atomic():
        people = _series(size.people)
        _execute(PEOPLE.format(team=PEOPLE_OF_GROUP, tenants=size.tenants, people=people))
        for model, query in _list_queries(size):
            _insert(model, query)
        _fill_usage(size.tenants)
        _fill_audit(size)
    _execute("ANALYZE")  # as autovacuum and the suite's syncs do


def _list_queries(size: ServerSize) -> Iterator[tuple[str, str]]:
    """Yield the models and the queries of the SQL file, in its order."""
    partners = 1 + size.tenants // MAX_TENANTS_OF_PARTNER
    third = (size.people + 2) // 3
    members = min(PEOPLE_OF_ROOM, third)
    counts = {
        "partners": partners,
        "tenants": size.tenants,
        "rooms": size.rooms,
        "room_members": size.rooms * members,
        "events": -(-size.rooms // ROOMS_WITH_EVENTS),
        "runs": RUNS,
        "changes": RUNS * CHANGES_OF_RUN,
        "skips": SKIPPED,
    }
    values = {
        **{f"of_{name}": _series(count) for name, count in counts.items()},
        "of_files": f"(SELECT n, 0 AS tenant_id FROM {_series(size.rooms)} UNION ALL "
        f"SELECT DISTINCT {size.rooms} + tenant_id, tenant_id FROM people) rooms",
        "slug": _slug("n"),
        # The order of names is not the order of creation.
        "person": _pad(f"n * 7919 % {size.people}", 7),
        "room": _pad(f"n * 7919 % {size.rooms}", 6),
        "team": _pad("team", 6),
        "file": f"'{'0' * 52}' || {_pad('n', 12)}",
        "began": f"{SECONDS_BETWEEN_RUNS} * (n + 1)",
        "sent_at": int(AUDIT_END.timestamp()),
        "step": ROOMS_WITH_EVENTS,
        "changes": CHANGES_OF_RUN,
        "partners": partners,
        "tenants": size.tenants,
        "rooms": size.rooms,
        "members": members,
        "third": third,
    }
    for paragraph in Path(__file__).with_suffix(".sql").read_text("utf-8").split("\n\n"):
        heading, _, query = paragraph.partition("\n")
        if re.fullmatch(r"-- \w+\.\w+", heading):
            yield heading.removeprefix("-- "), query.strip().format_map(values)


def _fill_usage(tenants: int) -> None:
    today = datetime.now(UTC).date()
    for ago in range(MONTHS_OF_USAGE):
        months = today.year * 12 + today.month - 1 - ago
        first = date(months // 12, months % 12 + 1, 1)
        usage = f"""
            SELECT n + {ago * tenants} AS n, n AS tenant_id, '{first}' AS month,
                (n * 7919 + {ago}) % 1100000 AS total_tokens
            FROM {_series(tenants)}"""
        _insert("tenants.TokenUsage", usage)
    for ago in range(DAYS_OF_FIGURES):
        figures = f"""
            SELECT '{today - timedelta(days=ago)}' AS day, {tenants} AS tenants,
                {10_000 - ago} AS members, {1000 - ago} AS rooms,
                {10**12 - ago * 10**9} AS storage_bytes"""
        _insert("tenants.DailyFigures", figures)


def _fill_audit(size: ServerSize) -> None:
    """Write entries of three years. Their IDs have the time of the entry, as real ones do."""
    from django.db import connection

    step = int(AUDIT_PERIOD.total_seconds()) // size.audit_entries
    age = f"{step} * ({size.audit_entries} - n)"
    milliseconds = f"1000 * ({int(AUDIT_END.timestamp())} - {age})"
    if connection.vendor == "sqlite":
        time = f"printf('%012x', {milliseconds})"
    else:
        time = f"lpad(to_hex({milliseconds}), 12, '0')"
    tenant = f"n % {size.tenants}"
    tenant_id = _format_id("tenants.Tenant", tenant)
    actions = " ".join(f"WHEN {number} THEN '{action}'" for number, action in enumerate(ACTIONS))
    entries = f"""
        SELECT n, 'operator-' || (n % {OPERATORS}) AS operator, 'super_admin' AS operator_role,
            'host' AS origin, CASE n % {len(ACTIONS)} {actions} END AS action,
            {tenant_id} AS tenant_id, {_slug(tenant)} AS tenant_slug,
            'tenant' AS subject_type, {tenant_id} AS subject_id, {_slug(tenant)} AS subject_name,
            '{{"changes": [{{"field": "name", "old": "a", "new": "b"}}]}}' AS details
        FROM {_series(size.audit_entries)}"""
    identifier = f"{time} || '70008000' || {_pad('n', 12)}"
    _insert("tenants.AuditEntry", entries, id=identifier, at=_ago(age, AUDIT_END))


def _insert(label: str, query: str, **expressions: str) -> None:
    """Insert the rows of a query, whose column `n` is the number of the row.

    In it, a reference to another row is the number of that row, and a time is the number of seconds
    before now. What it leaves out has its default, and a time is now.
    """
    from django.apps import apps
    from django.db import connection

    model, now = apps.get_model(label), datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({query}) a LIMIT 0")
        given = {column[0] for column in cursor.description}
    for field in model._meta.concrete_fields:
        name, kind = field.column, field.get_internal_type()
        if name in expressions:
            sql = expressions[name]
        elif name not in given and (field.null or field.has_db_default()):
            continue
        elif kind in ID_FIELDS:
            table = (field.related_model or model)._meta.label
            sql = _format_id(table, name if name in given else "n")
        elif kind == "DateTimeField":
            sql = _ago(name if name in given else "0", now)
        else:
            sql = f'"{name}"' if name in given else _quote(field.get_default())
        if connection.vendor == "postgresql":
            sql = f"CAST({sql} AS {field.db_type(connection)})"
        elif kind in ID_FIELDS:
            sql = f"replace({sql}, '-', '')"
        expressions[name] = sql
    columns = ", ".join(f'"{name}"' for name in expressions)
    rows = f"SELECT {', '.join(expressions.values())} FROM ({query}) a"
    _execute(f"INSERT INTO {model._meta.db_table} ({columns}) {rows}")


def _execute(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def _series(count: int) -> str:
    """Return a table with the numbers from 0 as `n`."""
    first = "SELECT CAST(0 AS bigint)"
    steps = f"{first} UNION ALL SELECT n + 1 FROM series WHERE n < {count - 1}"
    return f"(WITH RECURSIVE series(n) AS ({steps}) SELECT n FROM series) numbers"


def _format_id(label: str, number: str) -> str:
    """Return a UUID of version 7 whose middle has the number of the table, its end of the row."""
    from django.apps import apps

    table = list(apps.get_models()).index(apps.get_model(label))
    return f"'019d0000-0000-7000-8{table:03}-' || " + _pad(number, 12)


def _pad(number: str, digits: int) -> str:
    return f"substr(CAST({10**digits} + ({number}) AS text), 2)"


def _slug(tenant: str) -> str:
    return f"CASE {tenant} WHEN 0 THEN '{LARGE_TENANT}' ELSE 'tenant-' || {_pad(tenant, 6)} END"


def _ago(seconds: str, now: datetime) -> str:
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"datetime('{now:%Y-%m-%d %H:%M:%S}', -({seconds}) || ' seconds')"
    return f"(timestamptz '{now:%Y-%m-%d %H:%M:%S} UTC' - ({seconds}) * interval '1 second')"


def _quote(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return str(value)
    return f"'{json.dumps(value) if isinstance(value, dict | list) else value}'"

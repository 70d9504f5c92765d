"""Raw SQL that is written once for both databases: statements, parameters and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.base import ModelState

T = TypeVar("T")
M = TypeVar("M", bound=Model)

MAX_STATEMENT_VALUES = 500
"""Values in one statement; older builds of SQLite accept fewer than a thousand."""
CHUNK_ROWS = 500
Params = Sequence[str | bytes | int | float | datetime | date | UUID | list[str] | None]
"""Rows of a long query that are in memory at a time."""


def execute(sql: str, params: Params = ()) -> int:
    """Run a statement and return the number of rows it affected."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def fetch(sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cast(list[tuple[Any, ...]], cursor.fetchall())


def fetch_one(sql: str, params: Params = ()) -> tuple[Any, ...]:
    """Return the first row of a query that always has one, such as a count."""
    return fetch(sql, params)[0]


def fetch_number(sql: str, params: Params = ()) -> int:
    """Return the number, or 1 for true, that a query returns; 0 for NULL."""
    return int(fetch_one(sql, params)[0] or 0)


def fetch_column(sql: str, params: Params = ()) -> list[Any]:
    """Return the first column of a query."""
    return [row[0] for row in fetch(sql, params)]


def uuid_param(value: UUID | str) -> str:
    """Return a UUID as the database's raw SQL takes it; SQLite stores 32 hexadecimal digits."""
    value = value if isinstance(value, UUID) else UUID(value)
    return str(value) if connection.vendor == "postgresql" else value.hex


def to_uuid(value: UUID | str) -> UUID:
    """Return a UUID column's value as a UUID; SQLite returns 32 hexadecimal digits."""
    return value if isinstance(value, UUID) else UUID(value)


def datetime_param(value: datetime) -> str | datetime | None:
    """Return a time as the database's raw SQL takes it."""
    return connection.ops.adapt_datetimefield_value(value)


def sql_list(values: Iterable[str]) -> str:
    """Return values of the code as a list for `IN`: `('add', 'update')`."""
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


def is_distinct(left: str, right: str) -> str:
    """Return SQL for "differs" that compares NULL like any other value.

    SQLite knows IS NOT for this, and only from 3.39 on also the standard's IS DISTINCT FROM.
    """
    operator = "IS DISTINCT FROM" if connection.vendor == "postgresql" else "IS NOT"
    return f"({left} {operator} {right})"


def batched(values: Iterable[T], size: int = MAX_STATEMENT_VALUES) -> Iterator[list[T]]:
    """Yield the values in lists of `size`, the last one shorter."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def iter_objects(queryset: QuerySet[M]) -> Iterator[M]:
    """Yield the objects of a long query, with their annotations.

    Without joined objects, none is built by Django's constructor, which takes as long as reading
    its row.
    """
    query, model, database = queryset.query, queryset.model, queryset.db
    if query.select_related:
        yield from queryset.iterator(CHUNK_ROWS)
        return
    deferred, _ = query.deferred_loading
    fields = [each for each in model._meta.concrete_fields if each.name not in deferred]
    names = [*(each.attname for each in fields), *query.annotation_select]
    for values in queryset.values_list(*names).iterator(CHUNK_ROWS):
        row = model.__new__(model)
        row._state = state = ModelState()
        state.adding, state.db = False, database
        row.__dict__.update(zip(names, values, strict=True))
        yield row

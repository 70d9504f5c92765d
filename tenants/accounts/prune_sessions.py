"""Delete expired sessions of the admin site, and old failed sign-ins.

In SQL, because workers and most commands run without the applications of the admin site.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from scaiwave.core.sql import datetime_param, execute, fetch_one


def count_expired_sessions(before: datetime) -> int:
    return _count("django_session", "expire_date", before)


def delete_expired_sessions(before: datetime) -> int:
    return _delete("django_session", "expire_date", before)


def count_failed_sign_ins(before: datetime) -> int:
    return _count("axes_accessattempt", "attempt_time", before)


def delete_failed_sign_ins(before: datetime) -> int:
    return _delete("axes_accessattempt", "attempt_time", before)


def _count(table: str, column: str, before: datetime) -> int:
    if not has_table(table):
        return 0
    sql = f"SELECT count(*) FROM {table} WHERE {column} < %s"  # noqa: S608 - constants
    return int(fetch_one(sql, [datetime_param(before)])[0])


def _delete(table: str, column: str, before: datetime) -> int:
    if not has_table(table):
        return 0
    sql = f"DELETE FROM {table} WHERE {column} < %s"  # noqa: S608 - constants
    return execute(sql, [datetime_param(before)])


def has_table(table: str) -> bool:
    """Whether the table exists. The table of failed sign-ins needs the web server's libraries."""
    with connection.cursor() as cursor:
        return table in connection.introspection.table_names(cursor)

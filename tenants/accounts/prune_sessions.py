"""Delete sessions of the admin site, and old failed sign-ins.

In SQL, because workers and most commands run without the applications of the admin site.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.db import connection

from scaiwave.core.sql import (
    MAX_STATEMENT_VALUES,
    batched,
    datetime_param,
    execute,
    fetch,
    fetch_one,
)


def count_expired_sessions(before: datetime) -> int:
    return _count("django_session", "expire_date", before)


def delete_expired_sessions(before: datetime) -> int:
    return _delete("django_session", "expire_date", before)


def delete_sessions_of(*account_ids: Any) -> int:
    """Delete the sessions of accounts, and return their number. Reads all sessions."""
    if not account_ids or not _exists("django_session"):
        return 0
    accounts = set(map(str, account_ids))
    from django.contrib.sessions.backends.db import SessionStore  # slow; few commands need it

    decode = SessionStore().decode
    keys = [
        key
        for key, data in fetch("SELECT session_key, session_data FROM django_session")
        if decode(data).get(SESSION_KEY) in accounts
    ]
    for batch in batched(keys, MAX_STATEMENT_VALUES):
        places = ", ".join(["%s"] * len(batch))
        execute(f"DELETE FROM django_session WHERE session_key IN ({places})", batch)  # noqa: S608
    return len(keys)


def count_failed_sign_ins(before: datetime) -> int:
    return _count("axes_accessattempt", "attempt_time", before)


def delete_failed_sign_ins(before: datetime) -> int:
    return _delete("axes_accessattempt", "attempt_time", before)


def _count(table: str, column: str, before: datetime) -> int:
    if not _exists(table):
        return 0
    sql = f"SELECT count(*) FROM {table} WHERE {column} < %s"  # noqa: S608 - constants
    return int(fetch_one(sql, [datetime_param(before)])[0])


def _delete(table: str, column: str, before: datetime) -> int:
    if not _exists(table):
        return 0
    sql = f"DELETE FROM {table} WHERE {column} < %s"  # noqa: S608 - constants
    return execute(sql, [datetime_param(before)])


def _exists(table: str) -> bool:
    """Whether the table exists. The table of failed sign-ins needs the web server's libraries."""
    with connection.cursor() as cursor:
        return table in connection.introspection.table_names(cursor)

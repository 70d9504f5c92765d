"""Which entries of the audit nobody can slip in before any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Q

# By how much the clocks of this machine, of others and of the database may differ.
CLOCKS = timedelta(seconds=2)


def committed_before_q() -> Q:
    """The entries older than every transaction that is still being written, and than now.

    Ids are in the order in which they were made, and become visible in the order of the commits.
    Whoever goes on after the last id seen would never see one that was made before that and
    committed later. SQLite has one writer at a time, so that both orders are the same there.
    """
    if connection.vendor != "postgresql":
        return Q()
    with connection.cursor() as cursor:
        # The writers first: who begins after this has an id after the clock's.
        cursor.execute(
            "SELECT least(min(xact_start), statement_timestamp()) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_xid IS NOT NULL "
            "AND pid <> pg_backend_pid()"
        )
        (oldest,) = cursor.fetchone()
    return Q(pk__lt=min_uuid7_at(oldest - CLOCKS))


def min_uuid7_at(at: datetime) -> UUID:
    """Below every UUIDv7 of that moment: milliseconds since 1970 are its first 48 bits."""
    return UUID(int=int(at.timestamp() * 1000) << 80)

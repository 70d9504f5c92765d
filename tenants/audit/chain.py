"""Close days of the audit log, so that no entry of them can appear later.

An entry gets its ID in `record_audit`, after a query of the chain in the same transaction. That
query takes the weakest lock of PostgreSQL on the table of the chain and keeps it until the
transaction ends. It conflicts with nothing here, but `pg_locks` shows who has it. A day is closed
in two steps, and nothing waits but the seal:

1. `close_days` commits the lowest ID of new entries.
2. `wait_until_settled` waits for the transactions that have read the chain before that. Every later
   one reads the new value, whatever its clock shows.

SQLite has one writer at a time, so the first step is enough.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from scaiwave.core.sql import fetch, fetch_one
from scaiwave.ids import new_id
from tenants.audit.queries.format import get_day, get_next_start_id, hash_statement
from tenants.errors import AuditNotSettled
from tenants.models import AuditChain, AuditEntry, AuditSeal

GRACE = timedelta(minutes=10)
"""How long after its end a day is closed. Entries of servers whose clocks are behind by more get
IDs of the next day."""
POLL_SECONDS = 0.1


def new_entry_id() -> UUID:
    """Return an ID for an audit entry, after every closed day. Call it in the transaction of the
    entry."""
    entry_id = new_id()
    open_from = AuditChain.objects.values_list("open_from", flat=True).first()
    if open_from is None or entry_id >= open_from:
        return entry_id
    # This clock is behind. Continue after the newest entry, so that the order stays.
    newest = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first()
    base = open_from if newest is None else max(open_from, newest)
    milliseconds = (base.int >> 80) + 1
    return UUID(int=(milliseconds << 80) | (entry_id.int & ((1 << 80) - 1)))


def load_chain() -> AuditChain | None:
    """Return how far the log is sealed: by its row, or by the seals if they are further."""
    chain = AuditChain.objects.first()
    last = AuditSeal.objects.order_by("-number").first()
    if last is None or (chain is not None and chain.seals > last.number):
        return chain  # If seals were deleted, their days are not sealed again.
    end = get_next_start_id(last.day)
    chain = chain or AuditChain(open_from=end)
    chain.open_from = max(chain.open_from, end)
    if chain.seals < last.number:
        chain.last_seal_sha256 = hash_statement(last.statement)
    chain.seals, chain.sealed_through = last.number, last.day
    return chain


def get_last_ended_day(now: datetime) -> date:
    """Return the last day that has ended by this clock and by the database's."""
    if connection.vendor == "postgresql":
        now = min(now, fetch_one("SELECT clock_timestamp()")[0])
    return (now - GRACE).astimezone(UTC).date() - timedelta(days=1)


def close_days(chain: AuditChain | None, through: date) -> AuditChain:
    """Commit that new entries have IDs after this day. It is never taken back."""
    open_from = get_next_start_id(through)
    chain = chain or AuditChain(open_from=open_from)
    chain.open_from = max(chain.open_from, open_from)
    chain.save()
    return chain


def wait_until_settled(timeout: float) -> None:
    """Return when no transaction can add an entry to a closed day. Raises AuditNotSettled."""
    if connection.vendor != "postgresql":
        return
    waiting_for = _find_readers()
    ends_at = time.monotonic() + timeout
    while waiting_for := waiting_for & _find_readers():
        if time.monotonic() >= ends_at:
            begins = [started for _, _, started in waiting_for if started]
            since = f" since {min(begins):%Y-%m-%d %H:%M} UTC" if begins else ""
            pids = ", ".join(sorted({str(pid) for _, pid, _ in waiting_for if pid})) or "prepared"
            raise AuditNotSettled(
                f"The audit log can't be sealed yet: a transaction is open{since} that may add "
                f"entries (process {pids} of PostgreSQL)."
            )
        time.sleep(POLL_SECONDS)


def _find_readers() -> set[tuple[Any, ...]]:
    """Return the transactions that have read the chain, also prepared ones, which have no pid."""
    rows = fetch(
        "SELECT l.virtualtransaction, l.pid, a.xact_start FROM pg_locks l "
        "LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE l.locktype = 'relation' AND l.relation = %s::regclass "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND l.pid IS DISTINCT FROM pg_backend_pid()",
        [AuditChain._meta.db_table],
    )
    return set(rows)


def get_first_day(chain: AuditChain | None) -> date | None:
    """Return the first day that is not sealed, None if there is no entry yet."""
    if chain is not None and chain.sealed_through is not None:
        return chain.sealed_through + timedelta(days=1)
    oldest = AuditEntry.objects.order_by("pk").values_list("pk", flat=True).first()
    return None if oldest is None else get_day(oldest)

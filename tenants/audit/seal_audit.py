"""Seal the audit log, day by day, and record its pruning: both are signed statements."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import transaction

from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.files import replace_file
from scaiwave.core.locks import process_lock
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.core.sql import batched
from scaiwave.extensions import SERVER_SIGNER
from tenants.audit.chain import (
    close_days,
    get_first_day,
    get_last_ended_day,
    load_chain,
    wait_until_settled,
)
from tenants.audit.queries.checks import KeptSeal
from tenants.audit.queries.format import (
    MAX_PART_ENTRIES,
    PRUNING_FORMAT,
    SEAL_FORMAT,
    VERSION,
    canonicalize,
    encode_id,
    format_time,
    get_next_start_id,
    get_start_id,
    hash_record,
    hash_statement,
)
from tenants.audit.queries.records import find_invalid_ids, iter_records
from tenants.audit.queries.remembered import find_lost_seal, get_path
from tenants.audit.record import AuditSubject, record_audit
from tenants.errors import AuditChanged, AuditSealRunning
from tenants.lookup.serializers import Row, get_server_name
from tenants.models import AuditChain, AuditEntry, AuditPruning, AuditSeal, AuditSealPart

logger = logging.getLogger(__name__)

LOCK = "audit-seal"
SETTLE_SECONDS = 30.0
"""How long a seal waits for open transactions."""
MAX_LISTED = 100
ACTION = "audit seal --accept-restored"
_DAY = timedelta(days=1)


def _build_report(
    seals: Sequence[Row], days: int, entries: int, *, accepted: bool, dry_run: bool = False
) -> Report:
    """Return a row for each new seal, oldest first; after many only the newest ones are listed.

    `accepted` is true if a log that lacks the last seal of this host was, or would be, accepted.
    """
    text = f"{'Would accept' if dry_run else 'Accepted'} the restored audit log. " * accepted
    counts = f"{pluralize(days, 'day')} with {pluralize(entries, 'entry', 'entries')}"
    sealed = f"Would seal {counts}." if dry_run else f"Sealed {counts}."
    return Report(
        {"seals": list(seals), "days": days, "entries": entries, "accepted": accepted},
        text + (sealed if days else "No day is due to be sealed."),
        changed=bool(days) or accepted,
    )


def seal_audit(
    *,
    operator: Operator,
    now: datetime,
    dry_run: bool = False,
    accept_restored: bool = False,
    settle_seconds: float = SETTLE_SECONDS,
    progress_factory: ProgressFactory = null_progress_factory,
) -> Report:
    """Seal every day (UTC) that has ended and is not sealed, also those without entries.

    The seals are the record of this act; it writes no audit entry. With `accept_restored`, which
    writes one, a log that lacks the last seal of this host is no longer reported. Raises
    NoSigningKey, AuditSealRunning, AuditNotSettled, AuditChanged.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with process_lock(LOCK) as is_free:
        if not is_free:
            raise AuditSealRunning("Another process is sealing the audit log.")
        chain = load_chain()
        lost = find_lost_seal() if accept_restored else None
        if lost and not dry_run:
            _accept_restored(operator, chain, lost.message, now)
        first, last = get_first_day(chain), get_last_ended_day(now)
        if first is None or first > last:
            return _build_report([], 0, 0, accepted=bool(lost), dry_run=dry_run)
        if dry_run:
            ids = {"pk__gte": get_start_id(first), "pk__lt": get_next_start_id(last)}
            count = AuditEntry.objects.filter(**ids).count()
            days = (last - first).days + 1
            return _build_report([], days, count, accepted=bool(lost), dry_run=dry_run)
        # Fail before anything is closed: without a key, or with IDs that belong to no day.
        SERVER_SIGNER.load()().sign(b"", now)
        if invalid := find_invalid_ids(1):
            raise AuditChanged(f"The audit log has an entry with an invalid ID: {invalid[0]!r}.")
        chain = close_days(chain, last)
        wait_until_settled(settle_seconds)
        rows, entries = _seal_days(chain, first, last, now, progress_factory)
        return _build_report(rows, (last - first).days + 1, entries, accepted=bool(lost))


def _accept_restored(
    operator: Operator, chain: AuditChain | None, problem: str, now: datetime
) -> None:
    number = chain.seals if chain else 0
    subject = AuditSubject("auditseal", "", f"{number} seals")
    details = {"problem": problem}
    with transaction.atomic():
        record_audit(operator, ACTION, subject, now, details)
        # Within the transaction: the entry is true only if this succeeds.
        if chain is None or not chain.seals:
            get_path().unlink()
        else:
            _remember(chain)


def _remember(chain: AuditChain) -> None:
    """Raises FileUnwritable and DiskFull."""
    newest = KeptSeal(chain.seals, chain.last_seal_sha256)
    replace_file(get_path(), f"{newest}\n".encode())


def _seal_days(
    chain: AuditChain, first: date, last: date, now: datetime, progress_factory: ProgressFactory
) -> tuple[list[Row], int]:
    rows: list[Row] = []
    key_id = ""
    entries, days = 0, (last - first).days + 1
    # A lost seal is remembered until someone has accepted that.
    is_lost = find_lost_seal() is not None
    with progress_factory("Sealing days", ColumnType.COUNT) as progress:
        for number in range(days):
            seal = _seal_day(chain, first + number * _DAY, now, key_id)
            if not is_lost:
                _remember(chain)
            key_id = seal.key_id
            entries += seal.entries
            rows = [*rows[-MAX_LISTED + 1 :], build_seal_row(seal)]
            progress(number + 1, days)
    return rows, entries


def _seal_day(chain: AuditChain, day: date, now: datetime, key_id: str) -> AuditSeal:
    """Seal a day with the key of the server, which is probably that with this ID."""
    entries, digest = _write_hashes(day)
    statement = {
        "format": SEAL_FORMAT,
        "version": VERSION,
        "server_name": get_server_name(),
        "number": chain.seals + 1,
        "day": str(day),
        "entries": entries,
        "entries_sha256": digest,
        "previous_sha256": chain.last_seal_sha256,
        "sealed_at": format_time(now),
    }
    with transaction.atomic():
        signed = _sign(statement, now, key_id)
        seal = AuditSeal.objects.create(
            number=chain.seals + 1, day=day, entries=entries, sealed_at=now, **signed
        )
        chain.seals, chain.sealed_through = seal.number, day
        chain.last_seal_sha256 = hash_statement(seal.statement)
        chain.save()
    logger.info(
        "Audit log sealed: %s, %d entries, seal %d:%s.",
        day,
        entries,
        seal.number,
        chain.last_seal_sha256,
    )
    return seal


def _write_hashes(day: date) -> tuple[int, str]:
    """Store the IDs and hashes of a closed day; return their number and their SHA-256.

    Without a transaction, so that acts do not wait on SQLite. What an interrupted run has left is
    replaced.
    """
    AuditSealPart.objects.filter(day=day).delete()
    digest, count = sha256(), 0
    records = iter_records(get_start_id(day), get_next_start_id(day))
    for number, batch in enumerate(batched(records, MAX_PART_ENTRIES)):
        hashes = b"".join(encode_id(record.id) + hash_record(record.fields) for record in batch)
        AuditSealPart.objects.create(day=day, number=number, hashes=hashes)
        digest.update(hashes)
        count += len(batch)
    return count, digest.hexdigest()


def record_pruning(through: AuditSeal, entries: int, now: datetime) -> AuditPruning:
    """Sign that the entries of all days up to and including a seal's were deleted. Call it in the
    transaction that deletes them."""
    statement = {
        "format": PRUNING_FORMAT,
        "version": VERSION,
        "server_name": get_server_name(),
        "through": str(through.day),
        "entries": entries,
        "seal_sha256": hash_statement(through.statement),
        "pruned_at": format_time(now),
    }
    return AuditPruning.objects.create(
        through=through.day, entries=entries, pruned_at=now, **_sign(statement, now, through.key_id)
    )


def _sign(statement: dict[str, Any], now: datetime, key_id: str) -> dict[str, str]:
    """Return the columns of a signed statement, which names the key that signs it.

    `key_id` names the key that probably signs: then it signs once.
    """
    text = canonicalize({**statement, "key_id": key_id}).decode()
    signed_by, signature = SERVER_SIGNER.load()().sign(text.encode(), now)
    if signed_by != key_id:
        return _sign(statement, now, signed_by)
    return {
        "key_id": key_id,
        "statement": text,
        "signature": base64.b64encode(signature).decode(),
    }


def build_seal_row(seal: AuditSeal) -> Row:
    return {
        "number": seal.number,
        "day": str(seal.day),
        "entries": seal.entries,
        "sha256": hash_statement(seal.statement),
        "key_id": seal.key_id,
        "sealed_at": seal.sealed_at,
    }

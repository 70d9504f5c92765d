"""Files on their way into the media store, and what becomes of them when an import fails.

An import announces its files in a row of its own before it puts the first, and holds the row's
lock as long as it lives; its last transaction takes the row away. A row whose lock is free belongs
to an import that was killed. Files go only while nobody else wants them: to announce and to look
who wants what happen under one lock per tenant, so two imports of one file never take away each
other's.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import Error, connection, transaction

from rooms.models import ImportIntent, Media
from rooms.services.stream_positions import lock_stream
from scaiwave.auth.operators import Operator
from scaiwave.batching import batches
from scaiwave.locks import process_lock
from scaiwave.media_storage import AtomicFileSystemStorage, storage_error_types
from tenants.models import Tenant

log = logging.getLogger(__name__)


@contextmanager
def import_intent(
    hashes: Collection[str], *, operator: Operator, tenant: Tenant, now: datetime
) -> Iterator[ImportIntent]:
    """Announce files by hash; whatever raises inside has them taken away again.

    Call `carried` in the transaction that makes them somebody's.
    """
    intent = ImportIntent(
        tenant=tenant,
        hashes=sorted(hashes),
        operator=operator.name,
        origin=operator.origin,
        started_at=now,
    )
    # Locked before it can be seen, so that nobody ever sees a living one unlocked.
    with process_lock(_lock_name(intent.pk)):
        try:
            with transaction.atomic(durable=True):
                _must_last()
                lock_stream(tenant.pk)
                intent.save(force_insert=True)
            yield intent
        except BaseException:
            _give_up(intent)
            raise


def complete_intent(intent: ImportIntent) -> None:
    """The files are somebody's now, so the row goes; call it in the transaction that makes them so.

    What killed imports have left of the same files was spared while this one might have been
    writing it, and nobody else would look for it any more.
    """
    lock_stream(intent.tenant_id)
    _remove_drafts(intent, set(intent.hashes) - _wanted_by_others(intent))
    intent.delete()


def _must_last() -> None:
    """Have the commit wait for the disk, even where PostgreSQL was told not to: files of which no
    row tells after a crash would stay for ever."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = on")


def clean_up_abandoned(now: datetime) -> int:
    """Take away what killed imports have left, of every tenant; returns how many those were."""
    return sum(_take_away(intent, now) for intent in ImportIntent.objects.order_by("pk"))


def _take_away(intent: ImportIntent, now: datetime) -> bool:
    with process_lock(_lock_name(intent.pk)) as abandoned:
        taken = abandoned and _undo(intent)
    if taken:
        age = now - intent.started_at
        log.info("Took away what an import by %s, begun %s ago, has left.", intent.operator, age)
    return taken


def _give_up(intent: ImportIntent) -> None:
    """What ended the import may be that there is no database any more, or no session."""
    try:
        connection.close_if_unusable_or_obsolete()
        _undo(intent)
    except Exception as error:
        if not isinstance(error, (Error, *storage_error_types())):
            raise
        log.warning("Import %s was not tidied up; the next import will do it.", intent.pk)


def _undo(intent: ImportIntent) -> bool:
    """Remove its files and the row; False if it has ended by itself meanwhile.

    The files go before the row does: killed in between, the next one begins again.
    """
    with transaction.atomic(durable=True):
        lock_stream(intent.tenant_id)
        if not ImportIntent.objects.filter(pk=intent.pk).exists():
            return False
        _remove_files(intent)
        intent.delete()
    return True


def _remove_files(intent: ImportIntent) -> None:
    """All that no row of media and no other import of the tenant lists."""
    mine = set(intent.hashes) - _wanted_by_others(intent)
    _remove_drafts(intent, mine)
    for sha256 in mine - _with_row(intent.tenant_id, mine):
        default_storage.delete(_storage_name(intent, sha256))


def _remove_drafts(intent: ImportIntent, hashes: Collection[str]) -> None:
    """A bucket has none: what was not sent to its end is not there."""
    if isinstance(default_storage, AtomicFileSystemStorage):
        default_storage.remove_drafts({_storage_name(intent, sha256) for sha256 in hashes})


def _storage_name(intent: ImportIntent, sha256: str) -> str:
    return Media(tenant_id=intent.tenant_id, sha256=sha256).storage_name


def _wanted_by_others(intent: ImportIntent) -> set[str]:
    others = ImportIntent.objects.filter(tenant_id=intent.tenant_id).exclude(pk=intent.pk)
    return {sha256 for hashes in others.values_list("hashes", flat=True) for sha256 in hashes}


def _with_row(tenant_id: UUID, hashes: Collection[str]) -> set[str]:
    found = set[str]()
    for batch in batches(hashes):
        rows = Media.objects.filter(tenant_id=tenant_id, sha256__in=batch)
        found.update(rows.values_list("sha256", flat=True))
    return found


def _lock_name(key: UUID) -> str:
    return f"import-{key}"

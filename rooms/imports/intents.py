"""Announce the files that an import stores, and delete them if the import fails.

A deletion announces its files in the transaction that deletes their rows, and goes the same way.

An import announces its files in a row (`ImportIntent`) before it stores the first, and holds a
process lock for that row while it runs; its last transaction deletes the row. A row whose lock is
free belongs to an interrupted import. A file is deleted only if no other import announces it and no
media row lists it. Announcing and checking happen under one lock per tenant, so two imports of the
same file never delete each other's.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import cast
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import Error, connection, transaction

from rooms.models import ImportIntent, Media, RemovedFile, RoomMedia
from rooms.models.media import get_storage_name
from rooms.stream_positions import lock_stream
from scaiwave.core.locks import process_lock
from scaiwave.core.operators import Operator
from scaiwave.core.sql import batched, execute
from scaiwave.storage.media import (
    MediaStore,
    MediaVersioned,
    collect_refusals,
    storage_error_types,
)
from tenants.lookup.restoration import find_restoration
from tenants.models import Tenant

log = logging.getLogger(__name__)


@contextmanager
def import_intent(
    hashes: Collection[str], *, operator: Operator, tenant: Tenant, now: datetime
) -> Iterator[ImportIntent]:
    """Announce files by hash; delete them again if an exception is raised inside.

    Call `complete_intent` in the transaction that inserts the media rows.
    """
    intent = ImportIntent(
        tenant=tenant,
        hashes=sorted(hashes),
        operator=operator.name,
        origin=operator.origin,
        started_at=now,
    )
    # Locked before the row is visible, so that no process takes the import for an interrupted one.
    with process_lock(_lock_name(intent.pk)):
        try:
            with transaction.atomic(durable=True):
                if connection.vendor == "postgresql":
                    # If the row were lost in a crash, its files could never be found and deleted.
                    execute("SET LOCAL synchronous_commit = on")
                lock_stream(tenant.pk)
                intent.save(force_insert=True)
            yield intent
        except BaseException as error:
            _clean_up_failed(intent, by_signal=isinstance(error, KeyboardInterrupt))
            raise


def complete_intent(intent: ImportIntent) -> None:
    """Delete the intent. Call in the transaction that inserts the media rows.

    Drafts of the same files that interrupted imports left were not deleted before, because this
    import might have been writing them; no later cleanup would look for them.
    """
    lock_stream(intent.tenant_id)
    _remove_drafts(intent, set(intent.hashes) - _get_hashes_of_others(intent))
    intent.delete()


def release_files(
    keys: Collection[UUID], *, operator: Operator, tenant_id: UUID, now: datetime
) -> ImportIntent | None:
    """Delete the rows of files that no room has any longer, and announce the files.

    Call it in the transaction that has detached them, and `delete_released` or `delete_announced`
    after it.
    """
    # An import that is attaching one of them ends first. Its rows are visible to the next query.
    list(Media.objects.select_for_update().filter(pk__in=keys).order_by("sha256"))
    unused = Media.objects.filter(pk__in=keys).exclude(pk__in=RoomMedia.objects.values("media"))
    removed = RemovedFile.objects.filter(media__isnull=False).values("media")
    if not (hashes := sorted(unused.exclude(pk__in=removed).values_list("sha256", flat=True))):
        return None
    Media.objects.filter(tenant=tenant_id, sha256__in=hashes).delete()
    return ImportIntent.objects.create(
        tenant_id=tenant_id,
        hashes=hashes,
        operator=operator.name,
        origin=operator.origin,
        started_at=now,
        is_deletion=True,
    )


def release_on_commit(
    keys: Collection[UUID], *, operator: Operator, tenant_id: UUID, now: datetime
) -> None:
    """Call `release_files`, and delete the files once the transaction is committed."""
    if intent := release_files(keys, operator=operator, tenant_id=tenant_id, now=now):
        transaction.on_commit(partial(delete_released, intent))


def delete_released(intent: ImportIntent) -> None:
    """Delete the files, unless an import has announced or stored them since.

    If that fails, the next import does it; a restored server leaves the files to its original.
    """
    if find_restoration() is None:
        _clean_up_failed(intent)


def delete_announced(tenant_id: UUID) -> None:
    """Delete the files of all announced deletions of a tenant, including interrupted ones.

    Files that an import has announced or stored since stay. Raises `MediaVersioned` and the
    errors of the media store; a refused file does not keep the files of other announcements.
    """
    with collect_refusals() as attempt:
        for intent in ImportIntent.objects.filter(tenant_id=tenant_id, is_deletion=True):
            with attempt():
                _undo(intent)


def clean_up_abandoned(now: datetime) -> int:
    """Delete what interrupted imports left behind, in every tenant; return their number.

    Nothing on a restored server: to a copy that shares the media store of the live server, an
    import that was running during the backup looks interrupted.
    """
    if find_restoration() is not None:
        return 0
    count = 0
    for intent in ImportIntent.objects.order_by("pk"):
        with process_lock(_lock_name(intent.pk)) as is_abandoned:
            is_undone = is_abandoned and _undo(intent)
        if is_undone:
            count += 1
            age = now - intent.started_at
            message = "Cleaned up after an interrupted import by %s, started %s ago."
            log.info(message, intent.operator, age)
    return count


def _clean_up_failed(intent: ImportIntent, *, by_signal: bool = False) -> None:
    """Delete the files of a failed import, which may have lost its connection to the database."""
    try:
        if by_signal and (connection.in_atomic_block or not connection.get_autocommit()):
            # It interrupted the beginning or the end of a transaction, which Django considers open.
            # The database rolls it back, unless it has committed it.
            connection.close()
            connection.connect()
        connection.close_if_unusable_or_obsolete()
        _undo(intent)
    except Exception as error:
        if not isinstance(error, (Error, MediaVersioned, *storage_error_types())):
            raise
        log.warning("Could not clean up after import %s; the next import will.", intent.pk)


def _undo(intent: ImportIntent) -> bool:
    """Delete the files and the row; return False if the import has completed.

    The files are deleted first: if that is interrupted, the next cleanup starts again.
    """
    with transaction.atomic(durable=not intent.is_deletion):
        lock_stream(intent.tenant_id)
        if not ImportIntent.objects.filter(pk=intent.pk).exists():
            return False
        # The files that no media row and no other import of the tenant lists.
        own = set(intent.hashes) - _get_hashes_of_others(intent)
        _remove_drafts(intent, own)
        stored = set[str]()
        for batch in batched(own):
            rows = Media.objects.filter(tenant_id=intent.tenant_id, sha256__in=batch)
            stored.update(rows.values_list("sha256", flat=True))
        store = cast(MediaStore, default_storage)
        delete = store.erase if intent.is_deletion else default_storage.delete
        for sha256 in own - stored:
            delete(get_storage_name(intent.tenant_id, sha256))
        intent.delete()
    return True


def _remove_drafts(intent: ImportIntent, hashes: Collection[str]) -> None:
    """Delete partly written files, and the parts of incomplete uploads into a bucket."""
    if hashes:
        store = cast(MediaStore, default_storage)
        store.remove_drafts({get_storage_name(intent.tenant_id, sha256) for sha256 in hashes})


def _get_hashes_of_others(intent: ImportIntent) -> set[str]:
    others = ImportIntent.objects.filter(tenant_id=intent.tenant_id).exclude(pk=intent.pk)
    return {sha256 for hashes in others.values_list("hashes", flat=True) for sha256 in hashes}


def _lock_name(key: UUID) -> str:
    return f"import-{key}"

"""Deletions, imports and backfills lock rows of PostgreSQL in one order, to avoid deadlocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from rooms.imports.media import plan_media, write_media
from rooms.lookup.export_metadata import get_media
from rooms.models import Room, RoomMedia, SearchDocument
from rooms.search.documents import delete_events
from scaiwave.core.sql import execute, fetch
from tests.rooms.exports.factories import attach_media
from tests.rooms.imports.import_environment import wait_for
from tests.rooms.retention.test_run_retention import room, run, say, set_policy
from tests.scaiwave.row_factories import make_event, make_room
from tests.tenants.factories import NOW

__all__ = ["room"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_on("postgresql")]
WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@contextmanager
def wait_behind(act: Callable[[], Any], sql: str, key: Any) -> Iterator[Any]:
    """Lock a row, let `act` wait for it in a thread, and yield a cursor of the lock's session."""

    def run_in_thread() -> None:
        try:
            act()
        finally:
            BaseDatabaseWrapper.close(connection)

    other = connection.copy()
    other.set_autocommit(False)
    try:
        with ThreadPoolExecutor(1) as pool:
            try:
                with other.cursor() as cursor:
                    cursor.execute(sql, [key])
                    future = pool.submit(run_in_thread)
                    wait_for(lambda: future.done() or fetch(WAITING, []))
                    yield cursor
            finally:
                other.rollback()
            future.result()
    finally:
        BaseDatabaseWrapper.close(other)


def test_success_retention_waits_for_an_import_of_an_increment(room: Room) -> None:
    """It has not touched a file by then, which the import may need."""
    media = attach_media(room, b"one")
    say(room, 50, media_id=str(media.pk))
    RoomMedia.objects.update(created_at=NOW - timedelta(days=50))
    set_policy()
    with wait_behind(run, "SELECT 1 FROM sw_rooms WHERE id = %s FOR UPDATE", room.pk) as cursor:
        cursor.execute("SELECT 1 FROM sw_room_media FOR UPDATE NOWAIT")
        assert cursor.fetchall() == [(1,)]
    assert not RoomMedia.objects.exists()


def test_success_an_import_locks_files_in_the_order_of_a_deletion(room: Room) -> None:
    """Their rows are stored in another order."""
    second, first = sorted(
        (attach_media(room, content) for content in (b"one", b"two")),
        key=lambda media: media.sha256,
        reverse=True,
    )
    for media in (second, first):  # An update moves the row to the end.
        media.save()
    plan = plan_media(room.tenant_id, get_media(room), trusted=False)
    target = make_room(room.workspace, room.creator, "Copy")

    def attach() -> None:
        with transaction.atomic():
            execute("SET LOCAL enable_indexscan = off")  # as with other statistics
            write_media(plan, room=target, now=NOW)

    lock = "SELECT 1 FROM sw_media WHERE id = %s FOR UPDATE"
    with wait_behind(attach, lock, first.pk) as cursor:
        cursor.execute(f"{lock} NOWAIT", [second.pk])
        assert cursor.fetchall() == [(1,)]
    assert RoomMedia.objects.filter(room=target).count() == 2


def test_success_a_deletion_locks_documents_in_the_order_of_a_backfill(room: Room) -> None:
    """A search server's documents are deleted after the transaction that deletes the events."""
    second, first = (
        SearchDocument.objects.create(
            tenant=room.tenant, event=make_event(room, position), stream_position=position, body="x"
        )
        for position in (2, 1)
    )

    def delete() -> None:
        delete_events(room.tenant_id, [second.event_id, first.event_id])

    lock = "SELECT 1 FROM sw_search_documents WHERE id = %s FOR UPDATE"
    with wait_behind(delete, lock, first.pk) as cursor:
        cursor.execute(f"{lock} NOWAIT", [second.pk])
        assert cursor.fetchall() == [(1,)]
    assert not SearchDocument.objects.exists()

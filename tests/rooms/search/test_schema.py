from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.search import documents
from rooms.search.base import EventRange
from rooms.search.schema import _INSERT_WORDS, TABLE, WORDS, ensure_full_text
from rooms.search.scope import Scope
from tests.rooms.search.factories import (
    backfill,
    find_event_ids,
    list_mismatched,
    make_lobby,
    make_message,
)

pytestmark = [pytest.mark.django_db, pytest.mark.only_on("sqlite")]


def execute_sql(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_success_dropped_triggers_are_created_again() -> None:
    """And documents written without them are indexed."""
    room = make_lobby()
    first = make_message(room, "one word")
    backfill()
    for name in ("add", "take", "change"):
        execute_sql(f"DROP TRIGGER {WORDS}_{name}")
    second = make_message(room, "another word")
    documents.upsert(EventRange(Scope(), room.tenant_id, 0, second.stream_position))
    assert find_event_ids("word") == [first.pk]
    ensure_full_text()
    assert find_event_ids("word") == [second.pk, first.pk]
    third = make_message(room, "third word")
    backfill()
    assert find_event_ids("word") == [third.pk, second.pk, first.pk]


def test_success_a_backfill_repairs_documents_written_without_triggers() -> None:
    """Its counts are correct only if every document can be found by its words."""
    room = make_lobby()
    first = make_message(room, "one word")
    backfill()
    execute_sql(f"DROP TRIGGER {WORDS}_add")
    second = make_message(room, "another word")
    documents.upsert(EventRange(Scope(), room.tenant_id, 0, second.stream_position))
    execute_sql(f"CREATE TRIGGER {WORDS}_add AFTER INSERT ON {TABLE} BEGIN {_INSERT_WORDS} END")
    assert find_event_ids("word") == [first.pk]
    assert list_mismatched(backfill()) == []
    assert find_event_ids("word") == [second.pk, first.pk]


def test_success_a_dropped_table_is_created_again() -> None:
    message = make_message(make_lobby(), "one word")
    backfill()
    execute_sql(f"DROP TABLE {WORDS}")
    ensure_full_text()
    assert find_event_ids("word") == [message.pk]


def test_success_the_word_index_matches_the_documents() -> None:
    """FTS5 itself compares its index with the content."""
    room = make_lobby()
    for number in range(20):
        make_message(room, f"word {number}")
    backfill()
    backfill(restart=True)
    execute_sql(f"INSERT INTO {WORDS} ({WORDS}, rank) VALUES ('integrity-check', 1)")
    assert len(find_event_ids("word")) == 20


def test_success_the_words_are_looked_up_first() -> None:
    """Looking up each document of the tenant instead would take minutes if there are many."""
    make_message(make_lobby(), "word")
    backfill()
    with CaptureQueriesContext(connection) as queries:
        find_event_ids("word")
    (search,) = (query["sql"] for query in queries if " MATCH " in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {search}")
        plan = [row[-1] for row in cursor.fetchall()]
    assert f"SCAN {WORDS} VIRTUAL TABLE" in plan[0]

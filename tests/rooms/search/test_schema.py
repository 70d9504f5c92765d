from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.search import documents
from rooms.search.base import EventRange
from rooms.search.schema import _ADD, TABLE, WORDS, ensure_full_text
from rooms.search.scope import Scope
from tests.rooms.search.places import backfill, found, lobby, say

pytestmark = [pytest.mark.django_db, pytest.mark.only_on("sqlite")]


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_success_triggers_that_a_migration_took_away_come_back() -> None:
    """And what was written without them is found."""
    room = lobby()
    first = say(room, "one word")
    backfill()
    for name in ("add", "take", "change"):
        run(f"DROP TRIGGER {WORDS}_{name}")
    second = say(room, "another word")
    documents.upsert(EventRange(Scope(), room.tenant_id, 0, second.stream_position))
    assert found("word") == [first.pk]
    ensure_full_text()
    assert found("word") == [second.pk, first.pk]
    third = say(room, "third word")
    backfill()
    assert found("word") == [third.pk, second.pk, first.pk]


def test_success_a_backfill_mends_what_was_written_without_triggers() -> None:
    """Its counts are right only if every document is found by its words."""
    room = lobby()
    first = say(room, "one word")
    backfill()
    run(f"DROP TRIGGER {WORDS}_add")
    second = say(room, "another word")
    documents.upsert(EventRange(Scope(), room.tenant_id, 0, second.stream_position))
    run(f"CREATE TRIGGER {WORDS}_add AFTER INSERT ON {TABLE} BEGIN {_ADD} END")
    assert found("word") == [first.pk]
    assert backfill().wrong == []
    assert found("word") == [second.pk, first.pk]


def test_success_the_table_comes_back() -> None:
    said = say(lobby(), "one word")
    backfill()
    run(f"DROP TABLE {WORDS}")
    ensure_full_text()
    assert found("word") == [said.pk]


def test_success_it_agrees_with_the_documents() -> None:
    """FTS5 looks itself whether its index is that of the content."""
    room = lobby()
    for number in range(20):
        say(room, f"word {number}")
    backfill()
    backfill(restart=True)
    run(f"INSERT INTO {WORDS} ({WORDS}, rank) VALUES ('integrity-check', 1)")


def test_success_the_words_are_looked_up_first() -> None:
    """And not each document of the tenant, which takes minutes where there are many."""
    say(lobby(), "word")
    backfill()
    with CaptureQueriesContext(connection) as asked:
        found("word")
    (search,) = (query["sql"] for query in asked if " MATCH " in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {search}")
        plan = [row[-1] for row in cursor.fetchall()]
    assert f"SCAN {WORDS} VIRTUAL TABLE" in plan[0]

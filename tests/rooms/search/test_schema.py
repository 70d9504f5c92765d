from __future__ import annotations

import pytest
from django.db import connection

from rooms.search.schema import WORDS, keep_full_text
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
    backfill()
    assert found("word") == [first.pk]
    keep_full_text()
    assert found("word") == [second.pk, first.pk]
    third = say(room, "third word")
    backfill()
    assert found("word") == [third.pk, second.pk, first.pk]


def test_success_the_table_comes_back() -> None:
    said = say(lobby(), "one word")
    backfill()
    run(f"DROP TABLE {WORDS}")
    keep_full_text()
    assert found("word") == [said.pk]


def test_success_it_agrees_with_the_documents() -> None:
    """FTS5 looks itself whether its index is that of the content."""
    room = lobby()
    for number in range(20):
        say(room, f"word {number}")
    backfill()
    backfill(restart=True)
    run(f"INSERT INTO {WORDS} ({WORDS}, rank) VALUES ('integrity-check', 1)")

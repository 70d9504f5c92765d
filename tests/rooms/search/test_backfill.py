from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from rooms.models import SearchBackfill, SearchDocument, SearchRange
from rooms.search import documents, runs, worker
from rooms.search.base import EventRange
from rooms.search.database import SearchIndex
from rooms.search.queries import BackfillOptions, get_search_plan
from rooms.search.schema import GIN, has_word_index
from rooms.search.scope import Scope
from scaiwave.core.errors import InsufficientPermission, UsageError
from scaiwave.core.report import Report
from tenants.models import AuditEntry
from tests.rooms.search.factories import (
    NOW,
    backfill,
    edit_message,
    find_event_ids,
    make_lobby,
    make_message,
    redact_message,
)
from tests.tenants.factories import HOST_OPERATOR, READ_ONLY_OPERATOR, make_tenant_admin

pytestmark = pytest.mark.django_db


def get_counts(result: Report | None = None, **options: Any) -> dict[str, tuple[int, ...]]:
    """Return eligible, indexed, missing, stale; for a run also written and removed."""
    plan = get_search_plan(operator=HOST_OPERATOR, options=BackfillOptions(**options))
    rows = (result or plan).figures["tenants"]
    names = ["eligible", "indexed", "missing", "stale"]
    names += ["written", "removed"] if result else []
    return {row["tenant"]: tuple(row[name] for name in names) for row in rows}


def test_success_plan_changes_nothing() -> None:
    room = make_lobby()
    make_lobby("globex")
    messages = [make_message(room, f"word {number}") for number in range(6)]
    make_message(room, "not me", do_not_index=True)
    backfill()
    make_message(room, "new")
    edit_message(messages[0], "word edited")
    redact_message(messages[1])
    messages[2].delete()
    before = SearchDocument.objects.count(), SearchBackfill.objects.count()
    assert get_counts() == {"acme": (5, 3, 1, 3), "globex": (0, 0, 0, 0)}
    assert get_counts(tenant="globex") == {"globex": (0, 0, 0, 0)}
    assert (SearchDocument.objects.count(), SearchBackfill.objects.count()) == before


def test_success_repeated_writes_only_changes() -> None:
    room = make_lobby()
    messages = [make_message(room, f"word {number}") for number in range(5)]
    assert get_counts(backfill()) == {"acme": (5, 5, 0, 0, 5, 0)}
    assert get_counts(backfill()) == {"acme": (5, 5, 0, 0, 0, 0)}
    edit_message(messages[0], "edited")
    redact_message(messages[1])
    make_message(room, "new")
    assert get_counts(backfill()) == {"acme": (5, 5, 0, 0, 2, 1)}
    assert find_event_ids("edited") == [messages[0].pk]
    assert find_event_ids("0") == []
    edit_message(messages[0], "again")
    assert get_counts(backfill()) == {"acme": (5, 5, 0, 0, 1, 0)}
    assert (find_event_ids("edited"), find_event_ids("again")) == ([], [messages[0].pk])


def test_success_documents_of_deleted_events_are_removed() -> None:
    room = make_lobby()
    message = make_message(room, "deleted")
    make_message(room, "kept")
    backfill()
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM sw_events WHERE stream_position = %s", [message.stream_position]
        )
    assert get_counts() == {"acme": (1, 1, 0, 1)}
    assert get_counts(backfill()) == {"acme": (1, 1, 0, 0, 0, 1)}
    assert SearchDocument.objects.count() == 1


def test_success_a_tenant_without_events() -> None:
    message = make_message(make_lobby(), "deleted")
    backfill()
    message.delete()
    assert get_counts() == {"acme": (0, 0, 0, 1)}
    assert get_counts(backfill()) == {"acme": (0, 0, 0, 0, 0, 1)}
    assert SearchDocument.objects.count() == 0


def test_success_restart_writes_everything() -> None:
    room = make_lobby()
    message = make_message(room, "one")
    backfill()
    SearchDocument.objects.update(body="wrong")
    assert get_counts(backfill()) == {"acme": (1, 1, 0, 0, 0, 0)}
    assert (find_event_ids("one"), find_event_ids("wrong")) == ([], [message.pk])
    assert get_counts(backfill(restart=True)) == {"acme": (1, 1, 0, 0, 1, 0)}
    assert (find_event_ids("one"), find_event_ids("wrong")) == ([message.pk], [])


def test_success_limited_to_a_tenant_a_room_or_a_time() -> None:
    first, second, other = make_lobby(room_alias="first"), make_lobby(), make_lobby("globex")
    for room in (first, second, other):
        make_message(room, "word", created_at=NOW - timedelta(days=3))
    late = make_message(second, "word", created_at=NOW)
    assert get_counts(backfill(tenant="acme", room="first")) == {"acme": (1, 1, 0, 0, 1, 0)}
    assert get_counts(backfill(since=NOW)) == {
        "acme": (1, 1, 0, 0, 1, 0),
        "globex": (0, 0, 0, 0, 0, 0),
    }
    assert find_event_ids("word", room=str(second.pk)) == [late.pk]
    assert get_counts(backfill(tenant="globex")) == {"globex": (1, 1, 0, 0, 1, 0)}
    assert get_counts() == {"acme": (3, 2, 1, 0), "globex": (1, 1, 0, 0)}


def test_success_since_includes_edits_and_redactions() -> None:
    room = make_lobby()
    edited, redacted = (
        make_message(room, "old", created_at=NOW - timedelta(days=9)) for _ in range(2)
    )
    backfill()
    edit_message(edited, "new")
    redact_message(redacted)
    assert get_counts(backfill(since=NOW)) == {"acme": (1, 1, 0, 0, 1, 1)}


def test_success_many_steps_and_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RANGE_EVENTS", 7)
    monkeypatch.setattr(worker, "INITIAL_BATCH_EVENTS", 2)
    monkeypatch.setattr(worker, "MAX_BATCH_EVENTS", 3)
    monkeypatch.setattr(worker, "MIN_BATCH_EVENTS", 2)
    rooms = [make_lobby(), make_lobby("globex")]
    message_ids = {make_message(rooms[number % 2], "word").pk for number in range(50)}
    calls: list[tuple[int, int | None]] = []
    from rooms.search.backfill import backfill_search

    backfill_search(
        operator=HOST_OPERATOR,
        options=BackfillOptions(),
        clock=lambda: NOW,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert {
        *find_event_ids("word", limit=99),
        *find_event_ids("word", tenant="globex", limit=99),
    } == message_ids
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {50}
    assert calls[-1] == (50, 50)
    assert SearchRange.objects.count() == 0


def test_success_an_unfinished_run_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    room = make_lobby()
    for _ in range(4):
        make_message(room, "word")
    run = runs.get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)
    search_range = run.ranges.get()
    search_range.done_through = search_range.first
    search_range.save()
    plan = get_search_plan(operator=HOST_OPERATOR, options=BackfillOptions())
    assert plan.figures["unfinished"] == {
        "run_id": run.pk,
        "started_at": NOW,
        "ranges": 1,
        "ranges_left": 1,
    }
    result = backfill()
    assert (result.figures["run_id"], result.figures["resumed"]) == (run.pk, True)
    # The range continued after the checkpoint; completion indexed what was missing before it.
    assert get_counts(result) == {"acme": (4, 4, 0, 0, 4, 0)}
    plan = get_search_plan(operator=HOST_OPERATOR, options=BackfillOptions())
    assert plan.figures["unfinished"] is None


def test_success_restart_discards_an_unfinished_run() -> None:
    make_message(make_lobby(), "word")
    run = runs.get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)
    assert backfill(restart=True).figures["run_id"] != run.pk
    assert not SearchBackfill.objects.filter(pk=run.pk).exists()


def test_success_the_word_index_is_created_at_the_end() -> None:
    if connection.vendor == "postgresql":  # A test that commits may have left it.
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX IF EXISTS {GIN}")
    make_message(make_lobby(), "word")
    runs.get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)
    assert has_word_index() is (connection.vendor == "sqlite")
    backfill()
    assert has_word_index()


def test_success_nothing_to_do() -> None:
    assert backfill().figures["tenants"] == []
    make_lobby()
    assert get_counts(backfill()) == {}


def test_success_the_run_is_audited() -> None:
    make_message(make_lobby(), "word")
    backfill(tenant="acme")
    entry = AuditEntry.objects.get(action="backfill-search-index")
    assert (entry.operator, entry.tenant_slug) == ("root", "acme")
    assert entry.details == {"restart": False, "ranges": 1}
    run = SearchBackfill.objects.get()
    started = f"started {run.started_at:%Y-%m-%d %H:%M:%S UTC}"
    assert entry.subject_name == f"tenant acme, {started}"
    run.tenant_id = None
    assert str(run) == f"all messages, {started}"


def test_fail_room_without_tenant() -> None:
    with pytest.raises(UsageError, match=r"^--room needs --tenant\.$"):
        backfill(room="lobby")


def test_fail_not_allowed() -> None:
    from rooms.search.backfill import backfill_search, enqueue_backfill

    administrator = make_tenant_admin(make_lobby().tenant)
    with pytest.raises(InsufficientPermission):
        get_search_plan(operator=administrator, options=BackfillOptions())
    for operator in (administrator, READ_ONLY_OPERATOR):
        with pytest.raises(InsufficientPermission):
            backfill_search(operator=operator, options=BackfillOptions(), clock=lambda: NOW)
        with pytest.raises(InsufficientPermission):
            enqueue_backfill(operator=operator, options=BackfillOptions(), now=NOW)


@pytest.mark.only_on("postgresql")
def test_success_step_reads_its_range_only_whatever_the_statistics_say() -> None:
    """After all documents were deleted, PostgreSQL expects none, while others write them again."""
    room = make_lobby()
    positions = [make_message(room, "word").stream_position for _ in range(300)]
    backfill()
    SearchDocument.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sw_search_documents")
        cursor.execute("SET LOCAL enable_seqscan = off")  # so few rows would be read as a whole
    everything = EventRange(Scope(), room.tenant_id, 0, positions[-1])
    documents.upsert(everything)

    with count_rows_read() as rows_read:
        SearchIndex().index(replace(everything, after=positions[9], through=positions[19]))

    assert len(rows_read) == 2
    assert max(rows_read) <= 3 * 10 * 10


@contextmanager
def count_rows_read() -> Iterator[list[int]]:
    """Yield a list that gets the number of rows that each writing statement read."""
    counts: list[int] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.lstrip().startswith(("INSERT", "DELETE")):
            return execute(sql, params, many, context)
        result = execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params, many, context)
        ((plan,),) = context["cursor"].fetchall()
        counts.append(sum(_list_rows_read(plan[0]["Plan"])))
        return result

    with connection.execute_wrapper(explain):
        yield counts


def _list_rows_read(node: dict[str, Any]) -> Iterator[int]:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    if node["Node Type"].endswith("Scan"):
        yield int((node["Actual Rows"] + removed) * node["Actual Loops"])
    for child in node.get("Plans", ()):
        yield from _list_rows_read(child)

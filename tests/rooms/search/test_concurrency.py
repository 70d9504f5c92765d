"""Changes by other processes while a backfill is in progress."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.db.models import F

from rooms.errors import BackfillSuperseded
from rooms.models import SearchBackfill, SearchRange
from rooms.search import runs, worker
from rooms.search.backfill import backfill_one_range
from rooms.search.base import EventRange, IndexCounts, IndexingResult
from rooms.search.completion import MAX_KEPT_RUNS
from rooms.search.database import SearchIndex
from rooms.search.queries import BackfillOptions
from rooms.search.runs import get_or_create_run
from rooms.search.scope import Scope
from rooms.search.worker import MAX_BATCH_EVENTS, MIN_BATCH_EVENTS, BatchSizer, RangeWorker
from scaiwave.core.locks import process_lock
from tests.rooms.search.factories import (
    NOW,
    backfill,
    edit_message,
    find_event_ids,
    list_mismatched,
    make_lobby,
    make_message,
    redact_message,
)
from tests.tenants.factories import HOST_OPERATOR

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("moment", ["begin_backfill", "end_backfill"])
def test_fail_restarted_by_another_process(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    make_message(make_lobby(), "word")
    monkeypatch.setattr(SearchIndex, moment, lambda self: SearchBackfill.objects.all().delete())
    with pytest.raises(
        BackfillSuperseded, match=r"^This backfill was restarted by another process\.$"
    ):
        backfill()


def test_success_a_job_whose_run_was_restarted_is_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_message(make_lobby(), "word")
    run = get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)
    monkeypatch.setattr(
        SearchIndex, "end_backfill", lambda self: SearchBackfill.objects.all().delete()
    )
    result = backfill_one_range(operator=HOST_OPERATOR, run_id=run.pk, clock=lambda: NOW)
    assert result["finished"]


def test_success_two_start_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second joins the first, unless the second is a restart and the first is not."""
    make_message(make_lobby(), "word")
    original = runs._create_run

    def act_first(*arguments: Any) -> SearchBackfill:
        monkeypatch.setattr(runs, "_create_run", original)
        original(HOST_OPERATOR, Scope(), BackfillOptions(), [], NOW)
        return original(*arguments)

    monkeypatch.setattr(runs, "_create_run", act_first)
    joined = get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)
    assert joined == SearchBackfill.objects.get()
    joined.delete()
    monkeypatch.setattr(runs, "_create_run", act_first)
    assert get_or_create_run(HOST_OPERATOR, BackfillOptions(restart=True), NOW).rewrite
    assert SearchBackfill.objects.count() == 1


def test_success_a_message_that_keeps_changing_is_indexed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = make_message(make_lobby(), "word")
    original, calls = SearchIndex.count, []

    def count(self: SearchIndex, *arguments: Any) -> dict[UUID, IndexCounts]:
        calls.append(arguments)
        if len(calls) < 3:
            edit_message(message, f"word {len(calls)}")
        return original(self, *arguments)

    monkeypatch.setattr(SearchIndex, "count", count)
    assert list_mismatched(backfill()) == []
    assert find_event_ids("2") == [message.pk]


def test_success_completion_repairs_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other writers wait no longer for it than for any other step."""
    monkeypatch.setattr(worker, "INITIAL_BATCH_EVENTS", 2)
    monkeypatch.setattr(worker, "MAX_BATCH_EVENTS", 2)
    monkeypatch.setattr(worker, "MIN_BATCH_EVENTS", 2)
    room = make_lobby()
    messages = [make_message(room, "word") for _ in range(7)]
    original, event_ranges = SearchIndex.index, list[EventRange]()

    def index(self: SearchIndex, event_range: EventRange) -> IndexingResult:
        event_ranges.append(event_range)
        return original(self, event_range)

    monkeypatch.setattr(SearchIndex, "index", index)
    monkeypatch.setattr(SearchIndex, "end_backfill", lambda self: redact_message(messages[0]))
    assert list_mismatched(backfill()) == []
    assert len(event_ranges) == 8
    assert {event_range.through - event_range.after for event_range in event_ranges} == {1, 2}


def test_success_old_runs_are_deleted() -> None:
    """Except the last full run, which `doctor` reports."""
    make_message(make_lobby(), "word")
    backfill()
    for day in range(MAX_KEPT_RUNS + 3):
        backfill(since=NOW - timedelta(days=day))
    assert SearchBackfill.objects.filter(since=None).count() == 1
    assert SearchBackfill.objects.exclude(since=None).count() == MAX_KEPT_RUNS


def test_success_the_second_process_at_a_range_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    make_message(make_lobby(), "word")
    run = get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)
    original = SearchIndex.index

    def act_first(self: SearchIndex, event_range: EventRange) -> IndexingResult:
        SearchRange.objects.update(done_through=F("last"), written=7)
        return original(self, event_range)

    monkeypatch.setattr(SearchIndex, "index", act_first)
    event_range = run.ranges.get()
    assert RangeWorker(SearchIndex(), run, lambda done, total: None).process_range(event_range.pk)
    event_range.refresh_from_db()
    assert (event_range.done_through, event_range.written) == (event_range.last, 7)


@pytest.mark.django_db(transaction=True)
def test_fail_a_step_whose_progress_is_not_saved_has_written_nothing() -> None:
    """Otherwise the next process finds its documents, and the run reports too few."""
    make_message(make_lobby(), "word")
    run = get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)

    def lose_connection(execute: Any, sql: str, *arguments: Any) -> Any:
        if sql.startswith('UPDATE "sw_search_ranges"'):
            raise OperationalError("lost")
        return execute(sql, *arguments)

    first = RangeWorker(SearchIndex(), run, lambda done, total: None)
    with connection.execute_wrapper(lose_connection), pytest.raises(OperationalError, match="lost"):
        first.process_range(run.ranges.get().pk)
    result = backfill_one_range(operator=HOST_OPERATOR, run_id=run.pk, clock=lambda: NOW)
    run.refresh_from_db()
    assert result["finished"]
    assert [tenant["written"] for tenant in (run.outcome or {})["tenants"]] == [1]


@pytest.mark.only_on("sqlite")
def test_success_a_range_locked_by_another_process_is_skipped() -> None:
    make_message(make_lobby(), "word")
    run = get_or_create_run(HOST_OPERATOR, BackfillOptions(), NOW)
    event_range = run.ranges.get()
    with process_lock(f"search-range-{event_range.pk.hex}"):
        assert not RangeWorker(SearchIndex(), run, lambda done, total: None).process_range(
            event_range.pk
        )
    assert run.ranges.get().done_through == event_range.first - 1


def test_success_a_message_is_redacted_behind_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Completion removes it."""
    room = make_lobby()
    remaining, redacted = make_message(room, "word"), make_message(room, "word")
    original = SearchIndex.end_backfill

    def end_backfill(self: SearchIndex) -> None:
        redact_message(redacted)
        original(self)

    monkeypatch.setattr(SearchIndex, "end_backfill", end_backfill)
    (row,) = backfill().figures["tenants"]
    assert (row["written"], row["removed"], row["stale"]) == (2, 1, 0)
    assert find_event_ids("word") == [remaining.pk]


def test_success_steps_aim_at_a_second() -> None:
    sizer = BatchSizer()
    sizer.record(2_000, 0.1)
    assert sizer.events == 8_000  # no more than four times as many
    sizer.record(8_000, 2.0)
    assert sizer.events == 4_000
    sizer.record(4_000, 100.0)
    assert sizer.events == 1_000  # no less than a quarter
    for _ in range(20):
        sizer.record(sizer.events, 0.0)
    assert sizer.events == MAX_BATCH_EVENTS
    for _ in range(20):
        sizer.record(sizer.events, 1e9)
    assert sizer.events == MIN_BATCH_EVENTS

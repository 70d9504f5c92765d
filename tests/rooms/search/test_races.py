"""What others do while a backfill is at work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F

from rooms.errors import BackfillSuperseded
from rooms.models import SearchBackfill, SearchRange
from rooms.search.base import Counts, EventRange, IndexingResult
from rooms.search.database import DatabaseIndex
from rooms.search.scope import Scope
from rooms.services.search import runs
from rooms.services.search import worker as search_ranges
from rooms.services.search.backfill import backfill_one_range
from rooms.services.search.completion import KEPT
from rooms.services.search.runs import BackfillOptions, get_or_create_run
from rooms.services.search.worker import LARGEST_STEP, SMALLEST_STEP, BatchSizer, RangeWorker
from scaiwave.locks import process_lock
from tests.rooms.search.places import NOW, backfill, edit, found, lobby, redact, say
from tests.tenants.people import HOST

pytestmark = pytest.mark.django_db


def test_fail_somebody_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    say(lobby(), "word")
    monkeypatch.setattr(DatabaseIndex, "begin", lambda self: SearchBackfill.objects.all().delete())
    with pytest.raises(
        BackfillSuperseded, match=r"^Somebody has begun this backfill anew meanwhile\.$"
    ):
        backfill()


def test_fail_somebody_begins_anew_at_the_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    say(lobby(), "word")
    monkeypatch.setattr(DatabaseIndex, "end", lambda self: SearchBackfill.objects.all().delete())
    with pytest.raises(BackfillSuperseded):
        backfill()


def test_success_a_worker_whose_run_was_given_up_is_just_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say(lobby(), "word")
    run = get_or_create_run(HOST, BackfillOptions(), NOW)
    monkeypatch.setattr(DatabaseIndex, "end", lambda self: SearchBackfill.objects.all().delete())
    done = backfill_one_range(operator=HOST, run_id=run.pk, now=lambda: NOW)
    assert done["finished"]


def test_success_both_begin_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second joins the first, unless that one does less than it was asked for."""
    say(lobby(), "word")
    really = runs._made

    def overtaken(*given: Any) -> SearchBackfill:
        monkeypatch.setattr(runs, "_made", really)
        really(HOST, Scope(), BackfillOptions(), [], NOW)
        return really(*given)

    monkeypatch.setattr(runs, "_made", overtaken)
    joined = get_or_create_run(HOST, BackfillOptions(), NOW)
    assert joined == SearchBackfill.objects.get()
    joined.delete()
    monkeypatch.setattr(runs, "_made", overtaken)
    assert get_or_create_run(HOST, BackfillOptions(restart=True), NOW).rewrite
    assert SearchBackfill.objects.count() == 1


def test_success_what_goes_on_being_edited_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = say(lobby(), "word")
    really, looks = DatabaseIndex.counts, []

    def counts(self: DatabaseIndex, *given: Any) -> dict[UUID, Counts]:
        looks.append(given)
        if len(looks) < 3:
            edit(said, f"word {len(looks)}")
        return really(self, *given)

    monkeypatch.setattr(DatabaseIndex, "counts", counts)
    assert backfill().wrong == []
    assert found("2") == [said.pk]


def test_success_the_end_looks_again_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait no longer for it than for any other step."""
    monkeypatch.setattr(search_ranges, "FIRST_STEP", 2)
    monkeypatch.setattr(search_ranges, "LARGEST_STEP", 2)
    monkeypatch.setattr(search_ranges, "SMALLEST_STEP", 2)
    room = lobby()
    said = [say(room, "word") for _ in range(7)]
    really, parts = DatabaseIndex.index, list[EventRange]()

    def index(self: DatabaseIndex, part: EventRange) -> IndexingResult:
        parts.append(part)
        return really(self, part)

    monkeypatch.setattr(DatabaseIndex, "index", index)
    monkeypatch.setattr(DatabaseIndex, "end", lambda self: redact(said[0]))
    assert backfill().wrong == []
    assert len(parts) == 8
    assert {part.through - part.after for part in parts} == {1, 2}


def test_success_old_runs_are_forgotten() -> None:
    """But for the last that looked at everything, which doctor goes by."""
    say(lobby(), "word")
    backfill()
    for day in range(KEPT + 3):
        backfill(since=NOW - timedelta(days=day))
    assert SearchBackfill.objects.filter(since=None).count() == 1
    assert SearchBackfill.objects.exclude(since=None).count() == KEPT


def test_success_the_second_at_a_range_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    say(lobby(), "word")
    run = get_or_create_run(HOST, BackfillOptions(), NOW)
    really = DatabaseIndex.index

    def overtaken(self: DatabaseIndex, part: EventRange) -> IndexingResult:
        SearchRange.objects.update(done_through=F("last"), written=7)
        return really(self, part)

    monkeypatch.setattr(DatabaseIndex, "index", overtaken)
    part = run.ranges.get()
    assert RangeWorker(DatabaseIndex(), run, lambda done, total: None).take(part.pk)
    part.refresh_from_db()
    assert (part.done_through, part.written) == (part.last, 7)


@pytest.mark.only_on("sqlite")
def test_success_a_range_that_somebody_holds_is_left_alone() -> None:
    say(lobby(), "word")
    run = get_or_create_run(HOST, BackfillOptions(), NOW)
    part = run.ranges.get()
    with process_lock(f"search-range-{part.pk.hex}"):
        assert not RangeWorker(DatabaseIndex(), run, lambda done, total: None).take(part.pk)
    assert run.ranges.get().done_through == part.first - 1


def test_success_a_message_is_taken_back_behind_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end sees to it."""
    room = lobby()
    kept, taken_back = say(room, "word"), say(room, "word")
    really = DatabaseIndex.end

    def end(self: DatabaseIndex) -> None:
        redact(taken_back)
        really(self)

    monkeypatch.setattr(DatabaseIndex, "end", end)
    (row,) = backfill().tenants
    assert (row["written"], row["removed"], row["stale"]) == (2, 1, 0)
    assert found("word") == [kept.pk]


def test_success_steps_aim_at_a_second() -> None:
    pace = BatchSizer()
    pace.took(2_000, 0.1)
    assert pace.step == 8_000  # no more than four times as many
    pace.took(8_000, 2.0)
    assert pace.step == 4_000
    pace.took(4_000, 100.0)
    assert pace.step == 1_000  # no less than a quarter
    for _ in range(20):
        pace.took(pace.step, 0.0)
    assert pace.step == LARGEST_STEP
    for _ in range(20):
        pace.took(pace.step, 1e9)
    assert pace.step == SMALLEST_STEP

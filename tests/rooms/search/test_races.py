"""What others do while a backfill is at work."""

from __future__ import annotations

import pytest
from django.db.models import F

from rooms.errors import BackfillGivenUp
from rooms.models import SearchBackfill, SearchRange
from rooms.search.database import DatabaseIndex
from rooms.search.engine import Part, Written
from rooms.services.search_ranges import LARGEST_STEP, SMALLEST_STEP, Pace, RangeWorker
from rooms.services.search_runs import Wish, begun_run
from scaiwave.process_locks import process_lock
from tests.rooms.search.places import NOW, backfill, found, lobby, redact, say
from tests.tenants.people import HOST

pytestmark = pytest.mark.django_db


def test_fail_somebody_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    say(lobby(), "word")
    monkeypatch.setattr(DatabaseIndex, "begin", lambda self: SearchBackfill.objects.all().delete())
    with pytest.raises(
        BackfillGivenUp, match=r"^Somebody has begun this backfill anew meanwhile\.$"
    ):
        backfill()


def test_success_the_second_at_a_range_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    say(lobby(), "word")
    run = begun_run(HOST, Wish(), NOW)
    really = DatabaseIndex.index

    def overtaken(self: DatabaseIndex, part: Part) -> Written:
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
    run = begun_run(HOST, Wish(), NOW)
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
    pace = Pace()
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

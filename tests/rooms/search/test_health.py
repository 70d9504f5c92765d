from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rooms.models import SearchBackfill
from rooms.queries import search_health
from rooms.queries.search_health import check_search
from rooms.search import documents
from scaiwave.doctor.findings import State
from tests.rooms.search.places import backfill, lobby, say

pytestmark = pytest.mark.django_db
_FIX = "Run scripts/backfill_search_index.py --execute, every hour or night by cron."


def looked(later: timedelta = timedelta()) -> list[tuple[State, str, str]]:
    findings = check_search(datetime.now(UTC) + later)
    return [(finding.state, finding.message, finding.fix) for finding in findings]


def began() -> str:
    run = SearchBackfill.objects.latest("started_at")
    return f"{run.started_at:%Y-%m-%d %H:%M} UTC"


def test_success_nothing_was_ever_indexed() -> None:
    lobby()
    backfill(tenant="acme")  # which is not the whole platform
    message = "No backfill of the whole platform has ended; search may find nothing."
    assert looked() == [(State.PASS, message, "")]


def test_success_up_to_date_and_a_little_late() -> None:
    room = lobby()
    say(room, "one")
    backfill()
    message = f"Up to date; the last backfill began at {began()}."
    assert looked(timedelta(days=9)) == [(State.PASS, message, "")]
    say(room, "two")
    say(lobby("globex"), "three")
    say(room, "hidden", do_not_index=True)
    message = f"2 messages are not indexed yet; the last backfill began at {began()}."
    assert looked() == [(State.PASS, message, "")]


def test_fail_late(monkeypatch: pytest.MonkeyPatch) -> None:
    backfill()
    room = lobby()
    for number in range(4):
        say(room, f"word {number}")
    message = f"4 messages are not indexed yet; the last backfill began at {began()}."
    assert looked(timedelta(days=2)) == [(State.WARN, message, _FIX)]
    monkeypatch.setattr(search_health, "MOST_COUNTED", 3)
    message = f"3 or more messages are not indexed yet; the last backfill began at {began()}."
    assert looked(timedelta(days=2)) == [(State.WARN, message, _FIX)]


def test_fail_the_last_backfill_left_it_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    say(lobby(), "one")
    monkeypatch.setattr(documents, "upsert", lambda part: 0)
    assert backfill().wrong == ["acme"]
    message = "The last backfill left the index of acme other than the events."
    fix = "Run scripts/backfill_search_index.py --execute; if it stays so, with --restart once."
    assert looked()[1:] == [(State.WARN, message, fix)]

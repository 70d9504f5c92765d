from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rooms.models import SearchBackfill
from rooms.search import documents
from scaiwave.config import load
from scaiwave.operations.doctor import rooms as health
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.rooms import check_search
from tests.rooms.search.factories import backfill, list_mismatched, make_lobby, make_message

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
_FIX = "Run `scaiwave room search-index --inline`, every hour or night from cron."


def run_check(later: timedelta = timedelta()) -> list[tuple[State, str, str]]:
    findings = check_search(load({}), datetime.now(UTC) + later)
    return [(finding.state, finding.message, finding.fix) for finding in findings]


def get_last_start() -> str:
    run = SearchBackfill.objects.latest("started_at")
    return f"{run.started_at:%Y-%m-%d %H:%M} UTC"


def test_fail_tenants_without_a_backfill() -> None:
    assert run_check() == [(State.PASS, "All messages are indexed.", "")]
    for slug in ("acme", "globex", *"abcdef"):
        room = make_lobby(slug)
        make_message(room, "one")
        make_message(room, "two")
    make_lobby("empty")
    message = (
        "16 messages are not in the search index: a (2), acme (2), b (2), c (2), d (2) and 3 more."
    )
    assert run_check() == [(State.WARN, message, _FIX)]
    for slug in ("globex", *"abcdef"):
        backfill(tenant=slug)
    message = "2 messages are not in the search index: acme (2)."
    assert run_check() == [(State.WARN, message, _FIX)]
    backfill(tenant="acme", room=str(make_lobby().pk))
    backfill(tenant="acme", since=datetime.now(UTC))
    assert run_check() == [(State.WARN, message, _FIX)]
    backfill(tenant="acme")
    assert run_check() == [(State.PASS, "All messages are indexed.", "")]
    make_message(make_lobby(), "three")
    message = "1 message is not in the search index: acme (1)."
    assert run_check() == [(State.PASS, message, "")]
    assert run_check(timedelta(days=2)) == [(State.WARN, message, _FIX)]


def test_success_up_to_date_and_slightly_late() -> None:
    room = make_lobby()
    make_message(room, "one")
    backfill()
    message = f"All messages are indexed. The last backfill started at {get_last_start()}."
    assert run_check(timedelta(days=9)) == [(State.PASS, message, "")]
    make_message(room, "two")
    make_message(make_lobby("globex"), "three")
    make_message(room, "hidden", do_not_index=True)
    message = (
        "2 messages are not in the search index: acme (1), globex (1). "
        f"The last backfill started at {get_last_start()}."
    )
    assert run_check() == [(State.PASS, message, "")]


def test_fail_a_backfill_of_the_future_does_not_count() -> None:
    make_lobby()
    backfill()
    ahead, none = run_check(timedelta(days=-2))
    assert (ahead[0], ahead[1]) == (
        State.WARN,
        f"A backfill is dated in the future: {get_last_start()}. It does not count.",
    )
    assert none == (State.PASS, "All messages are indexed.", "")
    backfill()
    assert run_check()[0][0] is State.PASS


def test_fail_late(monkeypatch: pytest.MonkeyPatch) -> None:
    backfill()
    room = make_lobby()
    for number in range(4):
        make_message(room, f"word {number}")
    started = f"The last backfill started at {get_last_start()}."
    message = f"4 messages are not in the search index: acme (4). {started}"
    assert run_check(timedelta(days=2)) == [(State.WARN, message, _FIX)]
    monkeypatch.setattr(health, "MAX_COUNTED_EVENTS", 3)
    message = f"At least 3 messages are not in the search index: acme (3). {started}"
    assert run_check(timedelta(days=2)) == [(State.WARN, message, _FIX)]


def test_fail_the_index_does_not_match_after_the_last_backfill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_message(make_lobby(), "one")
    monkeypatch.setattr(documents, "upsert", lambda part: 0)
    assert list_mismatched(backfill()) == ["acme"]
    message = "After the last backfill, the index for acme does not match the stored events."
    fix = "Run `scaiwave room search-index`; if the mismatch remains, add --restart once."
    unread = (
        "1 message is not in the search index: acme (1). "
        f"The last backfill started at {get_last_start()}."
    )
    assert run_check() == [(State.PASS, unread, ""), (State.WARN, message, fix)]

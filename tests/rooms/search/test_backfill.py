from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from rooms.models import SearchBackfill, SearchDocument, SearchRange
from rooms.queries.search_plan import search_plan
from rooms.search.schema import has_word_index
from rooms.services.search import runs
from rooms.services.search import worker as search_ranges
from rooms.services.search.backfill import BackfillResult
from rooms.services.search.runs import BackfillOptions
from scaiwave.errors import InsufficientPermission, UsageError
from tenants.models import AuditEntry
from tests.rooms.search.places import NOW, backfill, edit, found, lobby, redact, say
from tests.tenants.people import HOST, READER, tenant_admin

pytestmark = pytest.mark.django_db


def figures(of: BackfillResult | None = None, **wish: Any) -> dict[str, tuple[int, ...]]:
    """Eligible, indexed, missing, stale; of a run also written and removed."""
    rows = of.tenants if of else search_plan(operator=HOST, wish=BackfillOptions(**wish)).tenants
    names = ["eligible", "indexed", "missing", "stale", *(["written", "removed"] if of else [])]
    return {row["tenant"]: tuple(row[name] for name in names) for row in rows}


def test_success_plan_tells_and_changes_nothing() -> None:
    room = lobby()
    lobby("globex")
    said = [say(room, f"word {number}") for number in range(6)]
    say(room, "not me", do_not_index=True)
    backfill()
    say(room, "new")
    edit(said[0], "word edited")
    redact(said[1])
    said[2].delete()
    before = SearchDocument.objects.count(), SearchBackfill.objects.count()
    assert figures() == {"acme": (5, 3, 1, 3), "globex": (0, 0, 0, 0)}
    assert figures(tenant="globex") == {"globex": (0, 0, 0, 0)}
    assert (SearchDocument.objects.count(), SearchBackfill.objects.count()) == before


def test_success_again_writes_what_changed_and_nothing_else() -> None:
    room = lobby()
    said = [say(room, f"word {number}") for number in range(5)]
    assert figures(backfill()) == {"acme": (5, 5, 0, 0, 5, 0)}
    assert figures(backfill()) == {"acme": (5, 5, 0, 0, 0, 0)}
    edit(said[0], "edited")
    redact(said[1])
    say(room, "new")
    assert figures(backfill()) == {"acme": (5, 5, 0, 0, 2, 1)}
    assert found("edited") == [said[0].pk]
    assert found("0") == []
    edit(said[0], "again")
    assert figures(backfill()) == {"acme": (5, 5, 0, 0, 1, 0)}
    assert (found("edited"), found("again")) == ([], [said[0].pk])


def test_success_events_deleted_by_anybody_leave_nothing_behind() -> None:
    room = lobby()
    said = say(room, "gone")
    say(room, "kept")
    backfill()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sw_events WHERE stream_position = %s", [said.stream_position])
    assert figures() == {"acme": (1, 1, 0, 1)}
    assert figures(backfill()) == {"acme": (1, 1, 0, 0, 0, 1)}
    assert SearchDocument.objects.count() == 1


def test_success_a_tenant_of_which_nothing_is_left() -> None:
    said = say(lobby(), "gone")
    backfill()
    said.delete()
    assert figures() == {"acme": (0, 0, 0, 1)}
    assert figures(backfill()) == {"acme": (0, 0, 0, 0, 0, 1)}
    assert SearchDocument.objects.count() == 0


def test_success_restart_writes_everything() -> None:
    room = lobby()
    said = say(room, "one")
    backfill()
    SearchDocument.objects.update(body="wrong")
    assert figures(backfill()) == {"acme": (1, 1, 0, 0, 0, 0)}
    assert (found("one"), found("wrong")) == ([], [said.pk])
    assert figures(backfill(restart=True)) == {"acme": (1, 1, 0, 0, 1, 0)}
    assert (found("one"), found("wrong")) == ([said.pk], [])


def test_success_only_a_tenant_a_room_or_what_is_new() -> None:
    first, second, other = lobby(room_alias="first"), lobby(), lobby("globex")
    for room in (first, second, other):
        say(room, "word", created_at=NOW - timedelta(days=3))
    late = say(second, "word", created_at=NOW)
    assert figures(backfill(tenant="acme", room="first")) == {"acme": (1, 1, 0, 0, 1, 0)}
    assert figures(backfill(since=NOW)) == {
        "acme": (1, 1, 0, 0, 1, 0),
        "globex": (0, 0, 0, 0, 0, 0),
    }
    assert found("word", room=str(second.pk)) == [late.pk]
    assert figures(backfill(tenant="globex")) == {"globex": (1, 1, 0, 0, 1, 0)}
    assert figures() == {"acme": (3, 2, 1, 0), "globex": (1, 1, 0, 0)}


def test_success_since_takes_what_was_changed_since() -> None:
    room = lobby()
    edited, redacted = (say(room, "old", created_at=NOW - timedelta(days=9)) for _ in range(2))
    backfill()
    edit(edited, "new")
    redact(redacted)
    assert figures(backfill(since=NOW)) == {"acme": (1, 1, 0, 0, 1, 1)}


def test_success_many_steps_and_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RANGE_EVENTS", 7)
    monkeypatch.setattr(search_ranges, "FIRST_STEP", 2)
    monkeypatch.setattr(search_ranges, "LARGEST_STEP", 3)
    monkeypatch.setattr(search_ranges, "SMALLEST_STEP", 2)
    rooms = [lobby(), lobby("globex")]
    said = {say(rooms[number % 2], "word").pk for number in range(50)}
    told: list[tuple[int, int | None]] = []
    from rooms.services.search.backfill import backfill_search

    backfill_search(
        operator=HOST,
        wish=BackfillOptions(),
        now=lambda: NOW,
        progress=lambda done, total: told.append((done, total)),
    )
    assert {*found("word", limit=99), *found("word", tenant="globex", limit=99)} == said
    assert told == sorted(told)
    assert {total for _, total in told} == {50}
    assert told[-1] == (50, 50)
    assert SearchRange.objects.count() == 0


def test_success_an_unfinished_run_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    room = lobby()
    for _ in range(4):
        say(room, "word")
    run = runs.get_or_create_run(HOST, BackfillOptions(), NOW)
    part = run.ranges.get()
    part.done_through = part.first
    part.save()
    plan = search_plan(operator=HOST, wish=BackfillOptions())
    assert plan.unfinished == {
        "run_id": run.pk,
        "started_at": NOW,
        "ranges": 1,
        "ranges_left": 1,
    }
    done = backfill()
    assert (done.run_id, done.resumed) == (run.pk, True)
    # The range went on from the checkpoint; the end has found what it lacks before that.
    assert figures(done) == {"acme": (4, 4, 0, 0, 4, 0)}
    assert search_plan(operator=HOST, wish=BackfillOptions()).unfinished is None


def test_success_restart_gives_up_an_unfinished_run() -> None:
    say(lobby(), "word")
    run = runs.get_or_create_run(HOST, BackfillOptions(), NOW)
    assert backfill(restart=True).run_id != run.pk
    assert not SearchBackfill.objects.filter(pk=run.pk).exists()


def test_success_the_index_of_words_is_made_at_the_end() -> None:
    say(lobby(), "word")
    runs.get_or_create_run(HOST, BackfillOptions(), NOW)
    assert has_word_index() is (connection.vendor == "sqlite")
    backfill()
    assert has_word_index()


def test_success_nothing_to_do() -> None:
    assert backfill().tenants == []
    lobby()
    assert figures(backfill()) == {}


def test_success_the_run_is_in_the_audit() -> None:
    say(lobby(), "word")
    backfill(tenant="acme")
    entry = AuditEntry.objects.get(action="backfill-search-index")
    assert (entry.operator, entry.tenant_slug) == ("root", "acme")
    assert entry.details == {"restart": False, "ranges": 1}


def test_fail_room_without_tenant() -> None:
    with pytest.raises(UsageError, match=r"^A room is looked for in a tenant\.$"):
        backfill(room="lobby")


def test_fail_not_allowed() -> None:
    from rooms.services.search.backfill import backfill_search, enqueue_backfill

    tom = tenant_admin(lobby().tenant)
    with pytest.raises(InsufficientPermission):
        search_plan(operator=tom, wish=BackfillOptions())
    for operator in (tom, READER):
        with pytest.raises(InsufficientPermission):
            backfill_search(operator=operator, wish=BackfillOptions(), now=lambda: NOW)
        with pytest.raises(InsufficientPermission):
            enqueue_backfill(operator=operator, wish=BackfillOptions(), now=NOW)

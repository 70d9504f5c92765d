"""The script as operators start it, stop it and start it twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.rooms.search.server import BACKFILL, TENANTS, Database, answer, run, started
from tests.scaiwave.console import scaiwave

pytestmark = pytest.mark.once

INLINE = ("--execute", "--inline")
OLDEST = "SELECT id, event_id FROM sw_search_documents ORDER BY id LIMIT 3"
KILLS = int(os.environ.get("SCAIWAVE_TEST_KILLS", "3"))


def test_success_killed_again_and_again(database: Database) -> None:
    """What was done is not done again, and what is in the index stays findable."""
    database.say("acme", 60_000)
    first, reached = None, 0
    for _ in range(KILLS):
        with started(*BACKFILL, *INLINE, "--tenant", "acme") as process:
            database.wait_for_more(reached, process)
            process.kill()
            process.communicate()
        reached = database.progress()
        oldest = database.rows(OLDEST)
        assert oldest == (first or oldest)
        first = oldest
    assert "«the»" in scaiwave("room", "search", "the", "--tenant", "acme").out
    unfinished = answer("--tenant", "acme")["unfinished"]
    done = answer(*INLINE, "--tenant", "acme")
    assert (done["resumed"], done["run_id"]) == (True, unfinished["run_id"])
    (row,) = done["tenants"]
    assert (row["missing"], row["stale"]) == (0, 0)
    assert row["eligible"] == row["indexed"] == database.documents() > 30_000
    assert database.rows(OLDEST) == first
    assert answer(*INLINE, "--tenant", "acme")["tenants"][0]["written"] == 0


def test_success_two_at_once_do_each_range_once(database: Database) -> None:
    with started(*BACKFILL, *INLINE, "--json") as one, started(*BACKFILL, *INLINE, "--json") as two:
        told = [process.communicate(timeout=60) for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), told
    outcomes = [json.loads(out) for out, _ in told]
    # One run of both, unless the one was done before the other began.
    runs = {outcome["run_id"]: outcome["tenants"] for outcome in outcomes}
    written = sum(row["written"] for tenants in runs.values() for row in tenants)
    eligible = sum(row["eligible"] for row in outcomes[0]["tenants"])
    assert written == eligible == database.documents()


def test_success_stopped_by_a_signal(database: Database) -> None:
    database.say("acme", 30_000)
    with started(*BACKFILL, *INLINE) as process:
        database.wait_for_more(0, process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (143, False), err
    assert "[SW_TERMINATED]" in err
    assert answer()["unfinished"] is not None


def test_success_from_the_plan_to_a_message(database: Database) -> None:
    plan = run()
    lines = [line.split() for line in plan.out.splitlines()]
    assert lines[0] == ["Tenant", "Messages", "Indexed", "Missing", "Stale"]
    assert [line[0] for line in lines[1:]] == list(TENANTS)
    assert (plan.code, plan.err) == (
        0,
        "Nothing was changed; --execute does it, with --inline here.\n",
    )
    assert database.documents() == 0
    done = run(*INLINE)
    assert (done.code, done.err) == (0, "Done.\n")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == list(TENANTS)
    some = scaiwave("room", "search", "the", "--tenant", "acme", "--limit", "2", "--json")
    assert len(json.loads(some.out)["messages"]) == 2
    none = scaiwave("room", "search", "nosuchword", "--tenant", "acme")
    assert (none.code, none.out, none.err) == (0, "", "No messages.\n")


def test_fail_nothing_to_search_for(database: Database) -> None:
    empty = scaiwave("room", "search", " - ", "--tenant", "acme")
    assert (empty.code, empty.out, empty.err) == (
        2,
        "",
        "Error: There is no word to search for. [SW_SEARCH_EMPTY]\n"
        "  Fix: Name at least one word, of letters or digits.\n",
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--inline",), "--inline and --restart say how to do it."),
        (("--restart",), "--inline and --restart say how to do it."),
        (
            ("--execute", "--since", "yesterday"),
            "--since 'yesterday' is not a date, 2026-11-24T09:30, or how long ago: 90m, 12h, 7d.",
        ),
        (("--room", "lobby"), "A room is looked for in a tenant."),
    ],
)
def test_fail_usage(words: tuple[str, ...], error: str) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {error} [SW_USAGE]\n  Fix: ")


def test_fail_unknown_tenant(database: Database) -> None:
    ended = run("--tenant", "nobody")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: There is no tenant 'nobody'. [SW_TENANT_NOT_FOUND]")


def test_fail_no_redis(database: Database) -> None:
    ended = run("--execute")
    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        "Error: There is no queue: SCAIWAVE_REDIS_URL is not set. [SW_QUEUE_UNAVAILABLE]\n"
        "  Fix: Pass --inline to do it here, or set SCAIWAVE_REDIS_URL and start a worker.\n",
    )


def test_fail_redis_is_down(database: Database) -> None:
    ended = run("--execute", SCAIWAVE_REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        "Error: The Redis of SCAIWAVE_REDIS_URL can't be used (ConnectionError). "
        "[SW_QUEUE_UNAVAILABLE]\n"
        "  Fix: Pass --inline to do it here, or set SCAIWAVE_REDIS_URL and start a worker.\n",
    )
    assert database.rows("SELECT count(*) FROM sw_search_backfills") == [(0,)]


def test_fail_not_signed_in(database: Database) -> None:
    ended = run(*INLINE, SCAIWAVE_REQUIRE_ADMIN_TOKEN="true")
    assert (ended.code, "[SW_AUTH_TOKEN_REQUIRED]" in ended.err) == (3, True)


def test_fail_the_index_is_not_right(database: Database) -> None:
    """A database that refuses a document and says nothing of it, as one with a bad trigger."""
    if database.url.startswith("sqlite"):
        refuse = (
            "CREATE TRIGGER refuse BEFORE INSERT ON sw_search_documents "
            "BEGIN SELECT RAISE(IGNORE); END"
        )
    else:
        refuse = "CREATE RULE refuse AS ON INSERT TO sw_search_documents DO INSTEAD NOTHING"
    database.change(refuse)
    ended = run(*INLINE)
    assert ended.code == 1
    assert ended.err == (
        "Done.\n"
        "Error: The index is not what the events are in: acme, globex, initech, umbrella. "
        "[SW_SEARCH_INDEX_MISMATCH]\n"
        "  Fix: Run it again; if it stays so, run it once with --restart.\n"
    )


def test_success_help() -> None:
    ended = subprocess.run([*BACKFILL, "--help"], capture_output=True, text=True, check=True)
    assert "--inline" in ended.stdout


def test_fail_not_migrated(database_url: str) -> None:
    ended = run()
    assert (ended.code, "[SW_DATABASE_UNMIGRATED]" in ended.err) == (2, True)


@pytest.mark.only_on("postgresql")
def test_success_two_make_the_index_of_words_at_once(database: Database) -> None:
    """As backfills of two tenants may: the second waits, and finds it made."""
    import psycopg

    code = (
        "import django; django.setup()\n"
        "from rooms.search.schema import complete_full_text\n"
        "complete_full_text()\n"
    )
    with psycopg.connect(database.url) as first:
        first.execute("CREATE INDEX sw_search_documents_words ON sw_search_documents (remote)")
        with started(sys.executable, "-c", code) as second:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while database.rows(waits) == [(0,)]:
                assert second.poll() is None, second.communicate()
                time.sleep(0.02)
            first.commit()
            _, err = second.communicate(timeout=60)
    assert (second.returncode, err) == (0, "")

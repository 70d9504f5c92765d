"""The backfill script: started, interrupted, and started twice at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.rooms.search.helpers import (
    BACKFILL,
    TENANTS,
    DatabaseProbe,
    get_json,
    run_backfill,
    start_process,
)
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.tools import NIGHTLY

pytestmark = pytest.mark.once

INLINE = ("--execute", "--inline")
OLDEST = "SELECT id, event_id FROM sw_search_documents ORDER BY id LIMIT 3"
KILLS = int(os.environ.get("SCAIWAVE_TEST_KILLS", "3"))
MESSAGES = 60_000 if NIGHTLY else 15_000


def test_success_killed_several_times(database: DatabaseProbe) -> None:
    """Nothing is indexed twice, and what is in the index can be found throughout."""
    database.add_messages("acme", MESSAGES)
    first, reached = None, 0
    for _ in range(KILLS):
        with start_process(*BACKFILL, *INLINE, "--tenant", "acme") as process:
            database.wait_for_progress(process, beyond=reached)
            process.kill()
            process.communicate()
        reached = database.get_progress()
        oldest = database.rows(OLDEST)
        assert oldest == (first or oldest)
        first = oldest
    assert "«the»" in run_scaiwave("room", "search", "the", "--tenant", "acme").out
    unfinished = get_json("--tenant", "acme")["unfinished"]
    result = get_json(*INLINE, "--tenant", "acme")
    assert (result["resumed"], result["run_id"]) == (True, unfinished["run_id"])
    (row,) = result["tenants"]
    assert (row["missing"], row["stale"]) == (0, 0)
    assert row["eligible"] == row["indexed"] == database.count_documents() > MESSAGES // 2
    assert database.rows(OLDEST) == first
    assert get_json(*INLINE, "--tenant", "acme")["tenants"][0]["written"] == 0


def test_success_two_at_once_process_each_range_once(database: DatabaseProbe) -> None:
    with (
        start_process(*BACKFILL, *INLINE, "--json") as first,
        start_process(*BACKFILL, *INLINE, "--json") as second,
    ):
        communicated = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), communicated
    outcomes = [json.loads(out) for out, _ in communicated]
    # Both share one run, unless one ended before the other started.
    runs = {outcome["run_id"]: outcome["tenants"] for outcome in outcomes}
    written = sum(row["written"] for tenants in runs.values() for row in tenants)
    eligible = sum(row["eligible"] for row in outcomes[0]["tenants"])
    assert written == eligible == database.count_documents()


def test_success_stopped_by_a_signal(database: DatabaseProbe) -> None:
    database.add_messages("acme", 30_000)
    with start_process(*BACKFILL, *INLINE) as process:
        database.wait_for_progress(process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (143, False), err
    assert "[SW_TERMINATED]" in err
    assert get_json()["unfinished"] is not None


def test_success_plan_backfill_and_search(database: DatabaseProbe) -> None:
    plan = run_backfill()
    lines = [line.split() for line in plan.out.splitlines()]
    assert lines[0] == ["Tenant", "Messages", "Indexed", "Missing", "Stale"]
    assert [line[0] for line in lines[1:]] == list(TENANTS)
    assert (plan.code, plan.err) == (
        0,
        "This was a dry run; no changes were made.\n",
    )
    assert database.count_documents() == 0
    done = run_backfill(*INLINE)
    assert (done.code, done.err) == (0, "Done.\n")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == list(TENANTS)
    some = run_scaiwave("room", "search", "the", "--tenant", "acme", "--limit", "2", "--json")
    assert len(json.loads(some.out)["messages"]) == 2
    none = run_scaiwave("room", "search", "nosuchword", "--tenant", "acme")
    assert (none.code, none.out, none.err) == (0, "", "No messages.\n")


def test_success_the_command_does_the_same(database: DatabaseProbe) -> None:
    """By default it acts; the script needs --execute for that."""
    words = ("room", "search-index")
    plan = run_scaiwave(*words, "--dry-run")
    assert (plan.code, plan.out) == (0, run_backfill().out)
    assert plan.err == run_backfill().err
    queued = run_scaiwave(*words)
    assert (queued.code, "[SW_QUEUE_UNAVAILABLE]" in queued.err) == (2, True)
    done = run_scaiwave(*words, "--tenant", "acme", "--inline", "--json")
    assert json.loads(done.out)["dry_run"] is False
    assert database.count_documents() == json.loads(done.out)["tenants"][0]["eligible"]


def test_fail_search_text_without_a_word(database: DatabaseProbe) -> None:
    empty = run_scaiwave("room", "search", " - ", "--tenant", "acme")
    assert (empty.code, empty.out, empty.err) == (
        2,
        "",
        "Error: The search text contains no word. [SW_SEARCH_EMPTY]\n"
        "  Fix: Pass at least one word of letters or digits.\n",
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--inline",), "--inline and --restart need --execute."),
        (("--restart",), "--inline and --restart need --execute."),
        (
            ("--execute", "--since", "tomorrow"),
            "Argument --since: 'tomorrow' is not today, yesterday, a date, a time such as "
            "2026-11-24T09:30, or an age: 90m, 12h, 7d, 2 days ago.",
        ),
        (("--room", "lobby"), "--room needs --tenant."),
    ],
)
def test_fail_usage(words: tuple[str, ...], error: str) -> None:
    ended = run_backfill(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {error} [SW_USAGE]\n  Fix: ")


def test_fail_unknown_tenant(database: DatabaseProbe) -> None:
    ended = run_backfill("--tenant", "unknown")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: Tenant not found: unknown. [SW_TENANT_NOT_FOUND]")


def test_fail_no_redis(database: DatabaseProbe) -> None:
    ended = run_backfill("--execute")
    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        "Error: No job queue is configured: SCAIWAVE_REDIS_URL is not set. "
        "[SW_QUEUE_UNAVAILABLE]\n"
        "  Fix: Pass --inline to do it in this process, or set SCAIWAVE_REDIS_URL and start a "
        "worker.\n",
    )


def test_fail_redis_is_down(database: DatabaseProbe) -> None:
    ended = run_backfill("--execute", SCAIWAVE_REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        "Error: Redis can't be used: Error 111 connecting to 127.0.0.1:1. Connection refused. "
        "[SW_QUEUE_UNAVAILABLE]\n"
        "  Fix: Pass --inline to do it in this process. For the queue: Start Redis or correct "
        "SCAIWAVE_REDIS_URL. Commands still work, but scheduled jobs do not run.\n",
    )
    assert database.rows("SELECT count(*) FROM sw_search_backfills") == [(0,)]


def test_fail_not_signed_in(database: DatabaseProbe) -> None:
    ended = run_backfill(*INLINE, SCAIWAVE_REQUIRE_ADMIN_TOKEN="true")
    assert (ended.code, "[SW_AUTH_TOKEN_REQUIRED]" in ended.err) == (3, True)


def test_fail_the_index_does_not_match(database: DatabaseProbe) -> None:
    """The database silently ignores new documents, as with a faulty trigger."""
    if database.url.startswith("sqlite"):
        refuse = (
            "CREATE TRIGGER refuse BEFORE INSERT ON sw_search_documents "
            "BEGIN SELECT RAISE(IGNORE); END"
        )
    else:
        refuse = "CREATE RULE refuse AS ON INSERT TO sw_search_documents DO INSTEAD NOTHING"
    database.change(refuse)
    ended = run_backfill(*INLINE)
    assert ended.code == 1
    assert ended.err == (
        "Done.\n"
        "Error: The search index does not match the stored events of: acme, globex, initech, "
        "umbrella. [SW_SEARCH_INDEX_MISMATCH]\n"
        "  Fix: Run it again; if the mismatch remains, run it once with --restart.\n"
    )


def test_success_help() -> None:
    ended = subprocess.run([*BACKFILL, "--help"], capture_output=True, text=True, check=True)
    assert "--inline" in ended.stdout


def test_fail_not_migrated(database_url: str) -> None:
    ended = run_backfill()
    assert (ended.code, "[SW_DATABASE_UNMIGRATED]" in ended.err) == (2, True)


@pytest.mark.only_on("postgresql")
def test_success_two_create_the_word_index_at_once(database: DatabaseProbe) -> None:
    """The second waits and finds the index created, as may happen to backfills of two tenants."""
    import psycopg

    code = (
        "import django; django.setup()\n"
        "from rooms.search.schema import complete_full_text\n"
        "complete_full_text()\n"
    )
    with psycopg.connect(database.url) as first:
        first.execute("CREATE INDEX sw_search_documents_words ON sw_search_documents (remote)")
        with start_process(sys.executable, "-c", code) as second:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while database.rows(waits) == [(0,)]:
                assert second.poll() is None, second.communicate()
                time.sleep(0.02)
            first.commit()
            _, err = second.communicate(timeout=60)
    assert (second.returncode, err) == (0, "")

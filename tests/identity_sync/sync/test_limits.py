"""The limits of a run: its duration, locks of other sessions, and another sync."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import USERS
from tests.identity_sync.sync.processes import Server, wait_for
from tests.identity_sync.sync.test_process import sync
from tests.scaiwave.cli_helpers import SCRIPT, run_scaiwave, start_process
from tests.tools import require_timers_of_postgres

pytestmark = [pytest.mark.once, pytest.mark.sandbox(partners=2, tenants=3, people=40, groups=4)]


@contextmanager
def idle_transaction(server: Server, statement: str) -> Iterator[int]:
    """Hold the locks of a statement in another session; yields the number of its process."""
    with server.connected() as connection:
        connection.execute("SET application_name = 'nightly report'")
        connection.execute("BEGIN")
        connection.execute(statement)
        yield connection.info.backend_pid
        connection.execute("ROLLBACK")


def test_fail_a_slow_server(server: Server, sandbox: Sandbox) -> None:
    sync()
    before = server.dump()
    sandbox.directory.change_share(0.05)
    sandbox.faults.add("hang", path=USERS, seconds=60)

    result = sync("--timeout", "1", "--json")

    error = json.loads(result.err)["error"]
    assert (result.code, result.out, error["code"]) == (1, "", "SW_SYNC_TIMEOUT")
    assert error["message"] == "The run did not end within 1 s. No changes were made."
    assert server.dump() == before
    assert server.runs()[-1] == ("failed", "SW_SYNC_TIMEOUT")
    sandbox.faults.clear()
    assert sync("--timeout", "60").code == 0


def test_success_the_limit_of_a_scheduled_sync(server: Server, sandbox: Sandbox) -> None:
    sandbox.faults.add("hang", path=USERS, seconds=60)
    result = sync("--scheduled", SCAIWAVE_SYNC_TIMEOUT_SECONDS="1")
    assert "The run did not end within 1 s. No changes were made. [SW_SYNC_TIMEOUT]" in result.err
    result = sync("--scheduled", "--timeout", "2", SCAIWAVE_SYNC_TIMEOUT_SECONDS="1")
    assert "The run did not end within 2 s." in result.err


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    "statement",
    ["LOCK TABLE sw_participants IN ACCESS EXCLUSIVE MODE", "SELECT id FROM sw_tenants FOR UPDATE"],
)
def test_fail_an_idle_transaction_has_a_lock(
    server: Server, sandbox: Sandbox, statement: str
) -> None:
    require_timers_of_postgres()
    sync()
    before = server.dump()
    for tenant in sandbox.directory.tenants.values():
        sandbox.directory.update_tenant(tenant["id"], name="Renamed")
    with idle_transaction(server, statement) as pid:
        result = sync(SCAIWAVE_SYNC_LOCK_SECONDS="1")

    assert (result.code, result.out) == (1, "")
    assert "[SW_DATABASE_BLOCKED]" in result.err
    assert f"by another session: process {pid} (user " in result.err
    assert ", nightly report, idle in transaction since 20" in result.err
    assert statement in result.err
    assert f"pg_terminate_backend({pid})" in result.err
    assert server.dump() == before
    assert server.runs()[-1] == ("failed", "SW_DATABASE_BLOCKED")
    ((message,),) = server.rows("SELECT error_message FROM sw_sync_runs WHERE error_code <> ''")
    assert str(pid) in message
    assert statement not in message
    assert sync().code == 0


@pytest.mark.only_on("postgresql")
def test_fail_the_time_is_over_while_a_lock_is_awaited(server: Server) -> None:
    statement = "LOCK TABLE sw_participants IN ACCESS EXCLUSIVE MODE"
    with idle_transaction(server, statement) as pid:
        result = sync("--timeout", "2")
    assert (result.code, "[SW_SYNC_TIMEOUT]" in result.err) == (1, True)
    assert f"waiting for another session of the database: process {pid}" in result.err
    assert server.runs() == [("failed", "SW_SYNC_TIMEOUT")]


@pytest.mark.only_on("postgresql")
def test_fail_the_history_is_locked(server: Server) -> None:
    """The run ends although not even its row can be written."""
    require_timers_of_postgres()
    statement = "LOCK TABLE sw_sync_runs IN ACCESS EXCLUSIVE MODE"
    with idle_transaction(server, statement):
        result = sync(SCAIWAVE_SYNC_LOCK_SECONDS="1")
    assert (result.code, "[SW_DATABASE_BLOCKED]" in result.err) == (1, True)
    assert server.runs() == []


@pytest.mark.only_on("sqlite")
def test_fail_the_time_is_over_while_the_file_is_locked(server: Server) -> None:
    with server.connected() as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        result = sync("--timeout", "1")
        duration = time.monotonic() - started
        other.execute("ROLLBACK")
    assert (result.code, "[SW_SYNC_TIMEOUT]" in result.err) == (1, True)
    assert duration < 25  # Without the limit, SQLite waits for 30 s.


def test_success_wait_for_another_sync(server: Server, sandbox: Sandbox) -> None:
    sandbox.faults.add("hang", path=USERS, seconds=3, times=1)
    with server.syncing() as first:
        result = sync("--wait")
        assert (result.code, result.err) == (0, "Waiting for another sync to end.\n")
        assert first.wait(timeout=30) == 0
    assert server.runs() == [("applied", ""), ("applied", "")]


def test_fail_the_other_sync_takes_longer(server: Server, sandbox: Sandbox) -> None:
    sandbox.faults.add("hang", path=USERS, seconds=30, times=1)
    with server.syncing() as first:
        result = sync("--wait", "1", "--quiet")
        assert (result.code, result.out) == (1, "")
        # On PostgreSQL it also names who has the lock.
        assert result.err.startswith("Error: Another sync is still running after 1 s")
        assert "[SW_SYNC_LOCKED]\n" in result.err
        result = sync("--wait", "--timeout", "1", "--quiet")
        assert (result.code, "[SW_SYNC_TIMEOUT]" in result.err) == (1, True)
        first.send_signal(signal.SIGTERM)
        first.wait(timeout=30)
    assert server.runs() == [("failed", "SW_TERMINATED"), ("failed", "SW_SYNC_TIMEOUT")]


def test_success_several_wait_for_each_other(server: Server) -> None:
    with (
        start_process([*SCRIPT, "sync", "--wait"]) as first,
        start_process([*SCRIPT, "sync", "--wait"]) as second,
    ):
        assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    assert server.runs() == [("applied", "")] * 2


def read_status(*words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        run_scaiwave("sync", "status", "--exit-zero", "--json", *words).out
    )
    return document


def test_success_the_status_shows_a_killed_run_at_once(server: Server, sandbox: Sandbox) -> None:
    sync()
    sandbox.faults.add("hang", path=USERS, seconds=30, times=1)
    with server.syncing() as process:
        during = read_status()
        process.kill()
        process.communicate()
    if server.is_postgres:
        wait_for(lambda: not server.locks("locktype = 'advisory'"))
    after = read_status("--no-drift")

    assert (during["running"]["outcome"], during["interrupted"]) == ("running", None)
    assert during["drift_reason"] == "a sync is running"
    assert (after["running"], after["interrupted"]["run_id"]) == (None, during["running"]["run_id"])
    assert during["is_healthy"]
    assert after["is_healthy"]
    assert server.runs()[-1] == ("running", "")
    assert sync().code == 0
    assert read_status()["interrupted"] is None
    assert server.runs()[-2] == ("failed", "SW_SYNC_INTERRUPTED")

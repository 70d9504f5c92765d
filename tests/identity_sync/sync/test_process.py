"""Syncs as processes: what they print, two at once, and every way to end early."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import (
    USERS,
    get_display_name,
    get_tenant_id,
    list_people,
)
from tests.identity_sync.sync.processes import Server, wait_for
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, ProcessResult, run_scaiwave
from tests.tenants.fake_scaikey import get_credentials
from tests.tools import NIGHTLY

pytestmark = [pytest.mark.once, pytest.mark.sandbox(partners=2, tenants=3, people=120, groups=9)]
KINDS = ("partners", "tenants", "participants", "groups", "memberships")
COUNTS = ("seen", "added", "updated", "deactivated", "restored", "unchanged", "skipped")


def sync(*words: str, **environment: str) -> ProcessResult:
    return run_scaiwave("sync", *words, **environment)


def test_success_json(server: Server) -> None:
    result = sync("--json")

    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert list(document) == [
        "run_id",
        "outcome",
        "kinds",
        "losses",
        "pending_removals",
        "requests",
        "duration_seconds",
        "plan",
        "purge",
    ]
    assert tuple(document["kinds"]) == KINDS
    assert all(tuple(row) == COUNTS for row in document["kinds"].values())
    assert document["outcome"] == "applied"
    assert len(server.rows("SELECT id FROM sw_sync_runs")) == 1


def test_success_text_output(server: Server, sandbox: Sandbox) -> None:
    first = sync()
    assert (first.code, first.err) == (0, "")
    *_, last = first.out.splitlines()
    changes = sum(len(rows) for table, rows in server.dump().items() if table != "sync_changes")
    assert last.startswith(f"Applied {changes:,} changes; ")

    assert sync("--quiet").out.splitlines()[-1].startswith("Already up to date with ScaiKey. ")

    person = next(row for row in list_people(sandbox) if row["status"] == "ACTIVE")
    sandbox.directory.update_user(person["id"], display_name="Renamed", email="a@b.example")
    plan = sync("--dry-run", "-v", "2")
    slug = sandbox.directory.tenants[get_tenant_id(person)]["slug"]
    old = f"display_name {get_display_name(person)} → Renamed, email {person['email']} → "
    assert plan.out.splitlines()[:3] == [
        f"Tenant {slug}",
        "  participants",
        f"    update      Renamed: {old}a@b.example (changed in ScaiKey)",
    ]
    assert plan.out.splitlines()[-1].startswith("Dry run: planned 1 change; none were applied; ")


def test_success_a_closed_pipe_does_not_end_the_run(server: Server) -> None:
    line = f"'{SCRIPT[0]}' -c '{SCRIPT[2]}' sync -v 2 | head -n 1"
    subprocess.run(["sh", "-c", line], cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
    assert server.runs() == [("applied", "")]


def test_success_manual_sync_needs_no_redis(server: Server) -> None:
    assert sync("--scheduled").code == 0
    result = sync(SCAIWAVE_REDIS_URL="redis://127.0.0.1:1/0")
    assert (result.code, result.err) == (0, "")
    assert "redis" not in result.out.lower()
    assert server.runs() == [("applied", ""), ("applied", "")]
    triggers = server.rows("SELECT trigger FROM sw_sync_runs ORDER BY started_at")
    assert triggers == [("cron",), ("manual",)]


def test_fail_over_the_removal_limit(server: Server, sandbox: Sandbox) -> None:
    sync()
    before = server.dump()
    for row in list_people(sandbox)[:40]:
        sandbox.directory.remove_user(row["id"])

    result = sync("--json")

    assert result.code == 1
    report = json.loads(result.out)
    assert (report["outcome"], report["pending_removals"]) == ("partial", 40)
    assert json.loads(result.err)["error"]["code"] == "SW_SYNC_PARTIAL"
    assert server.dump() == before
    repeated = sync("-v", "2")
    assert repeated.code == 1
    assert repeated.out.count("skipped ") >= 40
    assert "scaiwave sync removals" in repeated.err


def test_fail_two_at_once(server: Server, sandbox: Sandbox) -> None:
    sandbox.faults.add("hang", path=USERS, seconds=9, times=1)
    with server.syncing() as first:
        result = sync()
        assert (result.code, result.out) == (1, "")
        # On PostgreSQL it also names who has the lock.
        assert result.err.startswith("Error: Another sync is running")
        assert result.err.endswith(
            ". [SW_SYNC_LOCKED]\n  Fix: Wait for it to end; `scaiwave sync status` shows the run.\n"
        )
        first.communicate(timeout=30)
        assert first.returncode == 0
    assert server.runs() == [("applied", "")]


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [(signal.SIGTERM, 143, "SW_TERMINATED"), (signal.SIGINT, 130, "SW_INTERRUPTED")],
)
def test_fail_signal(
    server: Server, sandbox: Sandbox, number: signal.Signals, code: int, name: str
) -> None:
    sandbox.faults.add("hang", path=USERS, seconds=20)
    before = server.dump()
    with server.syncing() as process:
        time.sleep(0.5)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"[{name}]" in err
    assert "Traceback" not in err
    assert server.dump() == before
    assert server.runs() == [("failed", name)]
    sandbox.faults.clear()
    assert sync().code == 0


def test_fail_killed(server: Server, sandbox: Sandbox) -> None:
    """After a kill at any time the database is unchanged or complete, and the next run works."""
    chance = random.Random(7)
    sync()
    for _ in range(5):
        sandbox.directory.change_share(0.1, seed=chance.randrange(1000))
        before = server.dump()
        with server.syncing("--allow-removals", "1000") as process:
            time.sleep(chance.uniform(0, 0.4))
            process.kill()
            process.communicate()
        if server.is_postgres:
            wait_for(lambda: not server.locks("locktype = 'advisory'"))
        outcome = server.runs()[-1][0]
        assert outcome in ("running", "applied")
        killed = server.dump()
        changed_runs = [
            row[0] for row in server.rows("SELECT DISTINCT run_id FROM sw_sync_changes")
        ]
        assert killed == before or changed_runs
        assert (outcome == "applied") == (killed != before)
        result = sync("--allow-removals", "1000")
        assert (result.code, result.err) == (0, "")
        if outcome == "running":
            assert server.runs()[-2] == ("failed", "SW_SYNC_INTERRUPTED")
    assert sync().out.splitlines()[-1].startswith("Already up to date")


@pytest.mark.only_on("postgresql")
def test_fail_database_closes_the_connection(server: Server, sandbox: Sandbox) -> None:
    sync()
    before = server.dump()
    sandbox.directory.change_share(0.05)
    sandbox.faults.add("hang", path=USERS, seconds=9, times=1)
    with server.syncing() as process:
        server.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "[SW_DATABASE_UNREACHABLE]" in err
    assert "Traceback" not in err
    assert server.dump() == before
    assert server.runs()[-1] == ("failed", "SW_DATABASE_UNREACHABLE"), err
    assert not server.locks("locktype = 'advisory'")
    assert sync().code == 0


@pytest.mark.only_on("sqlite")
def test_fail_database_is_locked(server: Server, sandbox: Sandbox) -> None:
    sandbox.faults.add("hang", path=USERS, seconds=1, times=1)
    impatient = f"{server.url}?timeout=1"
    with server.syncing(SCAIWAVE_DB_URL=impatient) as process, server.connected() as other:
        other.execute("BEGIN IMMEDIATE")
        _, err = process.communicate(timeout=30)
        other.execute("ROLLBACK")
    path = server.url.removeprefix("sqlite:///")
    assert process.returncode == 1
    assert f"Error: The database {path} is locked by another process. [SW_DATABASE_BUSY]" in err
    assert "Traceback" not in err
    assert sync().code == 0
    assert server.runs() == [("failed", "SW_SYNC_INTERRUPTED"), ("applied", "")]


@pytest.mark.only_on("sqlite")
def test_fail_disk_is_full(server: Server) -> None:
    """SQLite raises the same error for its own limit as for a full disk."""
    pages = server.rows("PRAGMA page_count")[0][0] + 4
    before = server.dump()

    result = sync(SCAIWAVE_DB_URL=f"{server.url}?init_command=PRAGMA max_page_count={pages}")

    assert result.code == 1
    assert "[SW_DISK_FULL]" in result.err
    assert "Traceback" not in result.err
    assert server.dump() == before
    assert server.rows("PRAGMA integrity_check") == [("ok",)]
    assert sync().code == 0


def _measure_peak_memory(sandbox: Sandbox, *words: str) -> int:
    """Return the peak memory of a sync, in kilobytes."""
    environment = {
        **os.environ,
        **get_credentials(sandbox),
    }
    process = subprocess.Popen(
        [*SCRIPT, "sync", "--allow-removals", "1000000", *words],
        env=environment,
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


@pytest.mark.fresh_interpreter
@pytest.mark.usefixtures("server")
def test_success_memory_does_not_grow_with_the_directory(tmp_path: Path) -> None:
    """Of a plan and of a sync. Up to 5,000 people it grows, since they are written together."""
    sizes, limit = ((5_000, 20_000), 1.25) if NIGHTLY else ((1_250, 5_000), 1.15)
    peaks = []
    for people in sizes:
        with Sandbox(partners=2, tenants=5, people=people, groups=50) as sandbox:
            planned = _measure_peak_memory(sandbox, "--plan", str(tmp_path / "plan.json"))
            peaks.append((planned, _measure_peak_memory(sandbox)))
    for small, large in zip(*peaks, strict=True):
        assert large < small * limit, peaks


@pytest.mark.usefixtures("server")
def test_success_a_plan_is_written_and_applied(sandbox: Sandbox, tmp_path: Path) -> None:
    path = str(tmp_path / "plan.json")
    sync()
    people = [row["id"] for row in list_people(sandbox) if row["status"] == "ACTIVE"]
    sandbox.directory.remove_user(people[0])

    planned = sync("--plan", path, "--json")

    document = json.loads(planned.out)
    assert (planned.code, document["outcome"], document["plan"]["path"]) == (
        0,
        "planned",
        path,
    )
    applied = sync("--apply", path)
    assert applied.code == 0
    assert applied.out.splitlines()[-1].startswith("Applied ")
    again = sync("--apply", path)
    assert again.code == 0
    assert again.out.startswith("This plan was applied on ")
    replaced = sync("--plan", path)
    assert replaced.out.splitlines()[-1] == (
        f"Plan written to {path}. To apply it: `scaiwave sync --apply {path}`."
    )
    sandbox.directory.remove_user(people[1])
    refused = sync("--apply", path, "--json")
    assert refused.code == 1
    assert json.loads(refused.err)["error"]["code"] == "SW_SYNC_PLAN_CHANGED"
    assert json.loads(refused.out)["outcome"] == "refused"

"""Deliveries to a real web server, until a background process has changed the database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import list_people
from tests.identity_sync.sync.processes import Server, wait_for
from tests.identity_sync.webhooks.factories import SECRET
from tests.identity_sync.webhooks.live_server import LiveServer, serve
from tests.queue_helpers import MANAGE, run_worker
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT

pytestmark = pytest.mark.sandbox(people=30, tenants=2, groups=3)


@pytest.fixture
def synced(server: Server) -> Server:
    """A server that is equal to the sandbox."""
    subprocess.run([*SCRIPT, "sync"], cwd=CHECKOUT, check=True, capture_output=True)
    return server


@pytest.fixture
def live(synced: Server, sandbox: Sandbox, home: Path) -> Iterator[LiveServer]:
    with serve(synced.url, home, sandbox) as running:
        yield running


def suspend(sandbox: Sandbox) -> str:
    person = next(row["id"] for row in list_people(sandbox) if row["status"] == "ACTIVE")
    sandbox.directory.suspend_user(person)
    return str(person)


@contextmanager
def slow(sandbox: Sandbox, seconds: float) -> Iterator[None]:
    """Let every answer of ScaiKey take this long."""
    sandbox.latency = seconds
    try:
        yield
    finally:
        sandbox.latency = 0.0


def test_success_background_process_revokes_within_seconds(
    live: LiveServer, sandbox: Sandbox
) -> None:
    person = suspend(sandbox)
    began = time.monotonic()
    with slow(sandbox, 0.1):
        response = live.deliver("user.suspended", person)
        assert (response.status_code, response.json()) == (200, {"handled": True})
        wait_for(live.processes)
        (pid,) = live.processes()
        # It has its own session, and is not a child of the web server.
        assert os.getsid(pid) != os.getsid(live.pid)
        assert f"\nPPid:\t{live.pid}\n" not in Path(f"/proc/{pid}/status").read_text()
        wait_for(lambda: live.status_of(person) == "SUSPENDED")
    assert time.monotonic() - began < 20
    wait_for(lambda: not live.processes())
    assert live.states() == ["handled"]
    assert live.runs() == [("manual", "applied"), ("webhook", "applied")]


@pytest.mark.once
def test_success_background_process_survives_the_web_server(
    live: LiveServer, sandbox: Sandbox
) -> None:
    person = suspend(sandbox)
    with slow(sandbox, 0.3):
        live.deliver("user.suspended", person)
        live.kill()
        wait_for(lambda: live.states() == ["handled"])
    assert live.status_of(person) == "SUSPENDED"


@pytest.mark.once
@pytest.mark.parametrize("by", ["the next delivery", "sync"])
def test_success_no_event_is_lost_when_the_process_is_killed(
    live: LiveServer, sandbox: Sandbox, by: str
) -> None:
    one, two = suspend(sandbox), suspend(sandbox)
    with slow(sandbox, 0.5):
        live.deliver("user.suspended", one)
        wait_for(lambda: ("webhook", "running") in live.runs())
        for pid in live.processes():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not live.processes())
    if live.database.is_postgres:  # which notices a little later that a client has gone
        wait_for(lambda: not live.database.locks("locktype = 'advisory'"))
    assert live.states() == ["pending"]
    if by == "sync":
        subprocess.run([*SCRIPT, "sync"], cwd=CHECKOUT, check=True, capture_output=True)
        assert live.states() == ["handled"]
    else:
        live.deliver("user.suspended", two)
        wait_for(lambda: live.states() == ["handled", "handled"])
    assert live.status_of(one) == live.status_of(two) == "SUSPENDED"
    assert ("webhook", "failed") in live.runs()


@pytest.mark.once
def test_success_a_burst_is_one_process_and_every_event_is_stored_once(
    live: LiveServer, sandbox: Sandbox
) -> None:
    people = [row["id"] for row in list_people(sandbox)[:15]]
    for person in people:
        sandbox.directory.suspend_user(person)
    most = 0
    seen: set[int] = set()
    with slow(sandbox, 0.05), ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(live.deliver, "user.suspended", person, f"evt_burst_{person}")
            for person in people
            for _ in range(3)
        ]
        while not all(future.done() for future in sent) or "pending" in live.states():
            seen.update(pids := live.processes())
            most = max(most, len(pids))
            time.sleep(0.02)
    assert {future.result().status_code for future in sent} == {200}
    # One that has released its lock may still be ending when the next one has started.
    assert most <= 2
    assert len(seen) < 10
    assert live.states() == ["handled"] * 15
    assert {live.status_of(person) for person in people} == {"SUSPENDED"}


def change_everything(sandbox: Sandbox) -> None:
    """One change of each kind, announced by the sandbox."""
    people = [row["id"] for row in list_people(sandbox)]
    one, two = sandbox.directory.tenants
    new = sandbox.mutate("add_user", tenant_id=one)
    group = sandbox.mutate("add_group", tenant_id=one, name="New")
    sandbox.mutate("add_member", group_id=group, user_id=new)
    sandbox.mutate("suspend_user", user_id=people[0])
    sandbox.mutate("remove_user", user_id=people[1])
    sandbox.mutate("update_user", user_id=people[2], display_name="Renamed")
    sandbox.mutate("move_user", user_id=people[3], tenant_id=two)
    sandbox.mutate("update_tenant", tenant_id=two, name="Renamed too")
    sandbox.webhooks.announce("user.deleted", people[4])  # no one was deleted


def test_success_announced_by_the_sandbox_repeated_and_out_of_order(
    live: LiveServer, sandbox: Sandbox
) -> None:
    url = f"{live.base_url}/v1/webhooks/scaikey"
    changes = {"url": url, "secret": SECRET, "repeat": 0.5, "hold_seconds": 0.2}
    sandbox.webhooks.configure(changes)
    change_everything(sandbox)
    wait_for(lambda: live.states() == ["handled"] * 9)
    wait_for(lambda: not live.processes())
    planned = subprocess.run(
        [*SCRIPT, "sync", "--dry-run", "--json"], cwd=CHECKOUT, check=True, capture_output=True
    )
    kinds = json.loads(planned.stdout)["kinds"].values()
    assert {counts["seen"] - counts["unchanged"] + counts["deactivated"] for counts in kinds} == {0}


@pytest.mark.once
def test_success_process_waits_for_a_full_sync(
    live: LiveServer, synced: Server, sandbox: Sandbox
) -> None:
    with slow(sandbox, 0.3), synced.syncing() as process:
        time.sleep(1.0)  # The lists are being read.
        person = suspend(sandbox)
        live.deliver("user.suspended", person)
        process.communicate()
        assert process.returncode == 0
    wait_for(lambda: live.states() == ["handled"])
    assert live.status_of(person) == "SUSPENDED"
    assert live.runs() == [
        ("manual", "applied"),
        ("manual", "applied"),
        ("webhook", "applied"),
    ]


def test_success_with_redis_a_job_handles_events(
    synced: Server,
    sandbox: Sandbox,
    home: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    monkeypatch.setenv("SCAIWAVE_REDIS_URL", redis_url)
    one, two = suspend(sandbox), suspend(sandbox)
    with serve(synced.url, home, sandbox) as live:
        live.deliver("user.suspended", one)
        live.deliver("user.suspended", two)
        assert redis.llen("rq:queue:default") == 1
        assert live.states() == ["pending", "pending"]
        run_worker()
        assert live.states() == ["handled", "handled"]
        assert live.processes() == []
        assert live.status_of(one) == live.status_of(two) == "SUSPENDED"
    redis.close()


@pytest.mark.once
def test_success_background_process_if_redis_is_down(
    synced: Server, sandbox: Sandbox, home: Path
) -> None:
    person = suspend(sandbox)
    with serve(synced.url, home, sandbox, SCAIWAVE_REDIS_URL="redis://127.0.0.1:1") as live:
        live.deliver("user.suspended", person)
        wait_for(lambda: live.states() == ["handled"])
        assert "process_webhooks is started without Redis: Redis can't be used: " in (
            home / "web.log"
        ).read_text(encoding="utf-8")


def test_success_command_without_events(server: Server) -> None:
    process = subprocess.run([*MANAGE, "process_webhooks"], check=True, capture_output=True)
    assert (process.stdout, process.stderr) == (b"", b"")

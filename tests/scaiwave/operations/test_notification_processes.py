"""E-mails about problems from the processes that run anyway: workers, syncs and the web server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from scaiwave.ids import new_id
from tests.databases import RawDatabase, copy_database
from tests.queue_helpers import SUITE, plant_scheduler, run_worker, use_redis, wait_until
from tests.scaiwave.cli_helpers import run_process
from tests.smtp_server import MailServer, run_mail_server
from tests.web_process import build_environment, listen, run_gunicorn

OVERDUE = "[localhost] The sync is overdue"
SCHEDULER = "[localhost] No scheduler starts syncs"
REGISTERED = {
    "SCAIWAVE_SCAIKEY_URL": "http://127.0.0.1:1",
    "SCAIWAVE_SCAIKEY_CLIENT_ID": "id",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "a-secret-of-some-length",
}


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest) -> str:
    from tests.databases import get_migrated

    return get_migrated(request)


@pytest.fixture
def server(
    migrated: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MailServer]:
    """A mail server for processes whose server has credentials and no sync."""
    copy_database(migrated, database_url)
    with run_mail_server() as running:
        mail = {"SCAIWAVE_NOTIFY_EMAIL": "ops@example.com", "SCAIWAVE_EMAIL_URL": running.url}
        for name, value in {**REGISTERED, **mail}.items():
            monkeypatch.setenv(name, value)
        yield running


def see_no_scheduler(url: str) -> None:
    """Let the scheduler be missing for longer than a restart takes."""
    seen_at = (datetime.now(UTC) - timedelta(minutes=6)).strftime("%Y-%m-%d %H:%M:%S")
    key = str(new_id()) if url.startswith("postgres") else new_id().hex
    with RawDatabase(url).connected() as connection:
        connection.execute(
            "INSERT INTO sw_notices (id, topic, seen_at, mark, attempts, error) "
            f"VALUES ('{key}', 'scheduler', '{seen_at}', '', 0, '')"
        )


@pytest.mark.redis
def test_success_a_worker_notices_a_dead_scheduler(
    server: MailServer, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis: Redis = use_redis(monkeypatch, redis_url, {})
    see_no_scheduler(database_url)
    server.behaviours = ["busy"]
    log = run_worker()
    assert "Job completed: send_notifications" in log
    assert "SW_MAIL_REFUSED" in log
    # One was refused, and the other is reported at the next time.
    assert server.messages == []
    log = run_worker()
    assert server.subjects == [SCHEDULER]
    plant_scheduler(redis, "new")
    run_worker()
    assert server.subjects == [SCHEDULER, f"[localhost] Resolved: {SCHEDULER[12:]}"]
    assert "send_notifications" not in run_worker()


def test_success_the_web_server_notices_that_nothing_syncs(
    server: MailServer, database_url: str, home: Path
) -> None:
    """Both of its workers look, and one sends."""
    see_no_scheduler(database_url)
    names = {name: os.environ[name] for name in os.environ if name.startswith("SCAIWAVE_")}
    environment = {**build_environment(database_url, home), **names}
    with (
        listen() as listener,
        run_gunicorn(listener, environment, home / "log", workers=2),
    ):
        wait_until(lambda: len(server.messages) == 2)
    assert sorted(server.subjects) == sorted([OVERDUE, SCHEDULER])


def test_success_the_command_sync_reports_at_its_end(server: MailServer) -> None:
    for _ in range(2):
        assert run_process([*SUITE, "sync"]).code == 2
    assert "[localhost] Syncs fail" in server.subjects
    assert server.subjects.count(OVERDUE) == 1


def test_fail_the_test_notification_is_refused(server: MailServer) -> None:
    server.behaviours = ["reject"]
    done = run_process([*SUITE, "admin", "send-test-notification"])
    assert done.code == 2
    assert "refused the e-mail: 550 5.1.1 No such user  here. [SW_MAIL_REFUSED]" in done.err

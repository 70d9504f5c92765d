from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings as django_settings
from django.db import connection
from pytest_django import Settings
from redis import Redis

from scaiwave.config import load
from scaiwave.operations.doctor import host as checks
from scaiwave.operations.doctor.findings import Finding, State
from tests.scaiwave.row_factories import NOW

UNREACHABLE_REDIS = "redis://:hush-hush-secret@127.0.0.1:1/0"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def states(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.state.value) for finding in findings]


@pytest.mark.django_db
def test_success_the_database_answers() -> None:
    findings = list(checks.check_database(django_settings.CONFIG, NOW))
    # The server of the tests may trade durability for speed, which is reported.
    assert (states(findings)[0], states(findings)[-1]) == (
        ("database", "pass"),
        ("migrations", "pass"),
    )
    assert connection.vendor.startswith(findings[0].message[:6].lower())


@pytest.mark.parametrize(
    ("free", "state"), [(50 * checks.MIB, "fail"), (500 * checks.MIB, "warn"), (2**40, "pass")]
)
def test_success_each_disk_is_checked_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    # The one thing about a disk that no test may bring about.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**41, 0, free))
    findings = list(checks.check_disks(load({"SCAIWAVE_HOME": str(home)}), NOW))
    assert {found for _, found in states(findings)} == {state}
    devices = {
        Path(finding.message.rpartition(" in ")[2][:-1]).stat().st_dev for finding in findings
    }
    assert len(devices) == len(findings)


def test_success_few_inodes_are_a_warning(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As for the space on a disk, no test may bring this about.
    of_home = os.statvfs(home)
    status = os.statvfs_result((*of_home[:5], 1_000_000, 900, 900, *of_home[8:]))
    monkeypatch.setattr(os, "statvfs", lambda path: status)
    findings = list(checks.check_disks(load({"SCAIWAVE_HOME": str(home)}), NOW))
    assert (findings[0].state, findings[0].message.partition(" in ")[0]) == (
        State.WARN,
        "Only 900 more files can be created",
    )


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db
def test_success_settings_of_the_database_that_lose_data() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
    found = list(checks.check_database(django_settings.CONFIG, NOW))
    assert (
        "PostgreSQL's synchronous_commit is off: a crash of its host loses the last changes."
        in [finding.message for finding in found]
    )


def test_success_no_redis_is_fine(settings: Settings, home: Path) -> None:
    settings.REDIS_URL = ""
    findings = list(checks.check_redis(load({"SCAIWAVE_HOME": str(home)}), NOW))
    assert states(findings) == [("redis", "pass")]
    assert findings[0].message == (
        "Not configured: the site and webhooks start processes on this host, and cron scheduled "
        "jobs."
    )


def test_fail_redis_is_down(settings: Settings, home: Path) -> None:
    settings.REDIS_URL = UNREACHABLE_REDIS
    config = load({"SCAIWAVE_HOME": str(home), "SCAIWAVE_REDIS_URL": UNREACHABLE_REDIS})
    (finding,) = checks.check_redis(config, NOW)
    assert (finding.state, finding.code, finding.exit_code) == (
        State.FAIL,
        "SW_REDIS_UNREACHABLE",
        2,
    )
    assert "hush" not in finding.message


def test_success_a_redis_without_workers_is_a_warning(
    settings: Settings, home: Path, redis_url: str
) -> None:
    settings.REDIS_URL = redis_url
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
    findings = list(checks.check_redis(load({"SCAIWAVE_HOME": str(home)}), NOW))
    assert states(findings) == [("redis", "pass"), ("workers", "warn")]
    assert findings[1].fix == "Start a worker: `scaiwave worker`."


def test_success_finished_jobs_are_not_counted(
    settings: Settings, home: Path, redis_url: str
) -> None:
    from redis import Redis

    from scaiwave.queue.rq_queue import enqueue_job

    settings.REDIS_URL = redis_url
    config = load({"SCAIWAVE_HOME": str(home)})
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        first, _ = [enqueue_job(client, "tenants.jobs.refresh_usage") for _ in range(2)]
        assert (
            list(checks.check_redis(config, NOW))[1].message
            == "No worker is running; 2 jobs are waiting."
        )
        client.delete(f"rq:job:{first}")  # as Redis does once the minute is over
        assert (
            list(checks.check_redis(config, NOW))[1].message
            == "No worker is running; 1 job is waiting."
        )
        client.flushdb()


def test_success_workers_of_rq_are_reported(settings: Settings, home: Path, redis_url: str) -> None:
    from redis import Redis
    from rq import SimpleWorker
    from rq.suspension import suspend

    from scaiwave.operations.jobs.worker import SuiteWorker

    settings.REDIS_URL = redis_url
    config = load({"SCAIWAVE_HOME": str(home)})
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        ours = SuiteWorker(["default"], connection=client)
        ours.register_birth()  # type: ignore[no-untyped-call]
        assert states(list(checks.check_redis(config, NOW)))[1:] == [("workers", "pass")]
        theirs = SimpleWorker(["default"], connection=client)
        theirs.register_birth()  # type: ignore[no-untyped-call]
        found = list(checks.check_redis(config, NOW))[1:]
        assert states(found) == [("workers", "warn"), ("workers", "pass")]
        assert found[0].fix == "Stop it, and start `scaiwave worker` instead."
        client.delete(ours.key, theirs.key)  # as Redis does without heartbeats
        assert states(list(checks.check_redis(config, NOW)))[1:] == [("workers", "warn")]
        suspend(client)
        found = list(checks.check_redis(config, NOW))[1:]
        assert found[0].message == "The workers are suspended, so that all jobs wait."
        client.flushdb()


def test_fail_invalid_setting(home: Path, settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_HOME": str(home), "SCAIWAVE_SYNC_REMOVAL_LIMIT": "many"})
    findings = list(checks.check_configuration(settings.CONFIG, NOW))
    bad = [finding for finding in findings if finding.state is State.FAIL]
    assert [(finding.code, finding.exit_code) for finding in bad] == [("SW_CONFIG_INVALID", 2)]

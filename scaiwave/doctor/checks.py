"""Checks of the configuration, the database, Redis and the disks of this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import Error, connection

from scaiwave import media_storage
from scaiwave.config import Configuration
from scaiwave.console.output import format_bytes
from scaiwave.doctor.findings import Finding, State, failed, passed, warned
from scaiwave.error_mapping import map_database_error
from scaiwave.errors import ConfigurationError, DiskFull, MigrationsPending

MIB = 1024 * 1024
WARN_BELOW_BYTES = 1024 * MIB
FAIL_BELOW_BYTES = 100 * MIB
"""Bytes that are free on a disk."""

REDIS_TIMEOUT_SECONDS = 3.0
"""Seconds that Redis has to answer."""


class RedisUnreachable(ConfigurationError):
    """SCAIWAVE_REDIS_URL is set, and Redis does not respond."""

    code = "SW_REDIS_UNREACHABLE"
    fix = "Start it, or mend SCAIWAVE_REDIS_URL; until then the verbs work and the schedule stands."


class InvalidConfiguration(ConfigurationError):
    code = "SW_CONFIG_INVALID"


def check_configuration(config: Configuration, now: datetime) -> Iterator[Finding]:
    """What `manage check` says of the settings."""
    from scaiwave.checks import check_configuration

    messages = check_configuration(None)
    for message in messages:
        fix = message.hint or ""
        if message.level >= checks.ERROR:
            yield failed("configuration", InvalidConfiguration(message.msg, fix=fix))
        else:
            yield warned("configuration", message.msg, fix)
    if not messages:
        yield passed("configuration", f"Every setting is fit; the home is {config.home}.")


def check_database(config: Configuration, now: datetime) -> Iterator[Finding]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            version = _get_version(cursor)
    except Error as error:
        if (ours := map_database_error(error)) is None:
            raise
        yield failed("database", ours)
        return
    yield passed("database", f"{version} answers.")
    yield from _check_migrations()


def _get_version(cursor: Any) -> str:
    if connection.vendor == "postgresql":
        cursor.execute("SHOW server_version")
        return f"PostgreSQL {cursor.fetchone()[0].partition(' ')[0]}"
    cursor.execute("SELECT sqlite_version()")
    return f"SQLite {cursor.fetchone()[0]}"


def _check_migrations() -> Iterator[Finding]:
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        names = ", ".join(str(migration) for migration, _ in waiting[:3])
        more = " and more" if len(waiting) > 3 else ""
        error = MigrationsPending(f"{len(waiting)} migrations wait: {names}{more}.")
        yield failed("migrations", error)
    else:
        yield passed("migrations", "The database is migrated to this version.")


def check_disks(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Each disk once, by the first of our folders on it."""
    seen = set()
    for what, folder in _list_directories(config):
        there = _find_existing(folder)
        if (device := there.stat().st_dev) in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(there).free
        text = f"{format_bytes(free)} free for {what}, in {there}."
        if free < FAIL_BELOW_BYTES:
            yield failed("disk", DiskFull(f"Only {text}", fix="Free some space."))
        elif free < WARN_BELOW_BYTES:
            yield warned("disk", f"Only {text}", "Free some space before an import needs it.")
        else:
            yield passed("disk", text)


def _list_directories(config: Configuration) -> Iterator[tuple[str, Path]]:
    yield "the home", config.home
    if not config.get_str("SCAIWAVE_S3_BUCKET"):
        yield "the attachments", media_storage.media_root(config)
    if connection.vendor == "sqlite":
        yield "the database", Path(connection.settings_dict["NAME"]).parent
    yield "bundles on their way in", Path(tempfile.gettempdir())


def _find_existing(folder: Path) -> Path:
    """The folder itself or the nearest one above it."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def check_redis(config: Configuration, now: datetime) -> Iterator[Finding]:
    if not settings.REDIS_URL:
        yield passed("redis", "None is configured; work runs inline.")
        return
    from redis import Redis
    from redis.exceptions import RedisError

    client = Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
    )
    try:
        client.ping()
        yield passed("redis", "Redis answers.")
        yield from _check_workers(client, now)
    except RedisError as error:
        message = config.mask_secrets(str(error)).rstrip(".")
        yield failed("redis", RedisUnreachable(f"Redis can't be used: {message}."))
    finally:
        client.close()


def _check_workers(client: Any, now: datetime) -> Iterator[Finding]:
    from rq import Queue, Worker
    from rq.job import Job

    workers = [worker for worker in Worker.all(connection=client) if _is_alive(worker, now)]
    queued = [id_ for name in settings.RQ_QUEUES for id_ in Queue(name, connection=client).job_ids]
    # A job that waited for too long is gone, and stands in its queue until a worker looks.
    count = sum(Job.exists(id_, connection=client) for id_ in queued)
    waiting = f"{count:,} {'job waits' if count == 1 else 'jobs wait'}"
    if workers:
        yield passed("workers", f"{len(workers)} at work; {waiting}.")
    else:
        yield warned(
            "workers",
            f"No worker runs, and {waiting}.",
            "Start one: `scaiwave manage rqworker default`.",
        )


def _is_alive(worker: Any, now: datetime) -> bool:
    """A killed worker stays registered until its heartbeat is old."""
    beat = worker.last_heartbeat
    if beat is None:
        return False
    beat = beat if beat.tzinfo else beat.replace(tzinfo=UTC)
    return bool(now - beat < timedelta(seconds=worker.worker_ttl + 60))


def skipped(check: str) -> Finding:
    return Finding(check, State.SKIP, "Not checked, since the database can't be used.")

"""Checks of the configuration, the database, Redis and the disks of this host."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core import checks
from django.db import Error, connection

from scaiwave import __version__
from scaiwave.config import Configuration
from scaiwave.config.mail import RECIPIENTS, load_mail_settings
from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize
from scaiwave.core.errors import ConfigurationError, DiskFull, MigrationsPending
from scaiwave.operations.doctor.findings import Finding, State, failed, passed, warned
from scaiwave.queue.connection import open_redis
from scaiwave.queue.definitions import FAILED, WAITING
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.storage import media as media_storage
from scaiwave.storage.error_mapping import map_database_error
from scaiwave.storage.schema_version import is_served_by_later_schema
from tenants.models import Notice

if TYPE_CHECKING:
    from redis import Redis

MIB = 1024 * 1024
WARN_BELOW_BYTES = 1024 * MIB
FAIL_BELOW_BYTES = 100 * MIB
"""Free space on a disk."""

WARN_BELOW_INODES = 10_000
"""Files that can still be created on a disk, unless a twentieth of all is less."""


class InvalidConfiguration(ConfigurationError):
    code = "SW_CONFIG_INVALID"


def check_configuration(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report what `manage check` finds in the settings."""
    from scaiwave.config.checks import check_configuration

    messages = check_configuration(None)
    for message in messages:
        fix = message.hint or ""
        if message.level >= checks.ERROR:
            yield failed("configuration", InvalidConfiguration(message.msg, fix=fix))
        else:
            yield warned("configuration", message.msg, fix)
    if not messages:
        yield passed("configuration", f"All settings are valid. Home directory: {config.home}.")


def check_database(config: Configuration, now: datetime) -> Iterator[Finding]:
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SHOW server_version")
                version = f"PostgreSQL {cursor.fetchone()[0].partition(' ')[0]}"
            else:
                cursor.execute("SELECT sqlite_version()")
                version = f"SQLite {cursor.fetchone()[0]}"
    except Error as error:
        if (mapped := map_database_error(error)) is None:
            raise
        yield failed("database", mapped)
        return
    yield passed("database", f"{version} is available.")
    yield from _check_database_settings()
    yield from _check_migrations()


def _check_database_settings() -> Iterator[Finding]:
    """Report settings of the database that can lose data or make commands fail."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            mode = cursor.fetchone()[0]
        if mode not in {"wal", "memory"}:
            yield warned(
                "database",
                f"SQLite's journal mode is {mode} and not wal, so readers wait for writers.",
                "Move the database to a local disk.",
            )
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [[*_SETTINGS]])
        found = dict(cursor.fetchall())
    for name, (wanted, effect) in _SETTINGS.items():
        if found.get(name, wanted) != wanted:
            yield warned(
                "database",
                f"PostgreSQL's {name} is {found[name]}: {effect}.",
                f"Set {name} to {wanted} in PostgreSQL.",
            )


_SETTINGS = {
    "fsync": ("on", "a crash of its host can destroy the database"),
    "full_page_writes": ("on", "a crash of its host can destroy the database"),
    "synchronous_commit": ("on", "a crash of its host loses the last changes"),
    "autovacuum": ("on", "tables grow and queries become slow"),
    "default_transaction_isolation": ("read committed", "transactions fail that would wait"),
    "default_transaction_read_only": ("off", "commands can't change anything"),
    "server_encoding": ("UTF8", "names of people can't be stored"),
}
"""Settings of PostgreSQL, each with its value and the effect of another one."""


def _check_migrations() -> Iterator[Finding]:
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if pending:
        names = ", ".join(str(migration) for migration, _ in pending[:3])
        more = " and more" if len(pending) > 3 else ""
        error = MigrationsPending(
            f"{pluralize(len(pending), 'migration is', 'migrations are')} pending: {names}{more}."
        )
        yield failed("migrations", error)
    elif is_served_by_later_schema(connection):
        yield warned(
            "migrations",
            f"A later release has migrated the database. It still serves this one, {__version__}.",
            "Install that release on this host too.",
        )
    else:
        yield passed("migrations", "All migrations are applied.")


def check_disks(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report the free space of each disk with a directory of the suite, once."""
    directories = {"the home directory": config.home}
    if not config.get_str("SCAIWAVE_S3_BUCKET"):
        directories["the attachments"] = media_storage.media_root(config)
    if connection.vendor == "sqlite":
        directories["the database"] = Path(connection.settings_dict["NAME"]).parent
    directories["temporary files of imports"] = Path(tempfile.gettempdir())
    seen = set()
    for purpose, directory in directories.items():
        # The directory itself, or the nearest one above it that exists.
        path = next(path for path in (directory, *directory.parents) if path.exists())
        if (device := path.stat().st_dev) in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(path).free
        text = f"{format_bytes(free)} free for {purpose}, in {path}."
        status = os.statvfs(path)  # File systems without a limit have no `f_files`.
        if status.f_files and status.f_favail < min(WARN_BELOW_INODES, status.f_files // 20):
            yield warned(
                "disk",
                f"Only {status.f_favail:,} more files can be created in the file system of {path}.",
                "Delete small files, or enlarge the file system.",
            )
        if free < FAIL_BELOW_BYTES:
            yield failed("disk", DiskFull(f"Only {text}", fix="Free some space."))
        elif free < WARN_BELOW_BYTES:
            yield warned("disk", f"Only {text}", "Free some space before an import needs it.")
        else:
            yield passed("disk", text)


def check_redis(config: Configuration, now: datetime) -> Iterator[Finding]:
    if not settings.REDIS_URL:
        work = "the site and webhooks start processes on this host, and cron scheduled jobs"
        yield passed("redis", f"Not configured: {work}.")
        return
    try:
        with open_redis() as redis:
            redis.ping()
            findings = [
                passed("redis", "Redis is available."),
                *_check_suspension(redis),
                *_check_workers(redis),
                *_check_failed_jobs(redis),
            ]
    except RedisUnreachable as error:
        yield failed("redis", error)
    else:
        yield from findings


def _check_suspension(redis: Redis) -> Iterator[Finding]:
    from rq.suspension import is_suspended

    if is_suspended(redis):
        yield warned(
            "workers",
            "The workers are suspended, so that all jobs wait.",
            "Let them go on: `rq resume --url $SCAIWAVE_REDIS_URL`.",
        )


def _check_workers(redis: Redis) -> Iterator[Finding]:
    from scaiwave.operations.jobs.jobs_in_redis import count_jobs
    from scaiwave.queue.heartbeats import list_workers

    workers = list_workers(redis)
    count = sum(count_jobs(redis, WAITING).values())
    waiting = f"{pluralize(count, 'job is', 'jobs are')} waiting"
    for worker in workers:
        if not worker.is_suite:
            yield warned(
                "workers",
                f"A worker of RQ (process {worker.pid} on {worker.host}) runs whatever Redis "
                "contains, and fails the jobs of this server.",
                "Stop it, and start `scaiwave worker` instead.",
            )
    count_ours = sum(worker.is_suite for worker in workers)
    if count_ours:
        yield passed(
            "workers", f"{pluralize(count_ours, 'worker is', 'workers are')} running; {waiting}."
        )
    else:
        yield warned(
            "workers", f"No worker is running; {waiting}.", "Start a worker: `scaiwave worker`."
        )


def _check_failed_jobs(redis: Redis) -> Iterator[Finding]:
    from scaiwave.operations.jobs.jobs_in_redis import count_jobs

    if count := sum(count_jobs(redis, FAILED).values()):
        yield warned(
            "jobs",
            f"{pluralize(count, 'failed job', 'failed jobs')} in the last 7 days.",
            "`scaiwave jobs list --state failed` shows their errors; `scaiwave jobs clear` deletes "
            "them.",
        )


def skipped(checks: Sequence[str]) -> Finding:
    """Return one line for the checks that need the database."""
    return Finding(
        "other", State.SKIP, f"Skipped until the database can be used: {', '.join(checks)}."
    )


def check_notifications(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report whether e-mails about problems are sent, if they are wanted."""
    if not config.get_str(RECIPIENTS):
        return
    count = len(load_mail_settings(config).recipients)
    if failing := Notice.objects.exclude(error="").order_by("-attempted_at").first():
        message = f"An e-mail about a problem could not be sent: {failing.error}"
        fix = "Correct the cause, then run `scaiwave admin send-test-notification`."
        yield warned("notifications", message, fix)
    else:
        yield passed(
            "notifications", f"Problems are reported to {pluralize(count, 'address', 'addresses')}."
        )

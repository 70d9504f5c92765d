"""Report problems by e-mail: each once, and once that it is resolved.

The problems are judged as `sync status` and `doctor` judge them. The database has the reported
ones, so that a restart or another process repeats nothing. A failed e-mail is tried again later.

Several processes look at the problems, so that a dead one can't hide its own end: workers and the
web server once a minute, and each sync at its end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connections
from django.db.models import Max

from federation.keys.check_keys import get_key_health
from identity_sync.errors import RemovalsPending, SyncFailing, SyncOverdue
from identity_sync.removals.queries import is_pending_q
from identity_sync.reports.health import judge_sync
from identity_sync.reports.judgement import RunScope
from scaiwave.config import Configuration
from scaiwave.config.mail import RECIPIENTS
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.locks import process_lock
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.jobs.error_log import log_error
from scaiwave.operations.notifications.mail import MAX_SECONDS, send_mail
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.storage.error_mapping import translate_errors
from tenants.lookup.restoration import find_restoration
from tenants.models import Notice

logger = logging.getLogger(__name__)

JOB = "scaiwave.operations.jobs.tasks.send_notifications"
LOCK = "notifications"
TICK_SECONDS = 60.0

TITLES = {
    "sync_failing": ("Syncs fail", "identity_sync/syncrun/"),
    "sync_overdue": ("The sync is overdue", "identity_sync/syncrun/"),
    "removals": ("Removals wait for a decision", "identity_sync/pendingremoval/"),
    "key_rotation": ("The federation key is due for rotation", "federation/serverkey/"),
    "scheduler": ("No scheduler starts syncs", "jobs/"),
}
"""By topic, with its page in the admin site, which a command has not loaded."""
_TOPICS: dict[type[ScaiWaveError], str] = {
    SyncFailing: "sync_failing",
    SyncOverdue: "sync_overdue",
    RemovalsPending: "removals",
}
SCHEDULER_GRACE = timedelta(minutes=5)
"""A scheduler that is missing for less than this is being restarted."""
MIN_REPEAT = timedelta(hours=1)
"""More of the same, such as further removals, is reported this much later at the earliest."""
MAX_RETRY_MINUTES = 60


@dataclass(frozen=True)
class ReportedProblem:
    """`mark` grows when there is more of the same problem."""

    message: str
    fix: str
    mark: str = ""


@dataclass(frozen=True)
class News:
    """An e-mail that is due; without `problem` it reports the end of the notice's."""

    notice: Notice
    problem: ReportedProblem | None

    @property
    def subject(self) -> str:
        title, _ = TITLES[self.notice.topic]
        return title if self.problem else f"Resolved: {title}"


def find_problems(config: Configuration, now: datetime) -> dict[str, ReportedProblem]:
    """Return the present problems by topic."""
    scope = RunScope(get_host_operator())
    health = judge_sync(scope, config=config, now=now)
    problems = {
        topic: ReportedProblem(error.message, error.fix)
        for error in health.problems
        if (topic := _TOPICS.get(type(error)))
    }
    if pending := problems.get("removals"):
        rows = scope.removals().filter(is_pending_q(now))
        # An expired decision is as new as a removal.
        newest = rows.aggregate(Max("first_seen_at"), Max("expires_at")).values()
        mark = max((at.astimezone(UTC).isoformat() for at in newest if at), default="")
        problems["removals"] = ReportedProblem(pending.message, pending.fix, mark)
    for warning in health.warnings:
        if warning.check == "scheduler":
            problems["scheduler"] = ReportedProblem(warning.message, warning.fix)
    if rotation := get_key_health(now).rotation_warning:
        problems["key_rotation"] = ReportedProblem(*rotation)
    return problems


def _find_due(config: Configuration, now: datetime) -> Iterator[News]:
    """Store new problems, delete unreported ones that have ended, and yield the due e-mails."""
    problems = find_problems(config, now)
    notices = {notice.topic: notice for notice in Notice.objects.all()}
    for topic in TITLES:
        problem, notice = problems.get(topic), notices.get(topic)
        if notice is None:
            if problem is None:
                continue
            notice = Notice.objects.create(topic=topic, seen_at=now)
        elif problem is None and notice.reported_at is None:
            notice.delete()
            continue
        if _is_due(notice, problem, now):
            yield News(notice, problem)


def _is_due(notice: Notice, problem: ReportedProblem | None, now: datetime) -> bool:
    if notice.attempts and notice.attempted_at is not None:
        wait = timedelta(minutes=min(2 ** min(notice.attempts, 10), MAX_RETRY_MINUTES))
        if not _has_passed(notice.attempted_at, wait, now):
            return False
    if problem is None:
        return True
    if notice.reported_at is None:
        grace = SCHEDULER_GRACE if notice.topic == "scheduler" else timedelta(0)
        return _has_passed(notice.seen_at, grace, now)
    return problem.mark > notice.mark and _has_passed(notice.reported_at, MIN_REPEAT, now)


def _has_passed(since: datetime, duration: timedelta, now: datetime) -> bool:
    """Also true for a time in the future: the clock was ahead, and must not delay a report."""
    return not since <= now < since + duration


def send_news(*, config: Configuration, now: datetime) -> int:
    """Send the e-mails that are due, and return how many the mail server accepted.

    Nothing is sent on a restored server, which may be a copy, or while another process sends. All
    attempts together take at most MAX_SECONDS. Raises SettingInvalid.
    """
    if find_restoration() is not None:
        return 0
    sent = 0
    with process_lock(LOCK) as is_free:
        due = list(_find_due(config, now)) if is_free else []
        deadline = time.monotonic() + MAX_SECONDS
        for news in due:
            seconds = deadline - time.monotonic()
            if seconds < 1 or not _send(news, config, now, seconds):
                break  # The server would fail the others too. They are due at the next time.
            sent += 1
    return sent


def _send(news: News, config: Configuration, now: datetime, seconds: float) -> bool:
    """Send one e-mail, and record the result; return whether it was accepted."""
    notice = news.notice
    # Before the attempt, so that a process that is killed by it leaves it for later.
    notice.attempts, notice.attempted_at = notice.attempts + 1, now
    notice.save()
    problem = news.problem
    title, page = TITLES[notice.topic]
    text = f"Resolved: {title}."
    if problem is not None:
        text = f"{problem.message}\n\nFix: {problem.fix}"
    try:
        url = f"{config.get_url('SCAIWAVE_PUBLIC_URL')}/admin/{page}"
        body = config.mask_secrets(f"{text}\n\n{url}\n")
        send_mail(config, news.subject, body, seconds=seconds)
    except ScaiWaveError as error:
        notice.error = error.message[:1000]
        notice.save()
        log_error(logger, f"E-mail not sent: {news.subject}", error)
        return False
    if problem is None:
        notice.delete()
        return True
    notice.reported_at, notice.mark = now, problem.mark
    notice.attempts, notice.error = 0, ""
    notice.save()
    return True


# When


def report_problems() -> None:
    """Send or queue e-mails that are due. Never raises: no sync may fail because of an e-mail.

    With Redis a worker sends it, unless the last such job still waits for one.
    """
    if not settings.CONFIG.get_str(RECIPIENTS):
        return
    try:
        with translate_errors():
            if not _try_to_enqueue():
                send_news(config=settings.CONFIG, now=datetime.now(UTC))
    except ScaiWaveError as error:
        log_error(logger, "Problems were not reported by e-mail", error)
    except Exception:
        logger.exception("Problems were not reported by e-mail.")


def _try_to_enqueue() -> bool:
    """Queue a job for the e-mails that are due, if any; return whether that is up to workers."""
    if not settings.REDIS_URL:
        return False
    from scaiwave.queue.rq_queue import count_waiting, enqueue_job

    try:
        with open_redis() as redis:
            if count_waiting(redis, JOB):
                return False
            if _has_due():
                enqueue_job(redis, JOB)
    except RedisUnreachable:
        return False
    return True


def _has_due() -> bool:
    if find_restoration() is not None:
        return False
    with process_lock(LOCK) as is_free:
        return is_free and bool(list(_find_due(settings.CONFIG, datetime.now(UTC))))


def start_watching() -> None:
    """Report problems once a minute for as long as this process runs, in a thread of its own.

    The web server does: it notices dead workers, and without Redis that cron has stopped.
    """
    if settings.CONFIG.get_str(RECIPIENTS):
        threading.Thread(target=_watch, name="notifications", daemon=True).start()


def _watch() -> None:
    while True:
        report_problems()
        connections.close_all()
        time.sleep(TICK_SECONDS)

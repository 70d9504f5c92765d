"""Jobs of the workers, which run the same services as the commands."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings

from identity_sync.errors import SyncLocked, SyncPartial, SyncStopped
from identity_sync.models import Outcome, SyncRun, Trigger
from identity_sync.sync.lock import sync_lock
from identity_sync.sync.options import Pace, SyncOptions
from identity_sync.sync.record.history import close_interrupted
from identity_sync.sync.request import run_request
from identity_sync.sync.run import run_sync
from identity_sync.sync.time_limit import get_time_limit
from identity_sync.webhooks.process import process_events
from identity_sync.webhooks.start import start_processing
from scaiwave.core.operators import get_host_operator

logger = logging.getLogger("scaiwave.worker")

MAX_WEBHOOK_SECONDS, MAX_WEBHOOK_EVENTS = 10.0, 500
"""What one job handles: a sync in the queue waits for the one that is in progress."""
MAX_RECORD_SECONDS = 5.0
MAX_WAIT_SECONDS = 60
"""How long a scheduled sync waits for another one, as the documented crontab line does."""


def full_sync() -> dict[str, object]:
    """Run a scheduled full sync and return its report; an error fails the job, unless everything
    else was applied. The run is recorded.

    It runs as the host operator even if SCAIWAVE_REQUIRE_ADMIN_TOKEN is set: a schedule has no
    session, and only someone with access to this server's configuration can set it up. It uses the
    credentials of this server, and never SCAIWAVE_ADMIN_TOKEN, which would expire.
    """
    options = SyncOptions(
        get_host_operator(),
        trigger=Trigger.CRON,
        pace=Pace(MAX_WAIT_SECONDS, timeout=get_time_limit(settings.CONFIG)),
    )
    try:
        report = run_sync(options)
    except SyncPartial as error:  # What it skipped is reported until it is resolved.
        report = error.report
    return {**report.document(), "run_id": str(report.run_id)}


def run_requested_sync(run_id: str) -> dict[str, object]:
    """Run a sync that was requested in the admin site; the run is recorded under this ID.

    A dry run that is refused has done its work: its run shows the refusal.
    """
    try:
        report = run_request(UUID(run_id), now=datetime.now(UTC))
    except SyncStopped as error:
        is_dry_run = SyncRun.objects.filter(pk=run_id, is_dry_run=True).exists()
        if not (is_dry_run or isinstance(error, SyncPartial)):
            raise
        report = error.report
    return {**report.document(), "run_id": run_id}


def record_killed_run(reason: str) -> None:
    """Record the end of the run of a job whose process was killed.

    The process may have had no run, and the run of another one may be in progress.
    """
    if not SyncRun.objects.filter(outcome=Outcome.RUNNING).exists():
        return
    try:
        with sync_lock(wait_seconds=MAX_RECORD_SECONDS):
            close_interrupted(datetime.now(UTC), reason=reason)
    except SyncLocked:
        logger.warning(
            "Another sync is in progress, or the database has not noticed the end of the process: "
            "if the killed job had a run, the next sync records its end."
        )


def process_webhooks() -> None:
    """Handle stored webhooks, as the host operator.

    Another job handles the rest, behind the jobs that wait already: a stream of events must not
    keep the only worker from a sync.
    """
    if process_events(
        operator=get_host_operator(), seconds=MAX_WEBHOOK_SECONDS, events=MAX_WEBHOOK_EVENTS
    ):
        start_processing()

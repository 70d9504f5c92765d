"""The jobs that workers may run, and when the scheduler starts them.

They are named by their dotted paths, and imported only by the process that runs one.
"""

from __future__ import annotations

from collections.abc import Mapping

from scaiwave.queue.definitions import (
    BACKGROUND,
    DAY,
    HOUR,
    MINUTE,
    JobDefinition,
    get_sync_job_timeout,
    takes_one_id,
)

SYNC_CRON = "3-59/10 * * * *"
"""Every ten minutes, but not on the full ten, when jobs of other systems run."""

# No other job starts on a full ten either. `wait_seconds` is shorter than the interval of a job, so
# that a worker that was down for a night finds one of each, and not sixty syncs.
_DEFINITIONS = (
    JobDefinition(
        "tenants.jobs.refresh_usage",
        queue=BACKGROUND,
        get_timeout=lambda config: 10 * MINUTE,
        wait_seconds=59 * MINUTE,
        cron="7 * * * *",
        # Without ScaiGrid the job would fail every hour.
        is_scheduled=lambda config: bool(config.get_str("SCAIWAVE_SCAIGRID_URL")),
        why_off="SCAIWAVE_SCAIGRID_URL is not set.",
        command="admin refresh-usage",
    ),
    JobDefinition(
        "tenants.jobs.purge_participants",
        queue=BACKGROUND,
        get_timeout=lambda config: HOUR,
        wait_seconds=12 * HOUR,
        cron="23 4 * * *",
        is_scheduled=lambda config: config.get_int("SCAIWAVE_PURGE_AFTER_DAYS") > 0,
        why_off="SCAIWAVE_PURGE_AFTER_DAYS is 0.",
        command="admin purge-participant --purge-after <days> --yes",
    ),
    JobDefinition(
        "tenants.jobs.record_figures",
        queue=BACKGROUND,
        moved_to="scaiwave.operations.jobs.tasks.record_figures",
        get_timeout=lambda config: 10 * MINUTE,
        wait_seconds=HOUR,
        cron="53 23 * * *",
        command="admin record-figures",
    ),
    JobDefinition(
        "tenants.jobs.seal_audit",
        queue=BACKGROUND,
        get_timeout=lambda config: HOUR,
        wait_seconds=50 * MINUTE,
        # Days begin at midnight UTC, whatever the host's time zone is; when nothing is due
        # it takes one query.
        cron="17 * * * *",
        command="admin audit seal",
    ),
    JobDefinition(
        "tenants.jobs.prune_records",
        queue=BACKGROUND,
        moved_to="scaiwave.operations.jobs.tasks.prune_records",
        get_timeout=lambda config: HOUR,
        wait_seconds=12 * HOUR,
        cron="41 4 * * *",
        command="admin prune",
    ),
    JobDefinition(
        "rooms.jobs.run_retention",
        queue=BACKGROUND,
        # What one night leaves, the next one continues.
        get_timeout=lambda config: 6 * HOUR,
        wait_seconds=12 * HOUR,
        cron="11 3 * * *",
        command="admin retention run --yes",
    ),
    JobDefinition(
        "rooms.jobs.backfill_search",
        queue=BACKGROUND,
        get_timeout=lambda config: HOUR,
        accepts=takes_one_id,
        cron="37 * * * *",
        is_scheduled=lambda config: False,
        is_of_cron=True,
        command="room search-index --inline",
    ),
    JobDefinition(
        "rooms.jobs.run_tenant_task",
        queue=BACKGROUND,
        get_timeout=lambda config: DAY,
        accepts=takes_one_id,
        runs_once=True,
        occasion="Export tenant or Plan erasure in the admin site",
    ),
    JobDefinition(
        "identity_sync.jobs.full_sync",
        on_killed="identity_sync.jobs.record_killed_run",
        # Syncs are rare, and jobs of events are not: a sync does not wait for those in the queue.
        at_front=True,
        get_timeout=get_sync_job_timeout,
        wait_seconds=9 * MINUTE,
        cron=SYNC_CRON,
        command="sync --scheduled --wait 60",
    ),
    JobDefinition(
        "identity_sync.jobs.run_requested_sync",
        on_killed="identity_sync.jobs.record_killed_run",
        at_front=True,
        get_timeout=get_sync_job_timeout,
        wait_seconds=9 * MINUTE,
        accepts=takes_one_id,
        runs_once=True,
        is_single=True,
        occasion="Sync now or Dry run in the admin site",
    ),
    JobDefinition(
        "identity_sync.jobs.process_webhooks",
        on_killed="identity_sync.jobs.record_killed_run",
        get_timeout=lambda config: HOUR,
        occasion="webhooks from ScaiKey",
        process="process_webhooks",
    ),
    JobDefinition(
        "scaiwave.operations.jobs.tasks.send_notifications",
        get_timeout=lambda config: MINUTE,
        wait_seconds=HOUR,
        occasion="problems to report by e-mail",
    ),
)

JOBS: Mapping[str, JobDefinition] = {each.function: each for each in _DEFINITIONS}

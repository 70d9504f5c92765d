"""The schedule of this server, for `scaiwave manage rqcron identity_sync.schedule`.

It is in this app because `rqcron` takes one module, and this app may import the jobs of the others.
"""

from django.conf import settings
from rq import cron

from identity_sync.jobs import full_sync
from identity_sync.queries.status import SCHEDULED_MINUTES
from tenants.jobs import purge_participants, refresh_usage

_FIRST, _LAST, _STEP = SCHEDULED_MINUTES.start, SCHEDULED_MINUTES.stop - 1, SCHEDULED_MINUTES.step
SYNC_CRON = f"{_FIRST}-{_LAST}/{_STEP} * * * *"
USAGE_CRON = "7 * * * *"
PURGE_CRON = "23 4 * * *"

MINUTE, DAY = 60, 24 * 60 * 60

# `ttl` is the number of seconds for which a job waits for a worker. It ends before the next job of
# the same kind is queued, so that a worker that was down for a night finds one sync, not sixty.
# `failure_ttl` is how long Redis keeps a failed job; RQ's default of a year would fill Redis.
cron.register(
    full_sync,
    queue_name="default",
    cron=SYNC_CRON,
    job_timeout=60 * MINUTE,
    ttl=9 * MINUTE,
    failure_ttl=7 * DAY,
)
if settings.CONFIG.get_str(
    "SCAIWAVE_SCAIGRID_URL"
):  # Without ScaiGrid the job would fail every hour.
    cron.register(
        refresh_usage,
        queue_name="default",
        cron=USAGE_CRON,
        job_timeout=10 * MINUTE,
        ttl=59 * MINUTE,
        failure_ttl=7 * DAY,
    )
if settings.CONFIG.get_int("SCAIWAVE_PURGE_AFTER_DAYS"):
    cron.register(
        purge_participants,
        queue_name="default",
        cron=PURGE_CRON,
        job_timeout=60 * MINUTE,
        ttl=12 * 60 * MINUTE,
        failure_ttl=7 * DAY,
    )

"""The schedule of this server, for `scaiwave manage rqcron identity_sync.schedule`.

It is here because this application may know of jobs below it, and `rqcron` takes one module.
"""

from django.conf import settings
from rq import cron

from identity_sync.jobs import full_sync
from identity_sync.queries.status import SCHEDULED_MINUTES
from tenants.jobs import refresh_usage

_FIRST, _LAST, _STEP = SCHEDULED_MINUTES.start, SCHEDULED_MINUTES.stop - 1, SCHEDULED_MINUTES.step
EVERY_TEN_MINUTES_OFF_ZERO = f"{_FIRST}-{_LAST}/{_STEP} * * * *"
HOURLY_OFF_ZERO = "7 * * * *"

MINUTE, DAY = 60, 24 * 60 * 60

# In seconds, `ttl` is how long a job waits for a worker. It ends before the next of its kind is
# asked for, so that a worker that comes back after a night finds one sync to do and not sixty.
# `failure_ttl` is how long Redis keeps a failed one; RQ's own year would fill it.
cron.register(
    full_sync,
    queue_name="default",
    cron=EVERY_TEN_MINUTES_OFF_ZERO,
    job_timeout=60 * MINUTE,
    ttl=9 * MINUTE,
    failure_ttl=7 * DAY,
)
if settings.CONFIG.get_str("SCAIWAVE_SCAIGRID_URL"):  # Without a ScaiGrid it would fail every hour.
    cron.register(
        refresh_usage,
        queue_name="default",
        cron=HOURLY_OFF_ZERO,
        job_timeout=10 * MINUTE,
        ttl=59 * MINUTE,
        failure_ttl=7 * DAY,
    )

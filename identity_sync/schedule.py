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

cron.register(full_sync, queue_name="default", cron=EVERY_TEN_MINUTES_OFF_ZERO, job_timeout=3600)
if settings.CONFIG.text("SCAIWAVE_SCAIGRID_URL"):  # Without a ScaiGrid it would fail every hour.
    cron.register(refresh_usage, queue_name="default", cron=HOURLY_OFF_ZERO, job_timeout=600)

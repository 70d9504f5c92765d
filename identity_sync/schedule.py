"""The schedule, for `scaiwave manage rqcron identity_sync.schedule`."""

from rq import cron

from identity_sync.jobs import full_sync
from identity_sync.queries.status import SCHEDULED_MINUTES

_FIRST, _LAST, _STEP = SCHEDULED_MINUTES.start, SCHEDULED_MINUTES.stop - 1, SCHEDULED_MINUTES.step
EVERY_TEN_MINUTES_OFF_ZERO = f"{_FIRST}-{_LAST}/{_STEP} * * * *"

cron.register(full_sync, queue_name="default", cron=EVERY_TEN_MINUTES_OFF_ZERO, job_timeout=3600)

"""The schedule, for `scaiwave manage rqcron identity_sync.schedule`."""

from rq import cron

from identity_sync.jobs import full_sync

# Off the full ten minutes, where everybody else's jobs are (ScaiWave docs, reference/cli).
EVERY_TEN_MINUTES_OFF_ZERO = "3-59/10 * * * *"

cron.register(
    full_sync, queue_name="default", cron=EVERY_TEN_MINUTES_OFF_ZERO, job_timeout=3600
)

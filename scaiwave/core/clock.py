"""Times that were recorded while a clock was wrong.

Every age is a difference of two clocks. One that was ahead once, on this host or another, has left
times in the future behind: compared naively, such rows stay new until then.
"""

from __future__ import annotations

from datetime import datetime, timedelta

MAX_CLOCK_AHEAD = timedelta(seconds=60)
"""How far clocks of hosts may differ, as for tokens and signatures (ScaiWave docs,
troubleshooting/federation-handshake-fails). A later time is in the future."""


def get_latest_time(now: datetime) -> datetime:
    """Return the latest time that a clock within the tolerance can have recorded."""
    return now + MAX_CLOCK_AHEAD


def is_in_future(time: datetime, now: datetime) -> bool:
    return time > get_latest_time(now)


def is_recent(time: datetime, now: datetime, *, max_age: timedelta) -> bool:
    """Return whether so much time has passed at most; a time in the future is not recent."""
    return now - time <= max_age and not is_in_future(time, now)

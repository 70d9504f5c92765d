"""Parse the times that operators type."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

TIME_FORMATS = (
    "today, yesterday, a date, a time such as 2026-11-24T09:30, or an age: 90m, 12h, 7d, 2 days ago"
)
_DAYS_AGO = {"today": 0, "yesterday": 1}
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(
    r"(\d{1,6})(?:([mhdw])(?: ago)?| ?(minute|hour|day|week)s? ago)", re.ASCII | re.IGNORECASE
)


def parse_time(text: str, *, now: datetime, zone: tzinfo, whole_days: int = 0) -> datetime:
    """Return a time in UTC. A text without a time zone is in `zone`.

    A date is its beginning, or the beginning of the day that is `whole_days` later. Raises
    ValueError.
    """
    try:
        if age := _AGE.fullmatch(text):
            count, short, word = age.groups()
            return now - timedelta(**{_UNITS[(short or word)[0].lower()]: int(count)})
        if text.lower() in _DAYS_AGO or re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            ago = _DAYS_AGO.get(text.lower())
            today = now.astimezone(zone).date()
            day = date.fromisoformat(text) if ago is None else today - timedelta(days=ago)
            day += timedelta(days=whole_days)
            time = datetime(day.year, day.month, day.day, tzinfo=zone)
        else:
            time = datetime.fromisoformat(text.upper())
            time = time if time.tzinfo else time.replace(tzinfo=zone)
        # Convert it here, since a time that can't be expressed in UTC is invalid.
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error

"""Parse the time window of an export from command line options."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from rooms.bundle.manifest.schema import TimeWindow, format_timestamp
from scaiwave.core.errors import UsageError

_DAY = r"\d{4}-\d\d-\d\d"
_FORM = re.compile(rf"{_DAY}(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d{{1,6}})?(?:[Zz]|[+-]\d\d:\d\d))?")


def parse_time_window(since: str | None, until: str | None) -> TimeWindow:
    """Raises `UsageError`."""
    window = TimeWindow(_parse_timestamp(since, "--since"), _parse_timestamp(until, "--until"))
    # Timestamps in the only form of the format sort as text.
    if window.since and window.until and window.since >= window.until:
        raise UsageError(
            f"Empty time window: --since {since} is not before --until {until}.",
            fix="Pass the first moment to export as --since and the first one to leave out as "
            "--until.",
        )
    return window


def _parse_timestamp(text: str | None, option: str) -> str | None:
    """A date means its beginning in UTC."""
    if text is None:
        return None
    try:
        if not _FORM.fullmatch(text):
            raise ValueError
        timestamp = datetime.fromisoformat(text.upper())
        return format_timestamp(timestamp.replace(tzinfo=timestamp.tzinfo or UTC))
    except (ValueError, OverflowError):
        raise UsageError(
            f"Invalid {option}: {text!r} is not a date, or a time with its time zone.",
            fix="Write it as 2026-11-24 (the day's beginning in UTC), 2026-11-24T19:05:00Z or "
            "2026-11-24T20:05:00+01:00.",
        ) from None

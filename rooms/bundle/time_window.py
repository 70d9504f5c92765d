"""Parse the time window of an export."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from rooms.bundle.manifest.schema import TimeWindow, format_timestamp
from scaiwave.core.errors import UsageError
from scaiwave.core.times import TIME_FORMATS, parse_time


def parse_time_window(
    since: str | None, until: str | None, *, now: datetime, zone: tzinfo = UTC
) -> TimeWindow:
    """Raises `UsageError`."""
    window = TimeWindow(_parse(since, "--since", now, zone), _parse(until, "--until", now, zone))
    # Timestamps in the only form of the format sort as text.
    if window.since and window.until and window.since >= window.until:
        raise UsageError(
            f"Empty time window: --since {since} is not before --until {until}.",
            fix="Pass the first moment to export as --since and the first one to leave out as "
            "--until.",
        )
    return window


def _parse(text: str | None, option: str, now: datetime, zone: tzinfo) -> str | None:
    """A date means its beginning in the time zone."""
    if text is None:
        return None
    try:
        return format_timestamp(parse_time(text, now=now, zone=zone))
    except ValueError:
        raise UsageError(
            f"Invalid {option}: {text!r} is not {TIME_FORMATS}.",
            fix="Write it as 2026-11-24 (the day's beginning), 2026-11-24T19:05:00Z, "
            "2026-11-24T20:05:00+01:00 or yesterday.",
        ) from None

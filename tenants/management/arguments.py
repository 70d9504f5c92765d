"""Argparse types and options that several commands share."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.core.errors import UsageError

NO_LIMIT = "none"


def limit_arg(text: str) -> int | str:
    """Parse a limit. The word `none` means unlimited; Python's None means the option is omitted."""
    if text == NO_LIMIT:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise ArgumentTypeError(f"{text!r} is not a whole number or `none`")
    return int(text)


def add_limits(parser: ArgumentParser, **helps: str) -> None:
    """Add an option for each of these limits, named after its column."""
    for name, text in helps.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=limit_arg, help=text)


def limits_from_options(options: dict[str, Any], *names: str) -> dict[str, int | None]:
    """Return the limits that were passed; None means unlimited."""
    return {
        name: None if options[name] == NO_LIMIT else options[name]
        for name in names
        if options[name] is not None
    }


TIME_FORMATS = "today, yesterday, a date, a time such as 2026-11-24T09:30, or an age: 90m, 12h, 7d"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS_AGO = {"today": 0, "yesterday": 1}


def since(text: str) -> datetime:
    """Parse the start of a period. A date means the start of the day, in local time."""
    return _parse_time(text, whole_days=0, zone=settings.LOCAL_ZONE)


def until(text: str) -> datetime:
    """Parse the end of a period. A date includes the whole day."""
    return _parse_time(text, whole_days=1, zone=settings.LOCAL_ZONE)


def utc_since(text: str) -> datetime:
    """Parse the start of a period of days in UTC."""
    return _parse_time(text, whole_days=0, zone=UTC)


def utc_until(text: str) -> datetime:
    """Parse the end of a period of days in UTC. A date includes the whole day."""
    return _parse_time(text, whole_days=1, zone=UTC)


def ensure_period(start: datetime | None, end: datetime | None) -> None:
    """Raise UsageError for an empty period, which has no rows for another reason."""
    if start is not None and start > timezone.now():
        raise UsageError("--since is in the future.", fix="Pass a time that has passed.")
    if start is not None and end is not None and start >= end:
        raise UsageError(
            "--since is not before --until.", fix="Exchange the two, or pass only --since."
        )


def _parse_time(text: str, *, whole_days: int, zone: tzinfo) -> datetime:
    try:
        if age := re.fullmatch(r"(\d{1,6})([mhdw])", text, re.ASCII):
            count, unit = age.groups()
            return timezone.now() - timedelta(**{_UNITS[unit]: int(count)})
        if text in _DAYS_AGO or re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            day = _parse_day(text, zone) + timedelta(days=whole_days)
            return datetime(day.year, day.month, day.day, tzinfo=zone)
        timestamp = datetime.fromisoformat(text)
        if timestamp.tzinfo is None:
            timestamp = timestamp.replace(tzinfo=zone)
        # Convert it here, since a time that can't be expressed in UTC is invalid.
        return timestamp.astimezone(timezone.get_default_timezone())
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not {TIME_FORMATS}") from None


def _parse_day(text: str, zone: tzinfo) -> date:
    if text in _DAYS_AGO:
        return timezone.now().astimezone(zone).date() - timedelta(days=_DAYS_AGO[text])
    return date.fromisoformat(text)

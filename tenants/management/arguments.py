"""Argparse types and options that several commands share."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime, tzinfo
from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.arguments import Arguments, option
from scaiwave.core.errors import UsageError
from scaiwave.core.times import TIME_FORMATS, parse_time

NO_LIMIT = "none"


def limit_arg(text: str) -> int | str:
    """Parse a limit. The word `none` means unlimited; Python's None means the option is omitted.

    The largest limit has 19 digits; services check the value.
    """
    if text == NO_LIMIT:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise ArgumentTypeError(f"{text!r} is not a whole number or `none`")
    return int(text)


def limit(text: str) -> Any:
    """Declare an option with a limit, whose field is named after its column."""
    return option(text, metavar="N", type=limit_arg)


def read_limits(given: Arguments) -> dict[str, int | None]:
    """Return the limits that were passed; None means unlimited."""
    return {
        name: None if value == NO_LIMIT else value
        for name, value in vars(given).items()
        if name.startswith("max_") and value is not None
    }


def since(text: str) -> datetime:
    """Parse the start of a period. A date means the start of the day, in local time."""
    return _parse(text, zone=settings.LOCAL_ZONE)


def until(text: str) -> datetime:
    """Parse the end of a period. A date includes the whole day."""
    return _parse(text, zone=settings.LOCAL_ZONE, whole_days=1)


def utc_since(text: str) -> datetime:
    """Parse the start of a period of days in UTC, which seals of the audit log are about."""
    return _parse(text, zone=UTC)


def utc_until(text: str) -> datetime:
    """Parse the end of a period of days in UTC. A date includes the whole day."""
    return _parse(text, zone=UTC, whole_days=1)


def ensure_period(start: datetime | None, end: datetime | None) -> None:
    """Raise UsageError for an empty period, whose list would be empty whatever happened."""
    if start is not None and start > timezone.now():
        raise UsageError("--since is in the future.", fix="Pass a time that has passed.")
    if start is not None and end is not None and start >= end:
        raise UsageError(
            "--since is not before --until.", fix="Exchange the two, or pass only --since."
        )


def _parse(text: str, *, zone: tzinfo, whole_days: int = 0) -> datetime:
    try:
        return parse_time(text, now=timezone.now(), zone=zone, whole_days=whole_days)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not {TIME_FORMATS}") from None

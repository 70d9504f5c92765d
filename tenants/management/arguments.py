"""What is typed as the value of an option, for argparse."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

NO_LIMIT = "none"


def positive_int(text: str) -> int:
    """For argparse: a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def limit_arg(text: str) -> int | str:
    """A whole number, or `none`, which is not None: that is an option not given."""
    if text == NO_LIMIT:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise ArgumentTypeError(f"{text!r} is neither a whole number nor none")
    return int(text)


def add_limits(parser: ArgumentParser, **helps: str) -> None:
    """An option for each of these limits, by the name of its column."""
    for name, text in helps.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=limit_arg, help=text)


def limits_from_options(options: dict[str, Any], *names: str) -> dict[str, int | None]:
    """The limits that were given; None is no limit."""
    return {
        name: None if options[name] == NO_LIMIT else options[name]
        for name in names
        if options[name] is not None
    }


PERIOD_HELP = "a date, 2026-11-24T09:30, or how long ago: 90m, 12h, 7d"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str) -> datetime:
    """The moment, or the beginning of the day; local time where no zone is given."""
    return _parse_time(text, whole_days=0)


def until(text: str) -> datetime:
    """The moment, or the end of the day."""
    return _parse_time(text, whole_days=1)


def _parse_time(text: str, *, whole_days: int) -> datetime:
    try:
        if ago := re.fullmatch(r"(\d{1,6})([mhdw])", text, re.ASCII):
            count, unit = ago.groups()
            return timezone.now() - timedelta(**{_UNITS[unit]: int(count)})
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            day = date.fromisoformat(text) + timedelta(days=whole_days)
            return datetime(day.year, day.month, day.day, tzinfo=settings.LOCAL_ZONE)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=settings.LOCAL_ZONE)
        # What can't be told in UTC can't be compared either.
        return moment.astimezone(timezone.get_default_timezone())
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not {PERIOD_HELP}") from None

"""Moments as people type them."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import date, datetime, timedelta

from django.conf import settings
from django.utils import timezone

HELP = "a date, 2026-11-24T09:30, or how long ago: 90m, 12h, 7d"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str) -> datetime:
    """The moment, or the beginning of the day; local time where no zone is given."""
    return _moment(text, whole_days=0)


def until(text: str) -> datetime:
    """The moment, or the end of the day."""
    return _moment(text, whole_days=1)


def _moment(text: str, *, whole_days: int) -> datetime:
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
        raise ArgumentTypeError(f"{text!r} is not {HELP}") from None

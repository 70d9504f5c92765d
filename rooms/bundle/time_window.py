"""The part of a room's time that a bundle is about."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from rooms.bundle.writer import format_timestamp
from scaiwave.errors import UsageError

_DAY = r"\d{4}-\d\d-\d\d"
_FORM = re.compile(rf"{_DAY}(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d{{1,6}})?(?:[Zz]|[+-]\d\d:\d\d))?")


@dataclass(frozen=True)
class Window:
    """Events with `since <= origin_ts < until`; both aware, None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def document(self) -> dict[str, str | None] | None:
        """As the manifest has it: None for all of the room."""
        if self.since is None and self.until is None:
            return None
        return {
            "since": format_timestamp(self.since) if self.since else None,
            "until": format_timestamp(self.until) if self.until else None,
        }

    @property
    def first_second(self) -> int | None:
        """The least `origin_ts` that is in it."""
        return math.ceil(self.since.timestamp()) if self.since else None

    @property
    def end_second(self) -> int | None:
        """The least `origin_ts` that is past it."""
        return math.ceil(self.until.timestamp()) if self.until else None


def parse_window(since: str | None, until: str | None) -> Window:
    """From what was typed. Raises `UsageError`."""
    window = Window(_moment(since, "--since"), _moment(until, "--until"))
    if window.since and window.until and window.since >= window.until:
        raise UsageError(
            f"--since {since} is not before --until {until}, so nothing lies between them.",
            fix="--since is the first moment to export, --until the first one to leave out.",
        )
    return window


def _moment(text: str | None, flag: str) -> datetime | None:
    """A day is its first moment in UTC."""
    if text is None:
        return None
    try:
        if not _FORM.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text.upper())
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{flag} {text!r} is not a day or a time with its zone.",
            fix="Write it as 2026-11-24 (the day's beginning in UTC), 2026-11-24T19:05:00Z or "
            "2026-11-24T20:05:00+01:00.",
        ) from None

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from scaiwave.core.times import parse_time

pytestmark = pytest.mark.dated

NOW = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
EAST = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("7d ago", NOW - timedelta(days=7)),
        ("2 days ago", NOW - timedelta(days=2)),
        ("1 Hour ago", NOW - timedelta(hours=1)),
        ("30 minutes ago", NOW - timedelta(minutes=30)),
        ("3 weeks ago", NOW - timedelta(weeks=3)),
        # In this zone it is the 25th.
        ("today", datetime(2026, 11, 25, tzinfo=EAST)),
        ("Yesterday", datetime(2026, 11, 24, tzinfo=EAST)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=EAST)),
        ("2026-11-01T09:30", datetime(2026, 11, 1, 9, 30, tzinfo=EAST)),
        ("2026-11-01 09:30:15", datetime(2026, 11, 1, 9, 30, 15, tzinfo=EAST)),
        ("2026-11-01t09:30z", datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
    ],
)
def test_success_times(text: str, time: datetime) -> None:
    parsed = parse_time(text, now=NOW, zone=EAST)
    assert (parsed, parsed.tzinfo) == (time, UTC if "-" in text or "day" in text else NOW.tzinfo)


def test_success_the_end_of_a_day() -> None:
    end = datetime(2026, 11, 25, tzinfo=EAST)
    assert parse_time("yesterday", now=NOW, zone=EAST, whole_days=1) == end
    assert parse_time("2026-11-24", now=NOW, zone=EAST, whole_days=1) == end
    assert parse_time("1 day ago", now=NOW, zone=EAST, whole_days=1) == NOW - timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "days ago", "2 days", "2 months ago", "-1d", "٣d", "2026-11-24\n"),
        *("9999999d", "999999 weeks ago", "0001-01-01"),
    ],
)
def test_fail_other_texts(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is not shown
        parse_time(text, now=NOW, zone=EAST)

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rooms.bundle.manifest.schema import WHOLE_ROOM, TimeWindow
from rooms.bundle.time_window import parse_time_window
from scaiwave.core.errors import UsageError
from scaiwave.core.times import TIME_FORMATS
from tests.rooms.exports.factories import make_window

pytestmark = pytest.mark.dated

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T12:00:00Z", NOON),
        ("2026-11-24t12:00:00z", NOON),
        ("2026-11-24 13:00:00+01:00", NOON),
        ("2026-11-24T12:00", NOON),
        ("yesterday", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2 days ago", NOON - timedelta(days=2)),
        ("2026-11-24T12:00:00.25Z", NOON + timedelta(milliseconds=250)),
    ],
)
def test_success_times(text: str, moment: datetime) -> None:
    window = parse_time_window(text, None, now=NOON)
    assert window == make_window(since=moment)


def test_success_open() -> None:
    assert parse_time_window(None, None, now=NOON) == WHOLE_ROOM
    assert WHOLE_ROOM.for_manifest is None
    assert (WHOLE_ROOM.first_second, WHOLE_ROOM.end_second) == (None, None)


def test_success_seconds() -> None:
    """Whole seconds are in it if they are not before its beginning."""
    half = NOON + timedelta(seconds=0.5)
    second = int(NOON.timestamp())
    assert make_window(NOON, half).first_second == second
    assert make_window(NOON, half).end_second == second + 1
    assert make_window(half).first_second == second + 1


def test_success_document() -> None:
    there = timezone(timedelta(hours=5))
    window = make_window(until=NOON.astimezone(there)).for_manifest
    assert window == TimeWindow(None, "2026-11-24T12:00:00.000000Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "days ago",
        "2026-13-01",
        "2026-02-30",
        "2026-11-24T25:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "2026-11-24\n",
        "٢٠٢٦-11-24",
    ],
)
def test_fail_invalid_time(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_time_window(None, text, now=NOON)
    assert caught.value.message == f"Invalid --until: {text!r} is not {TIME_FORMATS}."


def test_fail_empty_window() -> None:
    with pytest.raises(UsageError) as caught:
        parse_time_window("2026-11-24", "2026-11-24T00:00:00Z", now=NOON)
    assert caught.value.message == (
        "Empty time window: --since 2026-11-24 is not before --until 2026-11-24T00:00:00Z."
    )

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rooms.bundle.time_window import Window, parse_window
from scaiwave.errors import UsageError

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T12:00:00Z", NOON),
        ("2026-11-24t12:00:00z", NOON),
        ("2026-11-24 13:00:00+01:00", NOON),
        ("2026-11-24T12:00:00.25Z", NOON + timedelta(milliseconds=250)),
    ],
)
def test_success_times(text: str, moment: datetime) -> None:
    window = parse_window(text, None)
    assert window == Window(since=moment)
    assert window.since is not None
    assert window.since.tzinfo is UTC


def test_success_open() -> None:
    assert parse_window(None, None) == Window()
    assert Window().document() is None
    assert (Window().first_second, Window().end_second) == (None, None)


def test_success_seconds() -> None:
    """Whole seconds are in it if they are not before its beginning."""
    half = NOON + timedelta(seconds=0.5)
    second = int(NOON.timestamp())
    assert Window(NOON, half).first_second == second
    assert Window(NOON, half).end_second == second + 1
    assert Window(half).first_second == second + 1


def test_success_document() -> None:
    there = timezone(timedelta(hours=5))
    assert Window(until=NOON.astimezone(there)).document() == {
        "since": None,
        "until": "2026-11-24T12:00:00.000000Z",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-24T12:00:00",
        "2026-11-24T12:00Z",
        "20261124",
        "2026-W48-2",
        "2026-13-01",
        "2026-02-30",
        "2026-11-24T25:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "2026-11-24\n",
        "٢٠٢٦-11-24",
    ],
)
def test_fail_no_time(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_window(None, text)
    assert caught.value.message == f"--until {text!r} is not a day or a time with its zone."


def test_fail_nothing_between() -> None:
    with pytest.raises(UsageError) as caught:
        parse_window("2026-11-24", "2026-11-24T00:00:00Z")
    assert caught.value.message == (
        "--since 2026-11-24 is not before --until 2026-11-24T00:00:00Z, so nothing lies between "
        "them."
    )

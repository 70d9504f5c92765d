"""Another clock for all tests and their servers, such as the clock of 29 February.

libfaketime adds the same number of seconds to the clock of each process: pytest, the processes that
tests start, PostgreSQL and Redis. Clocks that only measure durations stay as they are.

Programs in Go ask the kernel themselves, so S3 servers keep the real clock. Redis as Debian builds
it never starts, because jemalloc asks for the time before libfaketime is ready: `tests.services`
takes the one of the Python package, which has another allocator.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

SETTING = "SCAIWAVE_TEST_CLOCK"
DIRECTORIES = ("usr/lib/*/faketime", "usr/lib*/faketime", "usr/local/lib/faketime")
_OPTIONS = {
    "FAKETIME_CACHE_DURATION": "1000000000",  # each process reads its variables once
    "FAKETIME_DISABLE_SHM": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "NO_FAKE_STAT": "1",  # it would fake the times of files in some programs, not in Python
}


class LibraryNotFound(Exception):
    """libfaketime is not installed."""


def shift_clock() -> str:
    """Let all processes that this one starts have the clock of SCAIWAVE_TEST_CLOCK.

    Return a line about it. Raises `ValueError`, or `LibraryNotFound`.
    """
    text, _, zone = os.environ[SETTING].partition("/")
    try:
        info = ZoneInfo(zone or "UTC")
        start = datetime.fromisoformat(text)
    except (ValueError, KeyError, OSError):
        raise ValueError(
            f"{SETTING} must be a moment and may have a time zone, such as "
            "2028-02-29T12:00 or 2027-03-28T01:59:30/Europe/Berlin."
        ) from None
    start = start if start.tzinfo else start.replace(tzinfo=info)
    os.environ.update(build_variables(start - datetime.now(UTC)), TZ=str(info))
    return f"Clock of this run: from {start.isoformat()} ({info})"


def build_variables(shift: timedelta) -> dict[str, str]:
    """Return the variables of a process whose clock is shifted. Raises `LibraryNotFound`."""
    for pattern in DIRECTORIES:
        for directory in sorted(Path("/").glob(pattern)):
            if (library := directory / "libfaketime.so.1").exists():
                seconds = f"{round(shift.total_seconds()):+d}"
                return {"LD_PRELOAD": str(library), "FAKETIME": seconds, **_OPTIONS}
    raise LibraryNotFound(
        f"libfaketime, which {SETTING} needs, was not found. Install it (on Debian and Ubuntu: "
        "apt install libfaketime)."
    )


def is_shifted() -> bool:
    return "FAKETIME" in os.environ


def get_real_environment() -> dict[str, str]:
    """Return the environment of a process that needs the clock of this host."""
    shifting = get_variables()
    return {name: value for name, value in os.environ.items() if name not in shifting}


def get_variables() -> dict[str, str]:
    """Return what gives a process with an environment of its own the clock of this one."""
    names = ("LD_PRELOAD", "FAKETIME", *_OPTIONS)
    return {name: os.environ[name] for name in names} if is_shifted() else {}

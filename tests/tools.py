"""Programs that some tests need and that a host may lack, and how much a run tries."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

from tests.services import clock

# Read at import, because the `home` fixture removes them from the environment.
NIGHTLY = os.environ.get("SCAIWAVE_TEST_NIGHTLY") == "1"
"""Whether tests use larger files and more examples."""
IN_CI = bool(os.environ.get("CI"))
"""Whether `.ci/run`, or another run before a merge, has started this process."""
MAX_EXAMPLES = 100
"""How many examples a property is tried with at night, unless it sets another number."""
NOT_TESTED = "not tested: "
"""Begins the reason of each test that is skipped for what the host lacks."""
_REQUIRED = os.environ.get("SCAIWAVE_REQUIRE_SERVICES") == "1"


def require_tool(*names: str) -> str:
    """Return the path of the first program of these names; without one, skip or fail the test.

    It fails if all services are required.
    """
    search_path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    path = next(filter(None, (shutil.which(name, path=search_path) for name in names)), None)
    if path is None:
        leave_untested(f"{' or '.join(names)} is not installed.")
    return path


def leave_untested(reason: str) -> NoReturn:
    """Skip the test because this host lacks something, or fail it if all services are required.

    What was not tested is repeated at the end of the run.
    """
    if _REQUIRED:
        pytest.fail(reason)
    pytest.skip(f"{NOT_TESTED}{reason}")


def require_real_clock(reason: str) -> None:
    """Skip the test if the clock of this run is shifted: see `tests.services.clock`."""
    if clock.is_shifted():
        pytest.skip(f"{NOT_TESTED}{reason}")


def require_timers_of_postgres() -> None:
    """Skip the test if the clock of this run is shifted.

    PostgreSQL's own limits, such as `lock_timeout`, don't end a session that waits then: in signals
    during `epoll_wait` libfaketime shows the real clock, by which no limit has been reached.
    """
    require_real_clock("PostgreSQL's timeouts need the real clock.")


def count_examples(by_night: int) -> int:
    """Return how many examples a property is tried with: in CI a fifth, and by you an eighth."""
    return by_night if NIGHTLY else max(2, by_night // (5 if IN_CI else 8))

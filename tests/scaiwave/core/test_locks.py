"""Locks are exclusive, and free once their process has ended."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from scaiwave.core.errors import FileUnwritable
from scaiwave.core.locks import is_locked, process_lock, remove_stale_lock_files
from scaiwave.web.transfers import reserve_transfer
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.scaiwave.lock_helpers import hold_lock_elsewhere

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.dated]

HOLD = """
import django
django.setup()
from scaiwave.core.errors import FileUnwritable
from scaiwave.core.locks import is_locked, process_lock, remove_stale_lock_files
with process_lock("work") as free:
    print(free, flush=True)
    input()
"""


def is_free(name: str) -> bool:
    with process_lock(name) as free:
        return free


def test_success_free_then_locked_then_free() -> None:
    with hold_lock_elsewhere("work"):
        assert not is_free("work")
        assert is_free("other-work")
    assert is_free("work")


def test_success_released_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), process_lock("work"):
        raise ZeroDivisionError
    with hold_lock_elsewhere("work"):
        pass


@pytest.mark.only_on("sqlite")
def test_success_lock_files_of_killed_processes_are_removed() -> None:
    directory = settings.HOME / "locks"
    remove_stale_lock_files(min_age=timedelta(0))  # what other tests have left
    with hold_lock_elsewhere("in-use"):
        for name, age_hours in (("killed", 2), ("recent", 0), ("in-use", 2)):
            path = directory / f"{name}.lock"
            path.touch()
            os.utime(path, (time.time() - age_hours * 3600,) * 2)
        assert is_free("work")
        assert {path.stem for path in directory.iterdir()} == {"recent", "in-use"}
    assert remove_stale_lock_files(min_age=timedelta(0)) == 1
    assert list(directory.iterdir()) == []


@pytest.mark.only_on("sqlite")
def test_success_asking_creates_nothing(tmp_path: Path, settings: Settings) -> None:
    settings.HOME = tmp_path / "home"
    assert not is_locked("work")
    assert list(settings.HOME.iterdir()) == []


@pytest.mark.only_on("sqlite")
def test_fail_no_lock_directory(tmp_path: Path, settings: Settings) -> None:
    settings.HOME = tmp_path / "file"
    settings.HOME.touch()
    with pytest.raises(FileUnwritable) as caught, process_lock("work"):
        pass
    assert caught.value.message == f"{settings.HOME}/locks/work.lock can't be written: " + (
        "Not a directory."
    )


def test_success_released_by_a_killed_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=CHECKOUT,
        env={**os.environ, **same_locks()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        assert not is_free("work")
        process.kill()
    deadline = time.monotonic() + 30  # a server has to notice first
    while not is_free("work"):
        assert time.monotonic() < deadline


def same_locks() -> dict[str, str]:
    """The environment with which another process uses this home directory and database."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
        "SCAIWAVE_HOME": str(settings.HOME),
    }
    if connection.vendor == "postgresql":
        given = connection.settings_dict
        host = given["HOST"] or given["OPTIONS"]["host"]
        port = f"&port={given['PORT']}" if given["PORT"] else ""
        environment["SCAIWAVE_DB_URL"] = (
            f"postgres://{given['USER']}:{given['PASSWORD']}@/{given['NAME']}?host={host}{port}"
        )
    return environment


@pytest.mark.only_on("postgresql")
def test_success_released_by_a_broken_session() -> None:
    """What ended the work is what is raised, not that there is nothing left to unlock."""
    with pytest.raises(DatabaseError, match="terminating connection"), process_lock("work"):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    connection.close()
    with hold_lock_elsewhere("work"):
        pass


@pytest.mark.only_on("postgresql")
def test_success_released_by_a_failed_transaction() -> None:
    with pytest.raises(DatabaseError, match="division by zero"), process_lock("work"):
        connection.cursor().execute("BEGIN; SELECT 1 / 0")
    with hold_lock_elsewhere("work"):
        pass


@pytest.mark.only_on("postgresql")
def test_success_nothing_is_queried_when_an_abandoned_lock_is_deleted() -> None:
    """Python deletes a response that no one has closed also in the middle of another query."""
    stack = ExitStack()
    stack.enter_context(reserve_transfer("robin"))
    abandoned: list[object] = [stack.pop_all()]
    abandoned.append(abandoned)  # deleted by the garbage collector, not when it is forgotten
    assert is_locked("transfer-robin-0")
    with CaptureQueriesContext(connection) as captured:
        del abandoned
        gc.collect()
    assert not captured.captured_queries
    connection.close()
    with hold_lock_elsewhere("transfer-robin-0"):
        pass

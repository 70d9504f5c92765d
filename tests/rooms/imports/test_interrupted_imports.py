"""An import that is killed, wherever it is, has made the whole room or nothing of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.databases import migrate
from tests.rooms.imports.conftest import EVENTS, FILES, fill_database
from tests.rooms.imports.import_environment import ImportEnvironment, wait_for
from tests.services.manager import manage_service

pytestmark = pytest.mark.once

KILLS = int(os.environ.get("SCAIWAVE_TEST_KILLS", "3"))


def test_fail_killed(site: ImportEnvironment, large: Path, small: Path) -> None:
    """While it checks, when it has announced its files, has put some, and writes the events."""
    luck = random.Random(7)
    for number in range(KILLS):
        with site.start_import(large) as process:
            files = (0, 0, luck.randrange(1, FILES), FILES)[number % 4]
            if number % 4:
                site.wait_for_intent(process, files=files)
            time.sleep(luck.uniform(0, 0.3))
            process.kill()
            process.communicate()
        site.wait_until_released()
        site.assert_complete(EVENTS)
        assert site.run_import(small).code == 0
        _forget_small(site)
        site.assert_clean()
    before = site.count("rooms")
    assert site.run_import(large).code == 0
    assert site.count("rooms") == before + 1
    site.assert_complete(EVENTS)
    site.assert_clean()
    assert len(site.files()) == FILES


def _forget_small(site: ImportEnvironment) -> None:
    """The room that was only imported so that something tidies up."""
    small = "SELECT id FROM sw_rooms WHERE name = 'Small'"
    with site.connected() as connection:
        for table in ("room_members", "room_imports"):
            connection.execute(f"DELETE FROM sw_{table} WHERE room_id IN ({small})")
        connection.execute("DELETE FROM sw_rooms WHERE name = 'Small'")


@pytest.mark.parametrize(
    ("number", "files", "code", "name"),
    [
        (signal.SIGTERM, 0, 143, "SW_TERMINATED"),
        (signal.SIGINT, FILES // 2, 130, "SW_INTERRUPTED"),
    ],
)
def test_fail_signal(
    site: ImportEnvironment, large: Path, number: signal.Signals, files: int, code: int, name: str
) -> None:
    """It tidies up by itself, wherever it is."""
    with site.start_import(large) as process:
        site.wait_for_intent(process, files=files)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, f"[{name}]" in err) == (code, True), err
    assert "Traceback" not in err
    assert site.count("rooms") == 0
    site.assert_complete(EVENTS)
    site.assert_clean()
    assert site.run_import(large).code == 0


@contextmanager
def own_cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImportEnvironment]:
    """A PostgreSQL of this test's own, since its other sessions die too."""
    with manage_service("postgres") as manager:
        url = manager.wait_for_service().url
        monkeypatch.setenv("SCAIWAVE_DB_URL", url)
        migrate(home, url)
        fill_database(home, url)
        yield ImportEnvironment(url, home)


@pytest.mark.only_on("postgresql")
def test_fail_database_is_killed(
    home: Path, large: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its processes dies by SIGKILL, so it ends every session and recovers by its log."""
    with own_cluster(home, monkeypatch) as site:
        with site.start_import(large) as process:
            os.kill(_copying(site, process), signal.SIGKILL)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "[SW_DATABASE_UNREACHABLE]" in err
        assert "Traceback" not in err
        wait_for(lambda: _answers(site))
        assert (site.count("rooms"), site.count("events")) == (0, 0)
        # A server that has recovered by then lets the import clean up after itself.
        left = (1, FILES) if "Could not clean up after import" in err else (0, 0)
        assert (site.count("import_intents"), len(site.files())) == left
        assert site.run_import(small).code == 0
        site.assert_clean()
        assert site.files() == {}
        assert site.run_import(large).code == 0
        site.assert_clean()


def _copying(site: ImportEnvironment, process: subprocess.Popen[str]) -> int:
    """The server's process that takes in events, as soon as it does."""
    with site.connected() as connection:
        while process.poll() is None:
            if found := connection.execute(
                "SELECT pid FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'COPY sw_events%'"
            ).fetchone():
                return int(found[0])
    pytest.fail(f"It took in no events: {process.communicate()}")


def _answers(site: ImportEnvironment) -> bool:
    try:
        return site.rows("SELECT 1") == [(1,)]
    except psycopg.OperationalError:
        return False

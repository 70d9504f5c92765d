"""Imports that are killed, and a server that stops half way: nothing of the room is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rooms.bucket.conftest import use_bucket
from tests.rooms.bucket.environment import (
    CLEANED_UP,
    FIX,
    UNUSABLE,
    Bucket,
    BucketEnvironment,
    make_bundle,
    run_doctor,
)
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT
from tests.services.base import Server
from tests.services.s3 import start_rclone
from tests.services.unprivileged_user import ServiceUser

pytestmark = pytest.mark.once

# The kills are tried on both databases; what follows depends on the bucket alone.
without_database = pytest.mark.only_on("sqlite")
KILLS = int(os.environ.get("SCAIWAVE_TEST_KILLS", "4"))
MIB = 1024 * 1024
SMALL_FILES, LARGE_FILES = 20, 2
FILES = SMALL_FILES + LARGE_FILES


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with files that are uploaded whole and files that are uploaded in parts."""
    sizes = [50_000] * SMALL_FILES + [24 * MIB] * LARGE_FILES
    return make_bundle(tmp_path_factory.mktemp("bundles") / "large.zip", *sizes)


def test_fail_killed(site: BucketEnvironment, large: Path, small: Path) -> None:
    """The next import cleans up, or `doctor` does."""
    luck = random.Random(7)
    for number in range(KILLS):
        with site.start_import(large) as process:
            site.wait_for_intent(process, files=luck.randrange(FILES))
            time.sleep(luck.uniform(0, 0.3))
            process.kill()
            process.communicate()
        site.wait_until_released()
        site.assert_complete(1)
        if number % 2:
            assert site.run_import(small).code == 0
            break_up = "DELETE FROM sw_room_members", "DELETE FROM sw_room_imports"
            with site.connected() as connection:
                for statement in (*break_up, "DELETE FROM sw_events", "DELETE FROM sw_rooms"):
                    connection.execute(statement)
        else:
            run_doctor()
        site.assert_clean()
    assert site.run_import(large).code == 0
    site.assert_complete(1)
    site.assert_clean()
    assert len(site.files()) == FILES


@without_database
def test_fail_killed_while_it_uploads_parts(site: BucketEnvironment, large: Path) -> None:
    """The parts are in no list of files, and cost as much."""
    with site.start_import(large) as process:
        while process.poll() is None and not site.bucket.uploads():
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert site.bucket.uploads() != []
    site.wait_until_released()
    assert run_doctor()["imports"] == CLEANED_UP
    assert (site.files(), site.count("rooms")) == ({}, 0)
    site.assert_clean()


@without_database
def test_fail_signal(site: BucketEnvironment, large: Path) -> None:
    """It cleans up by itself."""
    with site.start_import(large) as process:
        site.wait_for_intent(process, files=SMALL_FILES)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "[SW_TERMINATED]" in err) == (143, True), err
    assert "Traceback" not in err
    assert (site.files(), site.count("rooms")) == ({}, 0)
    site.assert_clean()


class RestartableServer:
    """A server with a bucket that can be stopped, and started again with its files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.server = self._start(None)
        self.bucket = Bucket.create(self.server.url)

    def _start(self, port: int | None) -> Server:
        return start_rclone(self._directory, ServiceUser(), port=port)

    def stop(self) -> None:
        self.server.process.kill()
        self.server.process.wait()

    def start(self) -> None:
        self.server = self._start(int(self.server.url.rpartition(":")[2]))


@pytest.fixture
def own_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rclone_url: str
) -> Iterator[RestartableServer]:
    """A server of this test's own; skipped like others if there is no program."""
    directory = tmp_path / "rclone"
    directory.mkdir()
    server = RestartableServer(directory)
    use_bucket(server.bucket, monkeypatch)
    yield server
    server.stop()


def _assert_failed(process: subprocess.Popen[str], err: str) -> None:
    assert (process.returncode, UNUSABLE in err, "Traceback" in err) == (2, True, False), err
    assert err.endswith(FIX)


@without_database
def test_fail_server_stops_during_an_import(
    own_server: RestartableServer, empty_site: tuple[str, Path], large: Path
) -> None:
    site = BucketEnvironment(*empty_site, own_server.bucket)
    with site.start_import(large) as process:
        site.wait_for_intent(process, files=SMALL_FILES // 2)
        own_server.stop()
        _, err = process.communicate(timeout=120)
    _assert_failed(process, err)
    assert "Could not clean up after import" in err
    assert (site.count("rooms"), site.count("media"), site.count("import_intents")) == (0, 0, 1)
    own_server.start()
    assert len(site.files()) >= SMALL_FILES // 2
    assert run_doctor()["imports"] == CLEANED_UP
    assert site.files() == {}
    assert site.run_import(large).code == 0
    site.assert_clean()


@without_database
def test_fail_server_stops_during_an_export(
    own_server: RestartableServer, empty_site: tuple[str, Path], tmp_path: Path
) -> None:
    """Of a file that is larger than what pipes and sockets hold; the draft is removed."""
    site = BucketEnvironment(*empty_site, own_server.bucket)
    room = site.seed("--events", "5", "--media", "1", "--media-bytes", str(64 * MIB))
    directory = tmp_path / "bundles"
    directory.mkdir()
    target = directory / "room.zip"
    words = ("room", "export", room, "--tenant", "lab", "--output", str(target))
    process = subprocess.Popen(
        [*SCRIPT, *words], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        while process.poll() is None and not _has_begun(directory):
            time.sleep(0.001)
        own_server.stop()
        _, err = process.communicate(timeout=120)
    _assert_failed(process, err)
    assert list(directory.iterdir()) == []
    own_server.start()
    assert site.export(room, target).code == 0


def _has_begun(directory: Path) -> bool:
    """Return whether a draft has more bytes than the manifest."""
    return any(each.stat().st_size > MIB for each in directory.glob("**/*"))

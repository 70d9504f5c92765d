"""A shifted clock reaches all processes and servers, and nothing that tests ship expires soon."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
from cryptography import x509
from redis import Redis

from tests.scaiwave.clients.certificates import Authority
from tests.services import clock
from tests.services.__main__ import main
from tests.services.manager import manage_service
from tests.tools import leave_untested

TOP = Path(__file__).parents[2]
SHIFT = timedelta(days=455)


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """Shift the clock of what the test starts, and return by how much."""
    already = int(os.environ.get("FAKETIME", "0"))
    try:
        variables = clock.build_variables(SHIFT)
    except clock.LibraryNotFound as error:
        leave_untested(str(error))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return SHIFT - timedelta(seconds=already)


def ask(**options: Any) -> list[float]:
    """Return the time of Python and of SQLite, and the clock that measures durations."""
    code = (
        "import sqlite3, time; memory = sqlite3.connect(':memory:')\n"
        "stamp = memory.execute('SELECT unixepoch(CURRENT_TIMESTAMP)').fetchone()[0]\n"
        "print(time.time(), stamp, time.monotonic())"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True, **options)
    return [float(word) for word in output.split()]


@pytest.mark.once
def test_success_the_shift_reaches_all_processes_and_databases(shifted: timedelta) -> None:
    began, began_monotonic = time.time() + shifted.total_seconds(), time.monotonic()
    *times, monotonic = ask()
    *others, _ = ask(env={})
    unshifted = ask(env={**os.environ, "FAKETIME": "+0"})[0]
    assert unshifted < began - 3600  # It is not forked from a process with another clock.
    with manage_service("postgres") as postgres, manage_service("redis") as redis:
        with psycopg.connect(postgres.wait_for_service().url) as connection:
            row = connection.execute("SELECT extract(epoch FROM now())").fetchone()
        with Redis.from_url(redis.wait_for_service().url) as client:
            times += [*others, float(row[0] if row else 0), client.time()[0]]
    ended = time.time() + shifted.total_seconds()
    assert len(times) == 6
    assert began - 2 < min(times) <= max(times) < ended + 2, (began, times, ended)
    assert began_monotonic < monotonic < time.monotonic()


@pytest.mark.parametrize(
    ("value", "start", "zone"),
    [
        ("2028-02-29T12:00", datetime(2028, 2, 29, 12, tzinfo=UTC), "UTC"),
        (
            "2027-03-28T01:59:30/Europe/Berlin",
            datetime(2027, 3, 28, 0, 59, 30, tzinfo=UTC),
            "Europe/Berlin",
        ),
        (
            "2027-10-31T02:30+01:00/Europe/Berlin",
            datetime(2027, 10, 31, 1, 30, tzinfo=UTC),
            "Europe/Berlin",
        ),
    ],
)
def test_success_a_moment_with_a_time_zone(
    value: str, start: datetime, zone: str, shifted: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(clock.SETTING, value)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert clock.shift_clock().startswith("Clock of this run: from 202")
    began = datetime.now(UTC) + timedelta(seconds=int(os.environ["FAKETIME"]))
    assert abs(began - start) < timedelta(seconds=60)
    assert os.environ["TZ"] == zone


@pytest.mark.parametrize("value", ["", "tomorrow", "2028-02-30", "2028-02-29/Europe/Atlantis"])
def test_fail_no_moment(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(clock.SETTING, value)
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert capsys.readouterr().out == (
        "SCAIWAVE_TEST_CLOCK must be a moment and may have a time zone, such as 2028-02-29T12:00 "
        "or 2027-03-28T01:59:30/Europe/Berlin.\n"
    )


@pytest.mark.parametrize("required", [0, 1])
def test_fail_library_not_found(
    required: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without libfaketime the run is skipped, or fails if all services are required."""
    monkeypatch.setattr(clock, "DIRECTORIES", ())
    monkeypatch.setenv(clock.SETTING, "2028-02-29T12:00")
    monkeypatch.setenv("SCAIWAVE_REQUIRE_SERVICES", str(required))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == required
    assert capsys.readouterr().out == (
        "SKIPPED: libfaketime, which SCAIWAVE_TEST_CLOCK needs, was not found. Install it (on "
        "Debian and Ubuntu: apt install libfaketime).\n"
    )


def iter_shipped(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each file, also those in archives."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not {"node_modules", "__pycache__"}.intersection(path.parts):
            yield from iter_content(str(path), path.read_bytes())


def iter_content(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                if (file := archive.extractfile(member)) is not None:
                    yield from iter_content(f"{name}/{member.name}", file.read())
    elif name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.namelist():
                yield from iter_content(f"{name}/{entry}", archive.read(entry))
    else:
        yield name, gzip.decompress(data) if name.endswith(".gz") else data


CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s[^-]+-----END CERTIFICATE-----")
TOKEN = re.compile(rb"\beyJ[\w-]+\.(eyJ[\w-]+)\.[\w-]{20,}")


def find_expiring(directory: Path) -> list[str]:
    """Return the files with a certificate or a token that expires within ten years."""
    last = datetime.now(UTC) + timedelta(days=3653)
    found = []
    for name, data in iter_shipped(directory):
        ends = [
            x509.load_pem_x509_certificate(match[0]).not_valid_after_utc.timestamp()
            for match in CERTIFICATE.finditer(data)
        ]
        for match in TOKEN.finditer(data):
            claims = json.loads(base64.urlsafe_b64decode(match[1] + b"=="))
            ends.append(float(claims.get("exp", "inf")))
        found += [name for end in ends if end < last.timestamp()]
    return found


def test_success_nothing_that_is_shipped_expires_within_ten_years() -> None:
    for directory in ("tests", "scripts", "docs", "scaiwave"):
        assert find_expiring(TOP / directory) == []


def test_fail_certificate_and_token_in_archives(tmp_path: Path) -> None:
    """The test above finds what expires, also where archives hide it."""
    authority = Authority(tmp_path)
    authority.file.rename(tmp_path / "made")
    with tarfile.open(tmp_path / "home.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "made", "authority.pem")
    (tmp_path / "made").unlink()
    token = jwt.encode({"exp": time.time() + 86400 * 365}, "secret" * 9)
    with zipfile.ZipFile(tmp_path / "room.zip", "w") as archive_of_room:
        archive_of_room.writestr("messages", f"Bearer {token}\n")
    late = jwt.encode({"exp": time.time() + 86400 * 3700}, "secret" * 9)
    (tmp_path / "dump.sql.gz").write_bytes(gzip.compress(late.encode()))
    assert find_expiring(tmp_path) == [
        f"{tmp_path}/home.tar.gz/authority.pem",
        f"{tmp_path}/room.zip/messages",
    ]

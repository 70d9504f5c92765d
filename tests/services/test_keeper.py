"""The throw-away servers start, serve, and go away however their owner ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from tests.services.account import Account, ServiceAbsent, make_folder, remove_folder
from tests.services.keeper import keeping
from tests.services.postgres import find_programs

TOP = Path(__file__).parents[2]


def folder_of(url: str) -> Path:
    """The temporary folder of a server."""
    return Path(url.partition("?host=")[2] or Path(url.removeprefix("unix://")).parent)


def put_program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.postgres
def test_success_postgres_serves_and_goes() -> None:
    with keeping("postgres") as keeper:
        url = keeper.service().url
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT lower('ÄЖ'), current_setting('fsync')").fetchone()
        assert row == ("äж", "off")
        assert folder_of(url).stat().st_mode & 0o777 == 0o700

    assert not folder_of(url).exists()


@pytest.mark.redis
def test_success_redis_serves_and_goes() -> None:
    with keeping("redis") as keeper:
        url = keeper.service().url
        with redis.Redis.from_url(url) as connection:
            assert connection.ping()
            assert connection.config_get("save") == {"save": ""}

    assert not folder_of(url).exists()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("redis", marks=pytest.mark.redis),
    ],
)
def test_success_a_server_goes_when_its_owner_is_killed(kind: str) -> None:
    owner = (
        "import time; from tests.services.keeper import keeping\n"
        f"with keeping({kind!r}) as keeper:\n"
        "    print(keeper.service().url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", owner], cwd=TOP, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = folder_of(process.stdout.readline().strip())
        assert folder.exists()
        process.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()


def test_fail_postgres_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIWAVE_TEST_POSTGRES", str(tmp_path))

    with keeping("postgres") as keeper, pytest.raises(ServiceAbsent) as caught:
        keeper.service()

    assert str(caught.value) == (
        f"No usable PostgreSQL 15 or newer was found; tried {tmp_path} (No such file or "
        "directory). Install one, or name the folder of its programs in SCAIWAVE_TEST_POSTGRES."
    )


def test_fail_postgres_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(Account())
    monkeypatch.setenv("SCAIWAVE_TEST_POSTGRES", str(folder))
    try:
        for name in ("initdb", "postgres"):
            put_program(folder / name, "echo 'postgres (PostgreSQL) 9.6.24'")
        with pytest.raises(ServiceAbsent) as caught:
            find_programs(folder, Account())
    finally:
        remove_folder(folder)

    assert f"{folder} (release 9.6.24 is older than 15)" in str(caught.value)


def test_fail_redis_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    put_program(program, 'test "$1" = --version && echo v=7.0.1 && exit; echo Out of luck; exit 1')
    monkeypatch.setenv("SCAIWAVE_TEST_REDIS", str(program))

    with keeping("redis") as keeper, pytest.raises(ServiceAbsent) as caught:
        keeper.service()

    assert str(caught.value) == "Redis 7.0.1 did not start:\nOut of luck"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user run the server")
def test_success_programs_are_copied_to_where_the_other_user_can_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "package" / "install" / "bin"
    programs.mkdir(parents=True)
    tmp_path.chmod(0o700)
    for name in ("initdb", "postgres"):
        put_program(programs / name, "echo 'postgres (PostgreSQL) 18.1'")
    monkeypatch.setenv("SCAIWAVE_TEST_POSTGRES", str(programs))
    account = Account.unprivileged()
    folder = make_folder(account)
    try:
        found = find_programs(folder, account)
    finally:
        remove_folder(folder)

    assert found.folder.is_relative_to(folder)
    assert tmp_path.stat().st_mode & 0o777 == 0o700

"""The temporary servers stop however their owner ends, and report why they did not start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.services import unprivileged_user
from tests.services.__main__ import _run_side_by_side
from tests.services.manager import manage_service
from tests.services.oidc import install_packages
from tests.services.postgres import find_programs
from tests.services.unprivileged_user import (
    DISK,
    ServiceUnavailable,
    ServiceUser,
    choose_parent,
    make_directory,
    remove_directory,
)

TOP = Path(__file__).parents[2]


def get_directory(url: str) -> Path:
    """Return the temporary directory of a server."""
    return Path(url.partition("?host=")[2] or Path(url.removeprefix("unix://")).parent)


def write_program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("redis", marks=pytest.mark.redis),
    ],
)
def test_success_a_server_stops_when_its_owner_is_killed(kind: str) -> None:
    owner = (
        "import time; from tests.services.manager import manage_service\n"
        f"with manage_service({kind!r}) as manager:\n"
        "    print(manager.wait_for_service().url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", owner], cwd=TOP, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        directory = get_directory(process.stdout.readline().strip())
        assert directory.exists()
        process.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 20
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not directory.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("postgres", marks=pytest.mark.postgres),  # runs as another user
        pytest.param("seaweedfs", marks=pytest.mark.seaweedfs),
    ],
)
def test_success_a_server_ends_when_its_manager_is_killed(kind: str) -> None:
    command = [sys.executable, "-m", "tests.services.manager", kind, str(DISK)]
    with subprocess.Popen(
        command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as manager:
        assert manager.stdout is not None
        assert b'"url"' in manager.stdout.readline()
        children = Path(f"/proc/{manager.pid}/task/{manager.pid}/children").read_text()
        (server,) = map(int, children.split())
        log = Path(f"/proc/{server}/fd/1").readlink()
        manager.kill()

    deadline = time.monotonic() + 20
    while is_running(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(server)
    remove_directory(log.parent)


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_success_directories_are_in_memory_only_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged_user, "MEMORY", tmp_path)
    monkeypatch.setattr(unprivileged_user, "MIN_FREE_BYTES", 1)
    assert choose_parent() == tmp_path

    monkeypatch.setattr(unprivileged_user, "MIN_FREE_BYTES", 1 << 62)
    assert choose_parent() == DISK

    monkeypatch.setattr(unprivileged_user, "MEMORY", tmp_path / "nowhere")
    monkeypatch.setattr(unprivileged_user, "MIN_FREE_BYTES", 1)
    assert choose_parent() == DISK


def test_fail_postgres_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIWAVE_TEST_POSTGRES", str(tmp_path))

    with manage_service("postgres") as manager, pytest.raises(ServiceUnavailable) as caught:
        manager.wait_for_service()

    assert str(caught.value) == (
        f"No usable PostgreSQL 15 or newer was found; tried {tmp_path} (No such file or "
        "directory). Install one, or set SCAIWAVE_TEST_POSTGRES to the directory of its programs."
    )


def test_fail_postgres_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make_directory(ServiceUser(), DISK)
    monkeypatch.setenv("SCAIWAVE_TEST_POSTGRES", str(directory))
    try:
        for name in ("initdb", "postgres"):
            write_program(directory / name, "echo 'postgres (PostgreSQL) 9.6.24'")
        with pytest.raises(ServiceUnavailable) as caught:
            find_programs(directory, ServiceUser())
    finally:
        remove_directory(directory)

    assert f"{directory} (release 9.6.24 is older than 15)" in str(caught.value)


def test_fail_redis_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    write_program(
        program, 'test "$1" = --version && echo v=7.0.1 && exit; echo Out of luck; exit 1'
    )
    monkeypatch.setenv("SCAIWAVE_TEST_REDIS", str(program))

    with manage_service("redis") as manager, pytest.raises(ServiceUnavailable) as caught:
        manager.wait_for_service()

    assert str(caught.value) == "Redis 7.0.1 did not start:\nOut of luck"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user run the server")
def test_success_programs_are_copied_to_a_readable_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "package" / "install" / "bin"
    programs.mkdir(parents=True)
    tmp_path.chmod(0o700)
    for name in ("initdb", "postgres"):
        write_program(programs / name, "echo 'postgres (PostgreSQL) 18.1'")
    monkeypatch.setenv("SCAIWAVE_TEST_POSTGRES", str(programs))
    user = ServiceUser.choose_unprivileged()
    directory = make_directory(user, DISK)
    try:
        programs_found = find_programs(directory, user)
    finally:
        remove_directory(directory)

    assert programs_found.directory.is_relative_to(directory)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_success_packages_of_node_are_installed_once(tmp_path: Path) -> None:
    npm, calls = tmp_path / "npm", tmp_path / "calls"
    write_program(npm, f'echo "$*" >>{calls}; mkdir -p node_modules')
    (tmp_path / "package.json").touch()
    lock = tmp_path / "package-lock.json"
    for content, number in (("one", 1), ("one", 1), ("another", 2)):
        lock.write_text(content)
        install_packages(str(npm), tmp_path)
        assert len(calls.read_text().splitlines()) == number


def test_fail_packages_of_node_can_not_be_installed(tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    write_program(npm, "mkdir -p node_modules; echo No registry >&2; exit 1")
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).touch()
    for _ in range(2):
        with pytest.raises(ServiceUnavailable) as caught:
            install_packages(str(npm), tmp_path)
        assert str(caught.value) == "npm could not install oidc-provider:\nNo registry"


def test_fail_node_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with manage_service("oidc_provider") as manager, pytest.raises(ServiceUnavailable) as caught:
        manager.wait_for_service()

    assert str(caught.value) == "Node and npm, which run oidc-provider, were not found on PATH."


def test_fail_node_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("node", "npm"):
        write_program(tmp_path / name, "echo v16.20.2")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with manage_service("oidc_provider") as manager, pytest.raises(ServiceUnavailable) as caught:
        manager.wait_for_service()

    assert "needs Node 18 or newer" in str(caught.value)


def test_fail_missing_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest itself reports only that no tests ran, if it runs them in parallel."""
    monkeypatch.setenv("SCAIWAVE_TEST_DATABASES", "sqlite")
    command = [sys.executable, "-m", "tests.services", "-n", "2", "tests/test_misspelt.py::test_x"]
    run = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "SQLite: FAILED, no such file or directory: tests/test_misspelt.py\n" in run.stdout


@pytest.fixture
def only_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All tests are one that fails unless CODE is 0."""
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]")
    text = "import os\n\ndef test_code():\n    assert os.environ['CODE'] == '0'\n"
    (tmp_path / "test_code.py").write_text(text)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", f"-p xdist.plugin -c {settings} {tmp_path}")


@pytest.mark.usefixtures("only_test")
@pytest.mark.parametrize("codes", [(0, 1), (1, 0)])
def test_fail_one_of_two_runs_at_the_same_time(
    codes: tuple[int, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each prints all that pytest says, one after the other, and `--lf` repeats its failures."""
    names = ("one", "other")
    chosen = [(name, {"CODE": str(code)}) for name, code in zip(names, codes, strict=True)]

    runs = list(_run_side_by_side(chosen))

    assert [(run.database, run.exit_code) for run in runs] == list(zip(names, codes, strict=True))
    _, *printed = capfd.readouterr().out.split("### Tests on ")
    for text, name, code in zip(printed, names, codes, strict=True):
        assert text.startswith(f"{name}\n")
        assert (" 1 failed in " if code else " 1 passed in ") in text
    failures = list(tmp_path.rglob("lastfailed"))
    assert failures == [tmp_path / ".pytest_cache" / names[codes.index(1)] / "v/cache/lastfailed"]


@pytest.mark.usefixtures("only_test")
def test_fail_terminated_during_two_runs(capfd: pytest.CaptureFixture[str]) -> None:
    runs = _run_side_by_side([("one", {"CODE": "0"}), ("other", {"CODE": "1"})])
    next(runs)
    runs.close()
    assert "\n### Tests on other\n" in capfd.readouterr().out

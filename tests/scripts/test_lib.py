"""scripts/lib.sh: which Python is used, what is inherited, and what is never removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def run_sh(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script` in a shell that has sourced lib.sh, with an almost empty environment."""
    return subprocess.run(
        ["sh", "-euc", f". scripts/lib.sh; {script}"],
        cwd=TOP,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_program(directory: Path, name: str, body: str) -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def write_python(directory: Path, name: str) -> None:
    write_program(directory, name, f'exec "{sys.executable}" "$@"')


def test_success_a_name_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    write_program(tmp_path / "shims", "python3.14", "exit 127")
    write_python(tmp_path / "good", "python3.12")

    result = run_sh("PATH=$ONLY; find_python venv", ONLY=f"{tmp_path}/shims:{tmp_path}/good")

    assert (result.stdout.strip(), result.stderr) == (sys.executable, "")


def test_success_a_shim_does_not_hide_the_same_name_further_on(tmp_path: Path) -> None:
    write_program(tmp_path / "shims", "python3.14", "exit 127")
    write_python(tmp_path / "good", "python3.14")
    write_program(tmp_path / "good", "python3.13", "echo the older one")

    result = run_sh("PATH=$ONLY; find_python venv", ONLY=f"{tmp_path}/shims:{tmp_path}/good")

    assert result.stdout.strip() == sys.executable


def test_fail_no_python(tmp_path: Path) -> None:
    write_program(tmp_path / "shims", "python3", "exit 1")

    result = run_sh("PATH=$ONLY; choose_python venv", ONLY=f"{tmp_path}/shims")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "No Python 3.11 or later that can create virtual environments was found on PATH.\n"
        "Install one (on Debian and Ubuntu: apt install python3 python3-venv), "
        "or set SCAIWAVE_PYTHON.\n"
    )


def test_fail_the_chosen_python_does_not_run() -> None:
    result = run_sh("choose_python venv", SCAIWAVE_PYTHON="/bin/false")

    assert result.returncode == 2
    assert result.stderr == (
        "SCAIWAVE_PYTHON=/bin/false is not a Python 3.11 or later that can create virtual "
        "environments.\nSet it to another Python, or unset it to use the newest on PATH.\n"
    )


def test_success_inherited_settings_are_dropped() -> None:
    result = run_sh(
        "drop_inherited_settings; env | sed -n 's/^SCAIWAVE_//p' | sort",
        SCAIWAVE_DB_URL="postgres://production\nSCAIWAVE_FAKE=1",
        SCAIWAVE_HOME="/srv/scaiwave",
        SCAIWAVE_REQUIRE_SERVICES="1",
        SCAIWAVE_DEMO_PORT="9000",
        SCAIWAVE_TEST_POSTGRES="wheel",
        SCAIWAVE_PYTHON="python3",
    )

    assert result.stdout.splitlines() == [
        "DEMO_PORT=9000",
        "PYTHON=python3",
        "REQUIRE_SERVICES=1",
        "TEST_POSTGRES=wheel",
    ]


def test_fail_a_directory_of_someone_else_stays_unchanged(tmp_path: Path) -> None:
    venv = tmp_path / "project" / "venv"
    venv.mkdir(parents=True)
    (venv / "precious").touch()

    result = run_sh("set_up", SCAIWAVE_VENV=str(venv), SCAIWAVE_PYTHON=sys.executable)

    assert result.returncode == 2
    assert result.stderr.splitlines()[-2:] == [
        f"{venv} exists and was not made by these scripts.",
        "Remove it, or set SCAIWAVE_VENV to another directory.",
    ]
    assert [path.name for path in venv.parent.iterdir()] == ["venv"]
    assert [path.name for path in venv.iterdir()] == ["precious"]


@pytest.mark.parametrize("holder", ["", "999999999"])
def test_success_the_lock_of_a_killed_set_up_is_taken_over(tmp_path: Path, holder: str) -> None:
    lock = tmp_path / "venv.lock"
    lock.mkdir()
    (lock / "pid").write_text(holder)

    result = run_sh("wait_for_lock; cat $VENV.lock/pid", VENV=str(tmp_path / "venv"))

    assert result.stdout.strip() not in ("", holder)


def test_success_a_set_up_waits_for_another(tmp_path: Path) -> None:
    lock = tmp_path / "venv.lock"
    lock.mkdir()
    (lock / "pid").write_text(str(os.getpid()))

    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            ["sh", "-euc", ". scripts/lib.sh; wait_for_lock"],
            cwd=TOP,
            env={"PATH": "/usr/bin:/bin", "VENV": str(tmp_path / "venv")},
            timeout=3,
            check=True,
        )

    assert (lock / "pid").read_text() == str(os.getpid())


def test_success_pip_keeps_only_how_to_reach_packages(tmp_path: Path) -> None:
    # `pip config list` prints these for settings of the host, the user and the environment.
    listing = (
        "echo \"global.index-url='https://index.example/simple'\"\n"
        "echo \"install.user='true'\"\n"
        "echo \"install.no-binary=':all:'\"\n"
        "echo \":env:.target='/elsewhere'\""
    )
    write_program(tmp_path / "bin", "python", listing)

    result = run_sh(
        "keep_only_reach_of_pip; env | grep ^PIP_ | sort",
        VENV=str(tmp_path),
        PIP_TARGET="/elsewhere",
    )

    assert result.stdout.splitlines() == [
        "PIP_CONFIG_FILE=/dev/null",
        "PIP_INDEX_URL=https://index.example/simple",
    ]

"""The table of commands is generated from the classes of the commands, whatever it was before."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
TABLE = "scaiwave/cli/commands.tsv"
STALE = f"{TABLE} is stale; run scripts/generate.\n"

pytestmark = [pytest.mark.once, pytest.mark.fresh_interpreter]


def run_script(top: Path, *options: str) -> tuple[int, str, str]:
    process = subprocess.run(
        [sys.executable, "-m", "scripts.command_table", *options],
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, process.stdout, process.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("scaiwave", "tenants", "federation", "rooms", "identity_sync", "scripts"):
        shutil.copytree(TOP / name, tmp_path / name)  # with what is compiled
    return tmp_path


@pytest.mark.parametrize("broken", [None, "<<<<<<< HEAD\n", "room\tlist\n"])
def test_success_an_unreadable_table_is_replaced(broken: str | None, copy: Path) -> None:
    table = copy / TABLE
    table.unlink() if broken is None else table.write_text(broken, encoding="utf-8")
    assert run_script(copy, "--check") == (1, STALE, "")
    assert run_script(copy) == (0, f"{TABLE}\n", "")
    assert table.read_bytes() == (TOP / TABLE).read_bytes()


def test_fail_a_command_has_changed(copy: Path) -> None:
    command = copy / "tenants/management/commands/list_groups.py"
    text = command.read_text("utf-8").replace('"List groups of a tenant"', '"List all groups"')
    command.write_text(text, encoding="utf-8")
    before = (copy / TABLE).read_bytes()
    assert run_script(copy, "--check") == (1, STALE, "")
    assert (copy / TABLE).read_bytes() == before
    assert run_script(copy) == (0, f"{TABLE}\n", "")
    assert "\tList all groups\n" in (copy / TABLE).read_text("utf-8")

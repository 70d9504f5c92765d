"""Each test of the night is in one part, and each part has tests."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests import conftest
from tests.services.night import BOTH, PARTS

TOP = Path(__file__).parents[2]


def collect(database: str) -> list[str]:
    """Return the tests of the files that have more of them, or larger ones, at night."""
    files = [
        str(path.relative_to(TOP))
        for path in Path(TOP, "tests").rglob("test_*.py")
        if "NIGHTLY" in path.read_text(encoding="utf-8") and path != Path(__file__)
    ]
    is_postgresql = database == "postgresql"
    settings = {
        "SCAIWAVE_TEST_NIGHTLY": "1",
        **({"SCAIWAVE_TEST_DB_URL": "postgres://127.0.0.1/x"} if is_postgresql else {}),
    }
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "--quiet", *files],
        env={**os.environ, **settings},
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return [line for line in completed.stdout.splitlines() if "::" in line]


@pytest.mark.fresh_interpreter
def test_success_each_test_is_in_one_part() -> None:
    used = set()
    for database in BOTH.split(","):
        tests = collect(database)
        assert len(tests) > 1000
        for test in tests:
            (name,) = (name for name, part in PARTS.items() if part.has(test, database))
            used.add(name)
    assert used == {name for name, part in PARTS.items() if part.is_long}
    assert max(part.minutes for part in PARTS.values()) <= 60


def test_success_each_file_is_on_both_databases_under_some_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = {part.settings["SCAIWAVE_TEST_PAIRS"] for part in PARTS.values() if not part.is_long}
    assert len(pairs) == 2
    for path in Path(TOP, "tests").rglob("test_*.py"):
        found = []
        for name, is_postgresql in product(pairs, (False, True)):
            monkeypatch.setattr(conftest, "_PAIRS", name)
            monkeypatch.setattr(conftest, "ON_POSTGRES", is_postgresql)
            found += [(name, is_postgresql)] if conftest._is_assigned(path) else []
        assert len(found) == 2, path
        assert {is_postgresql for _, is_postgresql in found} == {False, True}, path
        assert {name for name, _ in found} == pairs, path


def test_fail_unknown_part() -> None:
    """The list of the parts is also in the docs."""
    command = [sys.executable, "-m", "tests.services", "--night", "faults"]
    ended = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert [row.split()[0] for row in ended.stdout.splitlines()[1:]] == list(PARTS)
    assert f"```text\n{ended.stdout}```" in (TOP / "docs/CONTRIBUTING.md").read_text("utf-8")

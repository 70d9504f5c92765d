"""Commands in a home directory without a database: they report it, and create nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scaiwave.cli_helpers import ProcessResult, run_scaiwave

READING = [
    "admin list-tenants",
    "admin audit",
    "admin federation key list",
    "sync status",
    "sync runs",
    "role list --tenant acme",
    "room list --tenant acme",
]


@pytest.fixture
def unset_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are then read from the home directory, or created there."""
    monkeypatch.delenv("SCAIWAVE_SECRET_KEY", raising=False)
    monkeypatch.delenv("SCAIWAVE_ENCRYPTION_KEYS", raising=False)


pytestmark = pytest.mark.usefixtures("unset_secrets")


def run_in(home: Path, words: str) -> ProcessResult:
    return run_scaiwave(*words.split(), SCAIWAVE_HOME=str(home))


@pytest.mark.parametrize("words", READING)
def test_fail_without_a_database(words: str, home: Path) -> None:
    ended = run_in(home, words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: The database {home}/scaiwave.sqlite3 does not exist yet. "
        "[SW_DATABASE_UNMIGRATED]\n"
        "  Fix: Run `scaiwave manage migrate` to create it, or check SCAIWAVE_HOME and "
        "SCAIWAVE_DB_URL.\n"
    )
    assert list(home.iterdir()) == []


def test_fail_without_a_home_directory(home: Path) -> None:
    ended = run_in(home / "new", "admin list-tenants")
    assert ended.code == 2
    assert "does not exist yet. [SW_DATABASE_UNMIGRATED]" in ended.err
    assert not (home / "new").exists()


def test_fail_doctor_reports_it_and_creates_nothing(home: Path) -> None:
    ended = run_in(home, "doctor --json")
    assert ended.code == 2
    checks = {check["check"]: check for check in json.loads(ended.out)["checks"]}
    assert checks["database"]["code"] == "SW_DATABASE_UNMIGRATED"
    assert checks["configuration"]["state"] == "pass"
    assert list(home.iterdir()) == []


def test_success_commands_that_need_no_database(home: Path) -> None:
    for words in ("sync show-config", "completion bash", "--help", "sync --help"):
        assert run_in(home, words).code == 0
    assert list(home.iterdir()) == []


def test_success_migrate_creates_the_database_and_its_secrets(home: Path) -> None:
    new = home / "new"
    assert run_in(new, "manage migrate -v0").code == 0
    created = {path.name for path in new.iterdir()}
    assert created == {"scaiwave.sqlite3", "secret-keys.env"}
    assert run_in(new, "admin list-tenants").err == "No tenants.\n"
    assert run_in(new, "admin federation key generate").code == 0
    assert run_in(new, "admin federation key check").code == 0


def test_success_a_path_with_characters_that_addresses_quote(home: Path) -> None:
    new = home / "50% of ? #1"
    assert run_in(new, "manage migrate -v0").code == 0
    assert run_in(new, "admin list-tenants").code == 0
    assert run_in(new, "admin create-partner --slug west --name West").code == 0

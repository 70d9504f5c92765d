"""Commands in a home directory without a database: they report it, and create nothing."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from scaiwave.config import load
from scaiwave.storage.error_mapping import missing_file_error
from tests.scaiwave.cli_helpers import ProcessResult, run_process, run_scaiwave

READING = [
    "admin list-tenants",
    "admin audit",
    "admin federation key list",
    "sync status",
    "sync runs",
    "role list --tenant acme",
    "room list --tenant acme",
    "manage list_tenants",
    "manage showmigrations",
    "manage dbshell",
    "admin federation key generate",
]


# Requests health checks of the web server, then another one after the database was created.
REQUEST_PAGES = """
import shutil, subprocess, sys
from django.conf import settings
from django.test import RequestFactory
from scaiwave.wsgi import application

def get(path):
    environ = RequestFactory(HTTP_HOST="localhost").get(path).environ
    b"".join(application(environ, lambda status, *_: print(status, flush=True)))

get("/health/live")
get("/health/ready")
if sys.argv[1:]:
    shutil.copy(sys.argv[1], settings.HOME)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
    get("/health/ready")
    print(settings.SECRET_KEY in (settings.HOME / "secret-keys.env").read_text())
"""


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


@pytest.mark.parametrize("home_is_set", [True, False])
def test_fail_names_the_home_directory_of_this_host_before_migrate(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, home_is_set: bool
) -> None:
    environment = {"SCAIWAVE_HOME": str(tmp_path)} if home_is_set else {"HOME": str(tmp_path)}
    settings.CONFIG = load(environment)
    monkeypatch.setattr("scaiwave.storage.error_mapping.SERVER_HOME", tmp_path)
    fix = missing_file_error().fix
    assert fix.startswith("Run `scaiwave manage migrate`") == home_is_set
    assert (f"set SCAIWAVE_HOME={tmp_path}," in fix) != home_is_set


@pytest.mark.usefixtures("migrated")
def test_success_a_misspelt_setting_is_warned_of_once(home: Path) -> None:
    warning = "Warning: SCAIWAVE_SERVER_NAM is not a setting. Did you mean SCAIWAVE_SERVER_NAME?\n"
    for words, expected in (
        ("admin list-tenants --csv", warning),
        ("admin list-tenants --json", ""),
        ("admin list-tenants --csv --quiet", ""),
        ("show-config", warning),
        ("doctor", ""),
    ):
        ended = run_scaiwave(
            *words.split(), SCAIWAVE_HOME=str(home), SCAIWAVE_SERVER_NAM="chat.example.com"
        )
        assert ended.err.count("SCAIWAVE_SERVER_NAM ") == expected.count("SCAIWAVE_SERVER_NAM ")
        assert ended.err.startswith(expected)
        assert ("Unknown setting: SCAIWAVE_SERVER_NAM." in ended.out) == (words == "doctor")


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
    for words in (
        "sync show-config",
        "completion bash",
        "--help",
        "sync --help",
        "manage check",
        "manage diffsettings",
    ):
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


def test_success_the_database_is_private_behind_a_link(home: Path) -> None:
    (home / "data").mkdir()
    (home / "scaiwave.sqlite3").symlink_to("data/chat.sqlite3")
    assert run_in(home, "manage migrate contenttypes -v0").code == 0
    assert stat.S_IMODE((home / "data" / "chat.sqlite3").stat().st_mode) == 0o600


def test_fail_the_database_can_not_be_created(home: Path) -> None:
    ended = run_scaiwave("manage", "migrate", SCAIWAVE_DB_URL="sqlite:////proc/chat.sqlite3")
    assert (ended.code, "Error: /proc/chat.sqlite3 can't be written" in ended.err) == (2, True)


def test_success_the_web_server_creates_nothing(home: Path, migrated: Path, tmp_path: Path) -> None:
    database = migrated.replace(tmp_path / migrated.name)
    ended = run_process([sys.executable, "-c", REQUEST_PAGES], SCAIWAVE_HOME=str(home))
    assert ended.out.splitlines()[:2] == ["200 OK", "503 Service Unavailable"], ended.err
    assert {path.name for path in home.iterdir()} == set()
    ended = run_process(
        [sys.executable, "-c", REQUEST_PAGES, str(database)], SCAIWAVE_HOME=str(home)
    )
    assert ended.out.splitlines()[2:] == ["200 OK", "True"], ended.err


def test_success_a_path_with_characters_that_addresses_quote(home: Path, migrated: Path) -> None:
    new = home / "50% of ? #1"
    assert run_in(new, "manage migrate contenttypes -v0").code == 0
    migrated.replace(new / migrated.name)
    assert run_in(new, "admin list-tenants").code == 0
    assert run_in(new, "admin create-partner --slug west --name West").code == 0

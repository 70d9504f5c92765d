from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from scaiwave import __version__
from scaiwave.cli.overview import MANAGE_COMMANDS, format_manage_help
from scaiwave.cli.verbs import VERBS
from tests.scaiwave.cli_helpers import CHECKOUT, run_example, run_scaiwave, start_example

pytestmark = pytest.mark.once

STOPPED = "  Fix: No transaction was left half done; run the same command again to finish.\n"
REDIS = {"SCAIWAVE_REDIS_URL": "redis://127.0.0.1:1/0"}
SIGNALS = [
    (signal.SIGINT, 130, "Error: Interrupted. [SW_INTERRUPTED]\n"),
    (signal.SIGTERM, 143, "Error: Terminated. [SW_TERMINATED]\n"),
]


@pytest.mark.parametrize(("number", "code", "message"), SIGNALS)
def test_fail_a_signal_rolls_back(
    number: signal.Signals, code: int, message: str, migrated: Path
) -> None:
    with start_example("admin", "create-tenant", "--wait", "60") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "begun\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", message + STOPPED)
    assert _tenants(migrated) == 0


@pytest.mark.postgres
@pytest.mark.parametrize(("number", "code", "message"), SIGNALS)
def test_fail_a_signal_in_the_middle_of_a_statement(
    number: signal.Signals, code: int, message: str, postgres_url: str
) -> None:
    sql = ["--sql", "SELECT pg_sleep(0);;SELECT pg_sleep(60)"]
    with start_example("admin", "create-tenant", *sql, SCAIWAVE_DB_URL=postgres_url) as process:
        _until_asleep(postgres_url)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", message + STOPPED)


def _until_asleep(url: str) -> None:
    import time

    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(300):
            found = connection.execute(
                "SELECT 1 FROM pg_stat_activity "
                "WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)'"
            )
            if found.fetchone():
                return
            time.sleep(0.1)
    pytest.fail("The statement did not begin.")


def test_fail_a_signal_during_a_commit() -> None:
    ended = run_example("admin", "list-tenants", "--act", "hide")
    _, code, message = SIGNALS[1]
    assert (ended.code, ended.err) == (code, message + STOPPED)


def test_fail_interrupt_as_json(migrated: Path) -> None:
    with start_example("admin", "list-tenants", "--act", "wait", "-v2") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("waiting ")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_success_what_is_committed_stays(migrated: Path) -> None:
    assert run_example("admin", "create-tenant").out == "1 tenants\n"
    assert _tenants(migrated) == 1


def _tenants(database: Path) -> int:
    connection = sqlite3.connect(database)
    try:
        return int(connection.execute("SELECT count(*) FROM sw_tenants").fetchone()[0])
    finally:
        connection.close()


def test_fail_a_defect_keeps_its_traceback() -> None:
    ended = run_example("admin", "list-tenants", "--act", "defect")
    assert ended.code == 1
    assert ended.err.endswith("ZeroDivisionError: a defect\n")


def test_success_manage_check() -> None:
    ended = run_scaiwave("manage", "check")
    assert ended.code == 0
    assert ended.out == "System check identified no issues (0 silenced).\n"


def test_success_manage_check_with_redis_configured() -> None:
    """No server is needed for it: nothing is connected to before there is work."""
    ended = run_scaiwave("manage", "check", **REDIS)
    assert (ended.code, ended.err) == (0, "")


def test_success_manage_alone_lists_the_commands() -> None:
    ended = run_scaiwave("manage")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == format_manage_help()
    for words in (("manage", "help"), ("help", "manage"), ("manage", "--help")):
        assert run_scaiwave(*words).out == ended.out


def test_success_manage_lists_commands_without_words() -> None:
    known = run_scaiwave("manage", "help", "--commands", **REDIS).out.split()
    assert MANAGE_COMMANDS.keys() <= set(known)
    assert not MANAGE_COMMANDS.keys() & {verb.command for verb in VERBS.values()}
    assert max(map(len, format_manage_help().splitlines())) <= 80


def test_fail_unknown_command() -> None:
    ended = run_scaiwave("manage", "migrat")
    assert ended.code == 2
    assert ended.err == (
        "Error: Unknown command: `scaiwave manage migrat`. [SW_USAGE]\n"
        "  Fix: Did you mean `scaiwave manage migrate`?\n"
    )
    assert run_scaiwave("manage", "qqqq").err.endswith(
        "  Fix: `scaiwave manage help` lists the commands.\n"
    )


@pytest.mark.parametrize("options", [(), ("--all",), ("--output", "unified")])
def test_success_diffsettings_masks_secrets(options: tuple[str, ...]) -> None:
    secrets = {
        "SCAIWAVE_DB_URL": "postgres://anna:h1dden-database@127.0.0.1:1/chat",
        "SCAIWAVE_REDIS_URL": "redis://:h1dden-redis@127.0.0.1:1/0",
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "h1dden-client",
        "SCAIWAVE_SECRET_KEY": "h1dden-key-" + "k" * 60,
    }
    ended = run_scaiwave("manage", "diffsettings", *options, **secrets)
    assert (ended.code, ended.err) == (0, "")
    assert "h1dden" not in ended.out
    assert "SECRET_KEY = '****" in ended.out
    assert "127.0.0.1" in ended.out
    assert ("EMAIL_HOST_PASSWORD" in ended.out) == ("--all" in options)
    compared = run_scaiwave(
        "manage", "diffsettings", "--all", "--default", "scaiwave.settings", **secrets
    )
    assert compared.code == 0
    assert "h1dden" not in compared.out


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("sync register", "Run `scaiwave sync register`, or `scaiwave manage sync_register`."),
        ("status", "Run `scaiwave status`, or `scaiwave manage sync_status`."),
        (
            "admin list-tenants --json-lines",
            "Run `scaiwave admin list-tenants`, or `scaiwave manage list_tenants`.",
        ),
    ],
)
def test_fail_words_of_the_suite_after_manage(typed: str, fix: str) -> None:
    ended = run_scaiwave("manage", *typed.split())
    words = typed.partition(" --")[0]
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: Unknown command: `scaiwave manage {words}`. [SW_USAGE]\n  Fix: {fix}\n"
    )


def manage(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run manage.py."""
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--settings", "scaiwave.settings"),
        ("--settings=scaiwave.settings", "--pythonpath=."),
        ("--no-color", "--skip-checks"),
        ("--force-color",),
        ("--traceback",),
    ],
)
def test_success_manage_py_takes_the_options_of_django(
    options: tuple[str, ...], migrated: Path
) -> None:
    ended = manage("list_tenants", "--json", *options)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == '{\n  "tenants": [],\n  "next_id": null,\n  "total": 0\n}\n'


def test_success_manage_py_version_and_traceback(migrated: Path) -> None:
    assert manage("list_tenants", "--version").stdout == f"scaiwave {__version__}\n"
    ended = manage("show_tenant", "nope", "--traceback")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback (most recent call last):\n")
    assert "\nError: Tenant not found: nope. [SW_TENANT_NOT_FOUND]\n" in ended.stderr
    assert "Traceback" not in manage("show_tenant", "nope").stderr


def test_fail_manage_py_with_settings_that_do_not_exist() -> None:
    ended = manage("list_tenants", "--settings", "nowhere")
    assert ended.returncode == 2
    assert ended.stderr == (
        "Error: Settings module not found: nowhere. [SW_USAGE]\n"
        "  Fix: Pass --settings scaiwave.settings, or omit it.\n"
    )


def test_fail_the_console_script_stays_strict() -> None:
    for option in ("--settings=x", "--traceback", "--no-color", "--skip-checks", "--version"):
        ended = run_scaiwave("admin", "list-tenants", option)
        assert ended.code == 2
        assert f"Unknown option: {option.partition('=')[0]}." in ended.err


def test_fail_command_that_would_delete_the_audit_log() -> None:
    ended = run_scaiwave("manage", "flush", "--no-input")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "Error: `scaiwave manage flush` would delete the audit log, which is append-only. "
        "[SW_USAGE]\n"
        "  Fix: To start over, create an empty database and run `scaiwave manage migrate`.\n"
    )


def test_fail_django_command_that_needs_a_confirmation(migrated: Path) -> None:
    stale = "INSERT INTO django_content_type (app_label, model) VALUES ('tenants', 'gone')"
    with closing(sqlite3.connect(migrated)) as connection, connection:
        connection.execute(stale)
    ended = run_scaiwave("manage", "remove_stale_contenttypes")
    assert ended.code == 2
    assert ended.err == (
        "Error: `scaiwave manage remove_stale_contenttypes` asks for input, and there is no "
        "terminal to ask at. [SW_CONFIRMATION_NEEDED]\n"
        "  Fix: Run it in a terminal, or pass --no-input to skip the prompt.\n"
    )


def test_fail_usage_of_a_command() -> None:
    assert run_scaiwave("manage", "migrate", "--nonsense").code == 2


def test_fail_command_error() -> None:
    ended = run_scaiwave("manage", "migrate", "nonsense")
    assert ended.code == 1
    assert ended.err.startswith("CommandError: No installed app with label 'nonsense'.")

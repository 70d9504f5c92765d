from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scaiwave.cli.overview import MANAGE_COMMANDS, format_manage_help
from scaiwave.cli.verbs import VERBS
from tests.scaiwave.console import probe, scaiwave, started

pytestmark = pytest.mark.once

STOPPED = "  Fix: No transaction was left half done; run the same command again to finish.\n"
REDIS = {"SCAIWAVE_REDIS_URL": "redis://127.0.0.1:1/0"}
SIGNALS = [
    (signal.SIGINT, 130, "Error: Interrupted. [SW_INTERRUPTED]\n"),
    (signal.SIGTERM, 143, "Error: Terminated. [SW_TERMINATED]\n"),
]


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
def test_fail_a_signal_undoes_what_was_begun(
    number: signal.Signals, code: int, said: str, migrated: Path
) -> None:
    with started("admin", "create-tenant", "--wait", "60") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "begun\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", said + STOPPED)
    assert _tenants(migrated) == 0


@pytest.mark.postgres
@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
def test_fail_a_signal_in_the_middle_of_a_statement(
    number: signal.Signals, code: int, said: str, postgres_url: str
) -> None:
    sql = ["--sql", "SELECT pg_sleep(0);;SELECT pg_sleep(60)"]
    with started("admin", "create-tenant", *sql, SCAIWAVE_DB_URL=postgres_url) as process:
        _until_asleep(postgres_url)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", said + STOPPED)


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


def test_fail_a_signal_that_the_database_complains_of() -> None:
    ended = probe("admin", "list-tenants", "--act", "hide")
    _, code, said = SIGNALS[1]
    assert (ended.code, ended.err) == (code, said + STOPPED)


def test_fail_interrupt_as_json(migrated: Path) -> None:
    with started("admin", "list-tenants", "--act", "wait", "-v2") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("waiting ")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_success_what_is_committed_stays(migrated: Path) -> None:
    assert probe("admin", "create-tenant").out == "1 tenants\n"
    assert _tenants(migrated) == 1


def _tenants(database: Path) -> int:
    connection = sqlite3.connect(database)
    try:
        return int(connection.execute("SELECT count(*) FROM sw_tenants").fetchone()[0])
    finally:
        connection.close()


def test_fail_a_defect_keeps_its_traceback() -> None:
    ended = probe("admin", "list-tenants", "--act", "defect")
    assert ended.code == 1
    assert ended.err.endswith("ZeroDivisionError: a defect\n")


def test_success_manage_check() -> None:
    ended = scaiwave("manage", "check")
    assert ended.code == 0
    assert ended.out == "System check identified no issues (0 silenced).\n"


def test_success_manage_check_with_redis_configured() -> None:
    """No server is needed for it: nothing is connected to before there is work."""
    ended = scaiwave("manage", "check", **REDIS)
    assert (ended.code, ended.err) == (0, "")


def test_success_manage_alone_lists_the_commands() -> None:
    ended = scaiwave("manage")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == format_manage_help()
    for words in (("manage", "help"), ("help", "manage"), ("manage", "--help")):
        assert scaiwave(*words).out == ended.out


def test_success_manage_lists_what_has_no_words_of_its_own() -> None:
    known = scaiwave("manage", "help", "--commands", **REDIS).out.split()
    assert MANAGE_COMMANDS.keys() <= set(known)
    assert not MANAGE_COMMANDS.keys() & {verb.command for verb in VERBS.values()}
    assert max(map(len, format_manage_help().splitlines())) <= 80


def test_fail_unknown_command() -> None:
    ended = scaiwave("manage", "migrat")
    assert ended.code == 2
    assert ended.err == (
        "Error: Unknown command: `scaiwave manage migrat`. [SW_USAGE]\n"
        "  Fix: Did you mean `scaiwave manage migrate`?\n"
    )
    assert scaiwave("manage", "qqqq").err.endswith(
        "  Fix: `scaiwave manage help` lists the commands.\n"
    )


def test_fail_command_that_would_tell_secrets() -> None:
    ended = scaiwave("manage", "diffsettings")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "Error: `scaiwave manage diffsettings` would print secrets. [SW_USAGE]\n"
        "  Fix: `scaiwave sync show-config` shows what is configured, with secrets masked.\n"
    )


def test_fail_command_that_would_empty_the_audit() -> None:
    ended = scaiwave("manage", "flush", "--no-input")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "Error: `scaiwave manage flush` would delete the audit log, which is append-only. "
        "[SW_USAGE]\n"
        "  Fix: To start over, create an empty database and run `scaiwave manage migrate`.\n"
    )


def test_fail_command_that_asks_nobody(migrated: Path) -> None:
    stale = "INSERT INTO django_content_type (app_label, model) VALUES ('tenants', 'gone')"
    with closing(sqlite3.connect(migrated)) as connection, connection:
        connection.execute(stale)
    ended = scaiwave("manage", "remove_stale_contenttypes")
    assert ended.code == 2
    assert ended.err == (
        "Error: `scaiwave manage remove_stale_contenttypes` asks for input, and there is no "
        "terminal to ask at. [SW_CONFIRMATION_NEEDED]\n"
        "  Fix: Run it in a terminal, or pass --no-input to skip the prompt.\n"
    )


def test_fail_usage_of_a_command() -> None:
    assert scaiwave("manage", "migrate", "--nonsense").code == 2


def test_fail_command_error() -> None:
    ended = scaiwave("manage", "migrate", "nonsense")
    assert ended.code == 1
    assert ended.err.startswith("CommandError: No installed app with label 'nonsense'.")

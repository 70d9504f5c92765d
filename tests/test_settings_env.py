"""What the harness promises to every test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import connection

from tests import conftest, settings_env

TOP = Path(__file__).parents[1]


def test_success_each_test_has_its_own_home_directory(home: Path, tmp_path: Path) -> None:
    names = {name for name in os.environ if name.startswith(("SCAIWAVE_", "SSL_"))}

    assert names == set(settings_env.own_settings(home))
    assert os.environ["SCAIWAVE_HOME"] == str(home)
    assert home.parent == tmp_path
    assert not list(home.iterdir())


def test_success_settings_come_from_the_session_home() -> None:
    assert settings.HOME == settings_env.SESSION_HOME


def test_success_the_database_is_the_one_of_the_run() -> None:
    assert connection.vendor == ("postgresql" if conftest.ON_POSTGRES else "sqlite")


def test_success_settings_of_the_host_do_not_reach_tests() -> None:
    inherited = {
        **os.environ,
        "SCAIWAVE_DB_URL": "postgres://production",
        "PGHOST": "production",
        "SSL_CERT_DIR": "production",
    }
    code = (
        "import tests.settings_env, os\n"
        "print(sorted(name for name in os.environ if name.startswith(('SCAIWAVE_', 'PG', 'SSL_'))))"
    )

    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=TOP,
        env=inherited,
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout.strip() == str(sorted(settings_env.own_settings(Path())))


@pytest.mark.only_on("sqlite")
def test_success_an_empty_sqlite_database(database_url: str, home: Path) -> None:
    assert database_url == f"sqlite:///{home}/scaiwave.sqlite3"
    assert os.environ["SCAIWAVE_DB_URL"] == database_url


@pytest.mark.only_on("postgresql")
def test_success_an_empty_postgres_database(database_url: str) -> None:
    import psycopg

    with psycopg.connect(database_url) as session:
        tables = session.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchone() == (0,)
    assert os.environ["SCAIWAVE_DB_URL"] == database_url


def test_success_two_versions_together_run_every_test_that_needs_both(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.ci/run` has one half on the newest version, and fast ones of the other on the oldest."""

    def runs(item: pytest.Item, pairs: str) -> set[str]:
        monkeypatch.setattr(conftest, "_PAIRS", pairs)
        return {database for database in ("sqlite", "postgresql") if belongs(item, database)}

    def belongs(item: pytest.Item, database: str) -> bool:
        monkeypatch.setattr(conftest, "ON_POSTGRES", database == "postgresql")
        return conftest._belongs(item) and not conftest.pytest_ignore_collect(
            item.path, item.config
        )

    monkeypatch.setattr(conftest, "_FAST", False)
    for item in request.session.items:
        newest, oldest = runs(item, "half-and-ci"), runs(item, "other-half")
        assert newest, item
        assert bool(oldest) is conftest._depends_on_versions(item), item
        if oldest:
            assert newest | oldest == runs(item, "all"), item
        assert bool(runs(item, "half")) is not bool(item.get_closest_marker("ci")), item
        assert len(runs(item, "half")) <= 1, item


@pytest.mark.parametrize("of_file", [None, 2])
def test_success_other_versions_have_one_case_of_each_test_or_few_tests_of_each_file(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, of_file: int | None
) -> None:
    monkeypatch.setattr(conftest, "_MAX_CASES", 1)
    monkeypatch.setattr(conftest, "_MAX_TESTS_OF_FILE", of_file)
    items, deselected = list(request.session.items), Counter[str]()
    hook = SimpleNamespace(
        pytest_deselected=lambda items: deselected.update(map(get_function, items))
    )
    conftest.pytest_collection_modifyitems(SimpleNamespace(hook=hook), items)  # type: ignore[arg-type]
    cases = Counter(map(get_function, items))
    assert set(cases.values()) == {1}
    assert cases + deselected == Counter(map(get_function, request.session.items))
    if of_file is None:
        assert not set(deselected) - set(cases)
    else:
        numbers = Counter(name.partition("::")[0] for name in cases)
        every_file = Counter(name.partition("::")[0] for name in {*cases, *deselected})
        assert numbers == {file: min(of_file, number) for file, number in every_file.items()}


def get_function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


@pytest.mark.once
@pytest.mark.fresh_interpreter
def test_success_what_was_not_tested_is_repeated_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "not-tested"
    test = "tests/rooms/exports/test_zip_readers.py::test_success_extracted"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", test, f"--basetemp={tmp_path}/tests", "-k", "7z"],
        cwd=TOP,
        env={**os.environ, "PATH": "", "SCAIWAVE_TEST_NOT_TESTED": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = file.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"Not tested \(\d+ tests\): 7z is not installed\.", line)
    assert (run.returncode, line in run.stdout) == (0, True), run.stdout

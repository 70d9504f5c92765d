from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tests.conftest import ON_POSTGRES
from tests.environment import own_settings
from tests.identity_sync.sync.directory import configured
from tests.identity_sync.sync.server import Server
from tests.scaiwave.console import CHECKOUT, SCRIPT
from tests.services.postgres import empty_database


@pytest.fixture
def scaikey(sandbox: Sandbox, settings: Settings) -> Iterator[Sandbox]:
    """The sandbox, with which this server is registered; no thread of a sync is left behind."""
    settings.CONFIG = configured(sandbox)
    yield sandbox
    left = [
        t.name for t in threading.enumerate() if t.name.startswith(("walk", "members", "confirm"))
    ]
    assert left == []


@pytest.fixture(scope="session")
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with all tables and nothing in them, to copy."""
    home = tmp_path_factory.mktemp("migrated")
    if not ON_POSTGRES:
        url = f"sqlite:///{home / 'empty.sqlite3'}"
        _migrate(home, url)
        yield url
        return
    with empty_database(request.getfixturevalue("postgres_url")) as url:
        _migrate(home, url)
        yield url


def _migrate(home: Path, url: str) -> None:
    subprocess.run(
        [*SCRIPT, "manage", "migrate", "--verbosity", "0"],
        env={**os.environ, **own_settings(home), "SCAIWAVE_DB_URL": url},
        cwd=CHECKOUT,
        check=True,
    )


@pytest.fixture
def server(
    sandbox: Sandbox, database_url: str, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A migrated server that is registered with the sandbox; its processes inherit that."""
    _copy(migrated, database_url)
    for name, value in (
        ("URL", sandbox.url),
        ("CLIENT_ID", sandbox.client_id),
        ("CLIENT_SECRET", sandbox.client_secret),
    ):
        monkeypatch.setenv(f"SCAIWAVE_SCAIKEY_{name}", value)
    return Server(database_url)


def _copy(source: str, target: str) -> None:
    if not ON_POSTGRES:
        shutil.copy(source.removeprefix("sqlite:///"), target.removeprefix("sqlite:///"))
        return
    import psycopg

    old, new = (urlsplit(url).path.removeprefix("/") for url in (source, target))
    with psycopg.connect(target.replace(f"/{new}?", "/postgres?"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{new}"'.encode())
        connection.execute(f'CREATE DATABASE "{new}" TEMPLATE "{old}"'.encode())

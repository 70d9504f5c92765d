from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import ON_POSTGRES
from tests.rooms.search.helpers import SEED, DatabaseProbe
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT
from tests.services.postgres import create_database
from tests.settings_env import own_settings


@pytest.fixture(scope="session")
def seeded_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Create a database to copy: migrated, with messages in four tenants."""
    home = tmp_path_factory.mktemp("search")
    if not ON_POSTGRES:
        yield _create_database(home, f"sqlite:///{home / 'seeded.sqlite3'}")
        return
    with create_database(request.getfixturevalue("postgres_url")) as url:
        yield _create_database(home, url)


def _create_database(home: Path, url: str) -> str:
    environment = {**os.environ, **own_settings(home), "SCAIWAVE_DB_URL": url}
    for words in (("migrate", "--verbosity", "0"), ("shell", "--verbosity", "0", "-c", SEED)):
        subprocess.run([*SCRIPT, "manage", *words], env=environment, cwd=CHECKOUT, check=True)
    return url


@pytest.fixture
def database(seeded_url: str, database_url: str, request: pytest.FixtureRequest) -> DatabaseProbe:
    """Copy the seeded database, for processes that index its messages."""
    if not ON_POSTGRES:
        shutil.copy(*(url.removeprefix("sqlite:///") for url in (seeded_url, database_url)))
        return DatabaseProbe(database_url)
    import psycopg

    name, template = (urlsplit(url).path[1:] for url in (database_url, seeded_url))
    with psycopg.connect(request.getfixturevalue("postgres_url"), autocommit=True) as server:
        server.execute(f'DROP DATABASE "{name}"'.encode())
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return DatabaseProbe(database_url)

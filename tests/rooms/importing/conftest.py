from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django import Settings

from tests.conftest import ON_POSTGRES
from tests.environment import own_settings
from tests.rooms.importing.bundles import Bundle, event
from tests.rooms.importing.site import Site
from tests.scaiwave.console import CHECKOUT, SCRIPT
from tests.services.postgres import empty_database

EVENTS = 8_000
FILES = 30
_HOME = "import django; django.setup(); from tests.rooms.importing.places import make_home; "


@pytest.fixture
def media_root(tmp_path: Path, settings: Settings) -> Path:
    """The folder of a media store of this test's own."""
    folder = tmp_path / "media"
    files = {"BACKEND": "scaiwave.media_storage.MediaFiles", "OPTIONS": {"location": str(folder)}}
    settings.STORAGES = {**settings.STORAGES, "default": files}
    return folder


@pytest.fixture(scope="session")
def furnished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A migrated database with a tenant to import into, to copy."""
    home = tmp_path_factory.mktemp("furnished")
    if not ON_POSTGRES:
        url = f"sqlite:///{home / 'furnished.sqlite3'}"
        furnish(home, url)
        yield url
        return
    with empty_database(request.getfixturevalue("postgres_url")) as url:
        furnish(home, url)
        yield url


def furnish(home: Path, url: str) -> None:
    environment = {**os.environ, **own_settings(home), "SCAIWAVE_DB_URL": url}
    environment["DJANGO_SETTINGS_MODULE"] = "scaiwave.settings"
    migrate = [*SCRIPT, "manage", "migrate", "--verbosity", "0"]
    make = [sys.executable, "-c", f"{_HOME}make_home()"]
    for command in (migrate, make):
        subprocess.run(command, env=environment, cwd=CHECKOUT, check=True)


@pytest.fixture
def site(database_url: str, furnished: str, home: Path) -> Site:
    _copy(furnished, database_url)
    return Site(database_url, home)


def _copy(source: str, target: str) -> None:
    if not ON_POSTGRES:
        shutil.copy(source.removeprefix("sqlite:///"), target.removeprefix("sqlite:///"))
        return
    import psycopg

    old, new = (urlsplit(url).path.removeprefix("/") for url in (source, target))
    with psycopg.connect(target.replace(f"/{new}?", "/postgres?"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{new}"'.encode())
        connection.execute(f'CREATE DATABASE "{new}" TEMPLATE "{old}"'.encode())


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of EVENTS events and FILES files, whose import can be stopped in the middle."""
    bundle = Bundle(event(number) for number in range(1, EVENTS + 1))
    for number in range(FILES):
        bundle.add(f"{number}.bin", bytes([number]) * 50_000)
    return bundle.save(tmp_path_factory.mktemp("bundles") / "large.zip")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A room without events."""
    return Bundle(room={"name": "Small"}).save(tmp_path_factory.mktemp("bundles") / "small.zip")

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import copy_database, environment, prepared
from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.import_environment import ImportEnvironment
from tests.scaiwave.cli_helpers import CHECKOUT

EVENTS = 8_000
FILES = 30
_HOME = "import django; django.setup(); from tests.rooms.imports.factories import make_home; "


@pytest.fixture(scope="session")
def prepared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with a tenant to import into, to copy."""
    home = tmp_path_factory.mktemp("furnished")
    with prepared(request, home, fill=lambda url: fill_database(home, url)) as url:
        yield url


def fill_database(home: Path, url: str) -> None:
    subprocess.run(
        [sys.executable, "-c", f"{_HOME}make_home()"],
        env={**environment(home, url), "DJANGO_SETTINGS_MODULE": "scaiwave.settings"},
        cwd=CHECKOUT,
        check=True,
    )


@pytest.fixture
def site(database_url: str, prepared_database: str, home: Path) -> ImportEnvironment:
    copy_database(prepared_database, database_url)
    return ImportEnvironment(database_url, home)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of EVENTS events and FILES files, whose import can be stopped in the middle."""
    bundle = Bundle(make_event(number) for number in range(1, EVENTS + 1))
    for number in range(FILES):
        bundle.add(f"{number}.bin", bytes([number]) * 50_000)
    return bundle.save(tmp_path_factory.mktemp("bundles") / "large.zip")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A room without events."""
    return Bundle(room={"name": "Small"}).save(tmp_path_factory.mktemp("bundles") / "small.zip")

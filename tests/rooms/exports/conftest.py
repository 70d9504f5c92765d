from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import copy_database, prepared
from tests.rooms.exports.processes import Server, fill_database


@pytest.fixture(autouse=True)
def _media_of_its_own(media_root: Path) -> None:
    """Every test here may keep files."""


@pytest.fixture(scope="session")
def filled_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with a room of several thousand events, to copy."""
    home = tmp_path_factory.mktemp("filled")
    with prepared(request, home, fill=lambda url: fill_database(Server(url))) as url:
        yield url


@pytest.fixture
def server(filled_database: str, database_url: str) -> Server:
    """A database for processes that export from it."""
    copy_database(filled_database, database_url)
    return Server(database_url)

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.databases import copy_database, environment, prepared
from tests.rooms.search.helpers import SEED, DatabaseProbe
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT


@pytest.fixture(scope="session")
def seeded_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Create a database to copy, with messages in four tenants."""
    home = tmp_path_factory.mktemp("search")

    def seed(url: str) -> None:
        words = [*SCRIPT, "manage", "shell", "--verbosity", "0", "-c", SEED]
        subprocess.run(words, env=environment(home, url), cwd=CHECKOUT, check=True)

    with prepared(request, home, seed) as url:
        yield url


@pytest.fixture
def database(seeded_url: str, database_url: str) -> DatabaseProbe:
    """Copy the seeded database, for processes that index its messages."""
    copy_database(seeded_url, database_url)
    return DatabaseProbe(database_url)

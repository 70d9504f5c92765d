from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.rooms.views.serving import Served, served
from tests.services.postgres import empty_database

# At import, since what is set for a test has nothing of it.
ON_POSTGRES = "SCAIWAVE_TEST_DB_URL" in os.environ


@pytest.fixture(scope="package")
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
) -> Iterator[Served]:
    """One server for all tests here; what they import stays, so they name what they count.

    It needs nothing of Django's own test database; to ask for that says that this is about the
    database of the run.
    """
    home = tmp_path_factory.mktemp("served")
    with ExitStack() as stack:
        url = f"sqlite:///{home / 'scaiwave.sqlite3'}"
        if ON_POSTGRES:
            url = stack.enter_context(empty_database(request.getfixturevalue("postgres_url")))
        yield stack.enter_context(served(url, home))

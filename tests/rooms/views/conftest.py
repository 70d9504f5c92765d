from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import prepared
from tests.rooms.views.serving import Filled, Served, eventually, filled, served


@pytest.fixture(scope="session")
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
    made: list[Filled] = []
    with (
        prepared(request, home, fill=lambda url: made.append(filled(url, home))) as url,
        served(url, home, made[0]) as running,
    ):
        yield running


@pytest.fixture
def bundle(server: Served) -> bytes:
    return server.bundle()


@pytest.fixture
def nothing_is_left_behind(server: Served) -> Iterator[None]:
    yield
    eventually(lambda: server.temporary_files == [])

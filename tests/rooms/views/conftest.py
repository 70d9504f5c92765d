from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import prepared
from tests.rooms.views.live_server import LiveServer, SampleIds, load_sample_data, serve, wait_until


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
) -> Iterator[LiveServer]:
    """Run one server for all tests of this package.

    Rooms that they import are not deleted, so tests compare counts before and after. The server
    does not use Django's test database; `django_db_setup` only marks that it uses a database.
    """
    home = tmp_path_factory.mktemp("served")
    sample_ids: list[SampleIds] = []
    with (
        prepared(
            request, home, fill=lambda url: sample_ids.append(load_sample_data(url, home))
        ) as url,
        serve(url, home, sample_ids[0]) as running,
    ):
        yield running


@pytest.fixture
def bundle(server: LiveServer) -> bytes:
    return server.export_bundle()


@pytest.fixture
def no_temporary_files_left(server: LiveServer) -> Iterator[None]:
    yield
    wait_until(lambda: server.temporary_files == [])

"""What every test can use, and what is seen to around each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests import network
from tests.environment import own_settings
from tests.services.manager import manage_service
from tests.services.postgres import create_database
from tests.services.unprivileged_user import ServiceUnavailable

if TYPE_CHECKING:
    from scaiwave.sandbox import Sandbox

# The same examples each time where nobody looks at a failure that comes and goes.
hypothesis.settings.register_profile("laptop", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "laptop")

MARKERS = (
    "postgres: needs a PostgreSQL server, whatever database the run is on",
    "redis: needs a Redis server",
    "only_on(vendor): about one database, `postgresql` or `sqlite`; left out of the other run",
    "sandbox(**options): how the `sandbox` fixture is to be made",
    "once: about kills, disks, memory and what the project is made with, not about versions: left "
    "out with SCAIWAVE_TEST_BRIEF=1",
)
KINDS = ("postgres", "redis")
# Read at import: the `home` fixture takes them out of the environment.
ON_POSTGRES = "SCAIWAVE_TEST_DB_URL" in os.environ
_GIVEN = {kind: os.environ.get(f"SCAIWAVE_TEST_{kind.upper()}_URL") for kind in KINDS}
_BRIEF = os.environ.get("SCAIWAVE_TEST_BRIEF") == "1"
_REQUIRED = os.environ.get("SCAIWAVE_REQUIRE_SERVICES") == "1"
_DATABASE_FIXTURES = frozenset({"db", "transactional_db", "django_db_setup", "database_url"})


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)


def pytest_report_header() -> str:
    return f"database of this run: {'PostgreSQL' if ON_POSTGRES else 'SQLite'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what this run can't tell anything about.

    The run on PostgreSQL comes after the one on SQLite, so what never touches the database of the
    run has been seen to there.
    """
    kept = [item for item in items if _belongs(item)]
    if left_out := [item for item in items if not _belongs(item)]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _belongs(item: pytest.Item) -> bool:
    for marker in item.iter_markers("only_on"):
        if marker.args != ("postgresql" if ON_POSTGRES else "sqlite",):
            return False
    if _BRIEF and item.get_closest_marker("once"):
        return False
    return not ON_POSTGRES or _touches_database(item)


def _touches_database(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) for name in ("django_db", "only_on"))
    return marked or not _DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def _guarded_network() -> Iterator[None]:
    with network.guarded():
        yield


@pytest.fixture(autouse=True)
def _no_outside_connection() -> Iterator[None]:
    network.attempts.clear()
    yield
    if network.attempts:
        pytest.fail(f"The test tried to connect to {', '.join(network.attempts)}.")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for processes that the test starts, and nothing else of SCAIWAVE_… set.

    Django's settings of this process were read before, from a home of the whole session.
    """
    for name in [name for name in os.environ if name.startswith("SCAIWAVE_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    for name, value in own_settings(folder).items():
        monkeypatch.setenv(name, value)
    return folder


def _service_url(kind: str) -> Iterator[str]:
    """The server that `scripts/test` has started, else one of our own for this session."""
    if url := _GIVEN[kind]:
        yield url
        return
    with manage_service(kind) as manager:
        try:
            service = manager.wait_for_service()
        except ServiceUnavailable as error:
            (pytest.fail if _REQUIRED else pytest.skip)(str(error))
        yield service.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server's own database; make others beside it."""
    yield from _service_url("postgres")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A database of Redis for this process alone: queues have the same names in every test."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    for url in _service_url("redis"):
        yield f"{url}?db={number}"


@pytest.fixture(autouse=True)
def _marked_services(request: pytest.FixtureRequest) -> None:
    for kind in KINDS:
        if request.node.get_closest_marker(kind):
            request.getfixturevalue(f"{kind}_url")


@pytest.fixture
def database_url(
    home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty database of this run's kind, for processes that the test starts.

    Also set as SCAIWAVE_DB_URL for them. Gone after the test.
    """
    if not ON_POSTGRES:
        url = f"sqlite:///{home / 'scaiwave.sqlite3'}"
        monkeypatch.setenv("SCAIWAVE_DB_URL", url)
        yield url
        return
    with create_database(request.getfixturevalue("postgres_url")) as url:
        monkeypatch.setenv("SCAIWAVE_DB_URL", url)
        yield url


@pytest.fixture(autouse=True)
def _audit_can_be_emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test with real commits every table is emptied, which the audit would refuse.

    The end of that flush is the end of a migrate to Django, so that the refusal is back after it.
    """
    marker = request.node.get_closest_marker("django_db")
    commits = marker is not None and marker.kwargs.get("transaction")
    if not commits and "transactional_db" not in request.fixturenames:
        yield
        return
    # Asked for here so that this ends before that does.
    request.getfixturevalue("transactional_db")
    yield
    from tenants.services.audit_triggers import remove_audit_triggers

    remove_audit_triggers()


@pytest.fixture(scope="session")
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with all tables and nothing in them, to copy."""
    from tests.databases import prepared

    with prepared(request, tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A ScaiKey of our own on loopback; its options come from the marker `sandbox`."""
    from scaiwave.sandbox import Sandbox

    marker = request.node.get_closest_marker("sandbox")
    with Sandbox(**(marker.kwargs if marker else {})) as running:
        yield running

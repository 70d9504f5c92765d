"""Fixtures for every test, and the isolation of each test from the host and from other tests."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests import network_guard
from tests.forked_processes import ForkedProcesses
from tests.processor_times import ProcessorTimes
from tests.services import clock
from tests.services.manager import manage_service
from tests.services.night import is_in_shard
from tests.services.postgres import create_database
from tests.services.unprivileged_user import ServiceUnavailable
from tests.settings_env import forget_seals, own_settings
from tests.tools import (
    MAX_EXAMPLES,
    NIGHTLY,
    NOT_TESTED,
    count_examples,
    leave_untested,
    require_real_clock,
)

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import Settings

    from scaiwave.sandbox import Sandbox

# CI uses the same examples each time, so that a failure can be repeated.
examples = count_examples(MAX_EXAMPLES)
hypothesis.settings.register_profile("laptop", deadline=None, max_examples=examples)
laptop = hypothesis.settings.get_profile("laptop")
hypothesis.settings.register_profile("ci", laptop, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "laptop")

MARKERS = (
    "postgres: needs a PostgreSQL server, regardless of the database of the run",
    "redis: needs a Redis server",
    "seaweedfs: needs SeaweedFS, an S3 server",
    "rclone: needs `rclone serve s3`",
    "oidc_provider: needs oidc-provider, which runs in Node",
    "only_on(vendor): tests one database, `postgresql` or `sqlite`; skipped on the other",
    "sandbox(**options): options of the `sandbox` fixture",
    "fresh_interpreter: tests how Python starts or what it imports or needs; its processes are not "
    "forked from one that is ready",
    "dated: depends on the date or the time of day; `.ci/run` repeats it under two other clocks",
    "slow: has very many cases; left out by `scripts/test --fast`",
    "every_version: tests what Django's templates and styles may change, on the oldest version too",
    "once: tests kills, disks, memory or tools, which do not depend on versions",
    "ci: tests releases and benchmarks, or repeats with other programs, pages or more data what "
    "other tests have; `scripts/test` without arguments leaves it to `.ci/run`",
)
KINDS = ("postgres", "redis", "seaweedfs", "rclone", "oidc_provider")
# Read at import, because the `home` fixture removes them from the environment.
ON_POSTGRES = "SCAIWAVE_TEST_DB_URL" in os.environ
GIVEN_SERVERS = {kind: os.environ.get(f"SCAIWAVE_TEST_{kind.upper()}_URL") for kind in KINDS}
_FAST = os.environ.get("SCAIWAVE_TEST_FAST") == "1"
_LEFT_OUT_IF_FAST = ("ci", "once", "slow", "fresh_interpreter", *KINDS)
_PAIRS = os.environ.get("SCAIWAVE_TEST_PAIRS", "all")
# Cases of one test differ in data, and tests of one file mostly call the same code, which another
# version of Python or of a package breaks for all of them. Each run has other ones.
_MAX_CASES = 1 if _FAST or _PAIRS == "other-half" else None
_MAX_TESTS_OF_FILE = 4 if os.environ.get("SCAIWAVE_TEST_FEW") == "1" else None
_SHARD = os.environ.get("SCAIWAVE_TEST_SHARD", "1/1")
_COMMAND_LINE = Path(__file__).parent / "scaiwave" / "cli"
_FRAME_SLOTS = 70_000  # more than half of 1 MiB, which is then what Python gets
_DATABASE_FIXTURES = frozenset({"db", "transactional_db", "django_db_setup", "database_url"})


@pytest.fixture(scope="session", autouse=True)
def sigint_is_handled() -> Iterator[None]:
    """Handle SIGINT even where the parent ignores it, as in `nohup … &`.

    Processes that tests start inherit an ignored signal, but not a handler.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(scope="session", autouse=True)
def forked_processes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ForkedProcesses | None]:
    """Let `subprocess` fork Python processes: see `tests.forked_processes`."""
    if sys.platform != "linux":
        yield None
        return
    recordings = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # It is shared by all processes of the run.
        recordings = recordings.parent
    processes = ForkedProcesses(None if NIGHTLY else recordings)

    def execute_child(popen: Any, *arguments: Any) -> None:
        processes.execute_child(popen, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "_execute_child", execute_child)
        yield processes
    processes.close()


@pytest.fixture(autouse=True)
def _interpreter(
    request: pytest.FixtureRequest, forked_processes: ForkedProcesses | None
) -> Iterator[None]:
    if forked_processes is None or not request.node.get_closest_marker("fresh_interpreter"):
        yield
        return
    forked_processes.is_enabled = False
    yield
    forked_processes.is_enabled = True


@pytest.fixture(autouse=True)
def _process_is_restored() -> Iterator[None]:
    """Undo what a command, a worker or a scheduler in this process does until a process ends.

    `--json`, `--quiet` and `-v` change the log, workers handle signals, and the copies of the last
    seal are of an audit log that the next test does not have.
    """
    level, disabled = logging.root.level, logging.root.manager.disable
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    network_guard.attempts.clear()
    yield
    logging.root.setLevel(level)
    logging.disable(disabled)
    forget_seals()
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    if network_guard.attempts:
        pytest.fail(f"The test tried to connect to {', '.join(network_guard.attempts)}.")


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    if clock.SETTING in os.environ and not clock.is_shifted():
        raise pytest.UsageError(f"{clock.SETTING} needs `scripts/test`: pytest shifts no clock.")
    if os.environ.get("SCAIWAVE_TEST_TIMES") == "1":
        config.pluginmanager.register(ProcessorTimes())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Repeat at the end of the run what was not tested, also for `scripts/test`."""
    skipped = Counter(str(report.longrepr[-1]) for report in terminalreporter.getreports("skipped"))
    lines = [
        f"Not tested ({count} tests): {reason.partition(NOT_TESTED)[2]}"
        for reason, count in skipped.items()
        if NOT_TESTED in reason
    ]
    for line in lines:
        terminalreporter.write_line(line, yellow=True)
    if path := os.environ.get("SCAIWAVE_TEST_NOT_TESTED"):
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def pytest_report_header() -> str:
    return f"database of this run: {'PostgreSQL' if ON_POSTGRES else 'SQLite'}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Don't import a file if this run needs none of its tests."""
    if not collection_path.match("test_*.py"):
        return None
    needed = ["mark.dated"] if config.option.markexpr == "dated" else []
    if ON_POSTGRES and not _is_assigned(collection_path):
        needed.append("only_on")
    text = collection_path.read_text(encoding="utf-8") if needed else ""
    return not all(word in text for word in needed) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that this run does not need; see SCAIWAVE_TEST_PAIRS in `tests.services`."""
    divided: dict[bool, list[pytest.Item]] = {True: [], False: []}
    cases: Counter[str | tuple[str, str]] = Counter()
    for item in items:  # pytest-randomly has shuffled them
        file, _, name = item.nodeid.partition("[")[0].partition("::")
        belongs = (
            _belongs(item)
            and (_MAX_CASES is None or cases[file, name] < _MAX_CASES)
            and (_MAX_TESTS_OF_FILE is None or cases[file] < _MAX_TESTS_OF_FILE)
        )
        cases.update([(file, name), file] if belongs else [])
        divided[belongs].append(item)
    if divided[False]:
        config.hook.pytest_deselected(items=divided[False])
        items[:] = divided[True]
    # The files that take longest begin first, so that all processes of the run end together. Those
    # of the rest have tests of milliseconds, so that more of them take longer.
    tests_in_file = Counter(item.path for item in items)
    slow_files = {item.path for item in items if _is_slow(item)}
    items.sort(key=lambda item: (item.path not in slow_files, -tests_in_file[item.path]))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what lives as long as the run: Django, tests and their names."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Call the test as pytest does, but with room for its stack."""
    names = pyfuncitem._fixtureinfo.argnames
    result = call_with_room(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    # As pytest does: an `async` function, or one that yields, has not run.
    assert result is None, f"{pyfuncitem.nodeid} returned {result!r}."
    return True


def call_with_room(function: Callable[..., object], /, **arguments: object) -> object:
    """Call a function from a frame so large that those of all that it calls lie behind it.

    Python gets memory for frames in pieces of 16 KiB, and returns a piece with its first frame. At
    the depth where one begins, each call of a loop gets and returns memory, which took up to a
    third of the time of a page of the admin site.
    """
    return function(**arguments)


call_with_room.__code__ = call_with_room.__code__.replace(co_stacksize=_FRAME_SLOTS)


def _belongs(item: pytest.Item) -> bool:
    """Return whether this run has the test.

    The run on PostgreSQL follows the one on SQLite, which has the tests without a database.
    """
    if _FAST and not _is_fast(item):
        return False
    if not is_in_shard(item.nodeid, _SHARD):
        return False
    if _PAIRS == "half" and item.get_closest_marker("ci"):
        return False
    for marker in item.iter_markers("only_on"):
        if marker.args != ("postgresql" if ON_POSTGRES else "sqlite",):
            return False
    if _PAIRS == "other-half" and not _depends_on_versions(item):
        return False
    if not _touches_database(item):
        return not ON_POSTGRES
    return bool(item.get_closest_marker("only_on")) or _is_assigned(item.path)


def _is_slow(item: pytest.Item) -> bool:
    """Return whether the test may take tens of seconds."""
    has_marker = any(item.get_closest_marker(name) for name in ("once", "ci", "slow"))
    return has_marker or getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


def _is_fast(item: pytest.Item) -> bool:
    """Return whether the test runs in this process, without servers, and has few cases.

    Tests that start processes are in files that import what they start them with, or use fixtures
    of such files.
    """
    if any(item.get_closest_marker(name) for name in _LEFT_OUT_IF_FAST):
        return False
    if not isinstance(item, pytest.Function) or getattr(item.obj, "is_hypothesis_test", False):
        return False
    if not {"database_url", "redis_url", "sandbox"}.isdisjoint(item.fixturenames):
        return False
    definitions = (each for group in item._fixtureinfo.name2fixturedefs.values() for each in group)
    modules = {sys.modules[each.func.__module__] for each in definitions} - {sys.modules[__name__]}
    return not any(map(_starts_processes, {item.module, *modules}))


def _depends_on_versions(item: pytest.Item) -> bool:
    """Return whether the oldest versions have the test too, after it has run on the newest.

    Those are the fast tests. Of the tests that start processes, those of the start itself and of
    the command line depend on Python, and those marked `every_version` on Django.
    """
    if item.get_closest_marker("every_version"):
        return True
    if item.get_closest_marker("once") or item.get_closest_marker("ci"):
        return False
    is_start = item.get_closest_marker("fresh_interpreter") or _COMMAND_LINE in item.path.parents
    return bool(is_start) or _is_fast(item)


@functools.cache
def _starts_processes(module: ModuleType) -> bool:
    """Return whether a test file imports `subprocess`, or something of a helper that does."""
    helpers = {getattr(value, "__module__", None) for value in vars(module).values()}
    modules = [module, *(sys.modules[str(name)] for name in helpers if str(name) in sys.modules)]
    return any(
        other.__name__.startswith("tests.") and "subprocess" in vars(other) for other in modules
    )


def _is_assigned(path: Path) -> bool:
    """Return whether this run has the tests of a file on its database: each half is on one."""
    is_in_half = bool(zlib.crc32(path.name.encode()) % 2) is ON_POSTGRES
    return _PAIRS == "all" or is_in_half is _PAIRS.startswith("half")


def _touches_database(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) for name in ("django_db", "only_on"))
    return marked or not _DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create an empty home directory for processes that the test starts, and unset SCAIWAVE_….

    Django's settings in this process were read earlier, from a home directory of the session.
    """
    for name in [name for name in os.environ if name.startswith("SCAIWAVE_")]:
        monkeypatch.delenv(name)
    directory = tmp_path / "home"
    directory.mkdir(mode=0o700)
    for name, value in own_settings(directory).items():
        monkeypatch.setenv(name, value)
    return directory


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients of other servers fail at once, which otherwise try again for a minute."""
    from scaiwave.clients.http.client import HttpClient
    from scaiwave.clients.http.retry import RetryPolicy

    defaults = HttpClient.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "retry_policy", RetryPolicy(total=0.0, first_contact=0.0))


def _service_url(kind: str) -> Iterator[str]:
    """Yield the server that `scripts/test` has started, or else start one for this session."""
    if kind in {"seaweedfs", "rclone"}:
        require_real_clock("an S3 server keeps the real clock.")
    if url := GIVEN_SERVERS[kind]:
        yield url
        return
    with manage_service(kind) as manager:
        try:
            service = manager.wait_for_service()
        except ServiceUnavailable as error:
            leave_untested(str(error))
        yield service.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server's default database; create other databases for tests."""
    yield from _service_url("postgres")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Yield a Redis database of this process: queues have the same names in every test.

    The runs on both databases of the suite use the server at the same time.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) * 2 + ON_POSTGRES
    for url in _service_url("redis"):
        yield f"{url}?db={number}"


@pytest.fixture(scope="session")
def seaweedfs_url() -> Iterator[str]:
    """Yield the URL of an S3 server; each test creates its own bucket."""
    yield from _service_url("seaweedfs")


@pytest.fixture(scope="session")
def rclone_url() -> Iterator[str]:
    """Yield the URL of another S3 server; each test creates its own bucket."""
    yield from _service_url("rclone")


@pytest.fixture(scope="session")
def oidc_provider_url() -> Iterator[str]:
    """Yield the URL of a server of OpenID Connect issuers; each test starts its own."""
    yield from _service_url("oidc_provider")


@pytest.fixture(autouse=True)
def _marked_services(request: pytest.FixtureRequest) -> None:
    for kind in KINDS:
        if request.node.get_closest_marker(kind):
            request.getfixturevalue(f"{kind}_url")


@pytest.fixture
def database_url(
    home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Create an empty database for processes that the test starts, of the type of this run.

    SCAIWAVE_DB_URL is set to it. It is deleted after the test.
    """
    if not ON_POSTGRES:
        url = f"sqlite:///{home / 'scaiwave.sqlite3'}"
        monkeypatch.setenv("SCAIWAVE_DB_URL", url)
        yield url
        return
    with create_database(request.getfixturevalue("postgres_url")) as url:
        monkeypatch.setenv("SCAIWAVE_DB_URL", url)
        yield url


@pytest.fixture(scope="session", autouse=True)
def _session_is_guarded_and_quick() -> Iterator[None]:
    """Guard the network, and replace what takes long and what no test is about.

    Passwords are hashed with MD5 in this process; those that it starts hash as in production.
    WhiteNoise looks for static files whenever a client starts it, which takes as long as a page.
    After real commits Django's `flush` writes content types and permissions again.
    """
    from django.test import TransactionTestCase, override_settings
    from whitenoise.middleware import WhiteNoiseMiddleware

    from tests.databases import empty_tables

    find = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def add_files_from_finders(middleware: Any) -> None:
        key = (middleware.static_prefix, middleware.static_root or "")
        if key not in found:
            find(middleware)
            found[key] = dict(middleware.files)
        middleware.files.update(found[key])

    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with (
        network_guard.guard_network(),
        override_settings(PASSWORD_HASHERS=hashers),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", add_files_from_finders)
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_tables())
        yield


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database with empty tables, to copy."""
    from tests.databases import get_migrated

    return get_migrated(request)


@pytest.fixture(scope="session")
def django_db_modify_db_settings_parallel_suffix(request: pytest.FixtureRequest) -> None:
    """Leave out databases in memory. pytest-django does so for Django's own backend only."""
    from django.db import connection

    if connection.vendor != "sqlite":
        request.getfixturevalue("django_db_modify_db_settings_xdist_suffix")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_modify_db_settings_parallel_suffix: None
) -> Iterator[None]:
    """Let the test databases of parallel processes begin as copies: only one is migrated."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    from tests.databases import copies_for_django, get_migrated

    with copies_for_django(get_migrated(request)):
        yield


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Start a sandbox; its options come from the marker `sandbox`."""
    from scaiwave.sandbox import Sandbox

    marker = request.node.get_closest_marker("sandbox")
    with Sandbox(**(marker.kwargs if marker else {})) as running:
        yield running


@pytest.fixture
def client(db: None) -> Client:
    """A browser in which the superuser root is signed in to the admin site."""
    from django.test import Client

    from tenants.models import AdminUser

    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


@pytest.fixture
def media_root(tmp_path: Path, settings: Settings) -> Path:
    """The directory of a media store for this test."""
    directory = tmp_path / "media"
    files = {
        "BACKEND": "scaiwave.storage.media.AtomicFileSystemStorage",
        "OPTIONS": {"location": str(directory)},
    }
    settings.STORAGES = {**settings.STORAGES, "default": files}
    return directory

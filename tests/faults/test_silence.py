"""A PostgreSQL that accepts connections and packets, and does not respond."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.db import InternalError, OperationalError, connection

from scaiwave.core.errors import DatabaseLost, DatabaseUnreachable
from scaiwave.storage.error_mapping import map_database_error
from scaiwave.storage.postgresql.silence import ServerSilent, WatchedConnection
from tests.databases import RawDatabase, copy_database
from tests.scaiwave.cli_helpers import CHECKOUT, run_scaiwave
from tests.services.faulty_proxy import Fault, FaultKind, FaultyProxy
from tests.services.postgres import create_database
from tests.tools import require_timers_of_postgres
from tests.web_process import build_environment, listen, run_gunicorn

pytestmark = [pytest.mark.once, pytest.mark.only_on("postgresql")]

THREADS = 4
MAX_WEB_SECONDS = 15
PATIENCE = "keepalives_idle=1"
LOCKS = """
SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = pg_locks.database
WHERE locktype = 'advisory' AND d.datname = current_database()
"""
LOCK = """
import sys
import django
django.setup()
from django.db import connection, transaction
from identity_sync.sync.lock import sync_lock
from scaiwave.core import locks
from scaiwave.core.locks import lock_in_transaction, process_lock
from scaiwave.operations.backup.databases import fill_database
from scaiwave.storage.error_mapping import translate_errors
locks.MAX_SILENT_SECONDS, locks.HEARTBEAT_SECONDS = 1, 0.2
with translate_errors(), {lock}, connection.cursor() as cursor:
    {work}
        print("works", flush=True)
        sys.stdin.readline()
        cursor.execute("SELECT 1")
"""
SYNC = "sync_lock(wait_seconds=20)"
RESTORE = "fill_database(connection.settings_dict, '--into', 'incomplete_restore_x', is_kept=True)"
TWICE = (
    "with process_lock('inner'):\n        pass\n"
    "    with process_lock('inner'), transaction.atomic():"
)
BACKUP = """
import sys
from scaiwave.core import locks
locks.MAX_SILENT_SECONDS, locks.HEARTBEAT_SECONDS = 1, 0.2
from scaiwave.cli import main
sys.exit(main(["admin", "backup", "--output", sys.argv[1]]))
"""
DUMPS = """
SELECT state FROM pg_stat_activity
WHERE application_name LIKE 'scaiwave pg_dump %' AND datname = current_database()
"""


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[FaultyProxy]:
    with FaultyProxy.to_url(postgres_url) as running:
        yield running


@pytest.fixture
def address(postgres_url: str, migrated: str, proxy: FaultyProxy) -> Iterator[str]:
    """The URL of a migrated database behind the proxy, with little patience."""
    with create_database(postgres_url) as url:
        copy_database(migrated, url)
        name = urlsplit(url).path
        yield f"postgres://scaiwave@127.0.0.1:{proxy.port}{name}?{PATIENCE}"


@pytest.mark.parametrize("exchange", [3, 4, 5])
def test_fail_command(address: str, proxy: FaultyProxy, exchange: int) -> None:
    """Whether it has just connected or has begun its work."""
    proxy.expect(Fault(FaultKind.FREEZE, exchange, to_request=True))
    ended = run_scaiwave("admin", "list-tenants", SCAIWAVE_DB_URL=address)
    assert (ended.code, proxy.is_frozen) == (2, True)
    assert ended.err.endswith(
        "has stopped responding. [SW_DATABASE_LOST]\n"
        "  Fix: Check the network, and any pooler in between. Then run the same command again.\n"
    )


def test_fail_web_server(address: str, proxy: FaultyProxy, tmp_path: Path) -> None:
    """All threads wait for the database: each request fails, and later ones at once."""
    environment = build_environment(address, tmp_path)
    with listen() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def get(path: str) -> int:
            return httpx.get(url + path, timeout=MAX_WEB_SECONDS).status_code

        with (
            run_gunicorn(listener, environment, tmp_path / "web.log", threads=THREADS),
            ThreadPoolExecutor(4 * THREADS) as pool,
        ):
            page = "/.well-known/scaiwave/server"
            assert set(pool.map(get, ["/health"] * THREADS)) == {200}
            proxy.is_frozen = True
            codes = list(pool.map(get, [page] * 3 * THREADS + ["/health", "/health/live"]))
            assert codes == [503] * 3 * THREADS + [503, 200]
            proxy.expect(None)
            while get("/health") != 200:
                time.sleep(0.1)
            assert set(pool.map(get, [page] * THREADS)) == {200}


def connect(url: str) -> WatchedConnection:
    return WatchedConnection.connect(url.partition("?")[0], keepalives_idle=1, autocommit=True)


def test_success_a_query_may_take_long(address: str) -> None:
    with connect(address) as busy:
        assert busy.execute("SELECT pg_sleep(2.5), 7").fetchone() == ("", 7)


def test_success_a_server_that_refuses_connections_has_responded(
    address: str, postgres_url: str
) -> None:
    name = urlsplit(address).path.strip("/")
    with connect(address) as busy, psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        assert busy.execute("SELECT pg_sleep(2.5), 7").fetchone() == ("", 7)
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_fail_a_closed_connection_keeps_its_reason(address: str, proxy: FaultyProxy) -> None:
    lost = connect(address)
    proxy.is_frozen = True
    with pytest.raises(ServerSilent), lost.transaction():
        lost.execute("SELECT 1")
    assert (lost.closed, lost.is_silent) == (True, True)


@pytest.mark.django_db
def test_fail_error_after_a_silent_server() -> None:
    """Code that hides the first error meets a closed connection."""
    error = OperationalError("the connection is closed")
    error.__context__ = ServerSilent("silent")
    assert isinstance(map_database_error(error), DatabaseLost)


@pytest.mark.django_db
def test_fail_error_after_a_limit_of_the_session() -> None:
    """A process that was stopped for minutes meets it when it goes on within a transaction."""
    error = InternalError("terminating connection due to idle-in-transaction timeout")
    error.__cause__ = psycopg.errors.IdleInTransactionSessionTimeout(str(error))
    assert isinstance(map_database_error(error), DatabaseUnreachable)


@pytest.mark.django_db
def test_success_sessions_of_lost_clients_end() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW client_connection_check_interval")
        assert cursor.fetchone() == ("10s",)


@pytest.fixture
def direct(address: str, postgres_url: str) -> str:
    """The URL of the same database without the proxy."""
    return postgres_url.replace("/postgres?", f"{urlsplit(address).path}?")


def start(code: str, url: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=build_environment(url, home),
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hold_lock(
    url: str, home: Path, work: str = "if True:", lock: str = SYNC
) -> subprocess.Popen[str]:
    """Start a process that has a lock, and wait until it is in the middle of `work`."""
    process = start(LOCK.format(lock=lock, work=work), url, home)
    assert process.stdout is not None
    assert process.stdout.readline() == "works\n", process.communicate()
    return process


@pytest.mark.parametrize(
    ("lock", "work", "count"),
    [
        (SYNC, "if True:", 1),
        ("process_lock('work')", TWICE, 2),
        ("transaction.atomic()", "for _ in [lock_in_transaction('work')]:", 1),
        (RESTORE, "if True:", 1),
    ],
    ids=["sync", "overlapping", "transaction", "restore"],
)
def test_success_a_stalled_session_loses_its_lock(
    address: str, direct: str, proxy: FaultyProxy, tmp_path: Path, lock: str, work: str, count: int
) -> None:
    """Also where all packets are acknowledged. A process that only waits keeps its lock."""
    require_timers_of_postgres()
    database = RawDatabase(direct)
    if "fill_database" in lock:
        database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with hold_lock(address, tmp_path, work, lock) as stalled:
        if "transaction" not in lock:
            time.sleep(1.5)
        assert database.rows(LOCKS) == [(count,)]
        proxy.is_frozen = True
        wait_until_free(database)
        _, errors = stalled.communicate("\n")
    assert (stalled.returncode, "DatabaseLost: " in errors) == (1, True), errors


def wait_until_free(database: RawDatabase, locks: int = 0) -> None:
    deadline = time.monotonic() + 20
    while database.rows(LOCKS) != [(locks,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_success_a_stalled_sync_that_waits_lets_others_go_first(
    address: str, direct: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    require_timers_of_postgres()
    with hold_lock(direct, tmp_path) as running:
        waiting = start(LOCK.format(lock=SYNC, work="if True:"), address, tmp_path)
        database = RawDatabase(direct)
        wait_until_free(database, 2)
        proxy.is_frozen = True
        wait_until_free(database, 1)
        waiting.communicate()
        running.communicate("\n")
    assert (waiting.returncode, running.returncode) == (1, 0)


def test_success_a_stalled_backup_ends_with_its_session(
    address: str, direct: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    """pg_dump turns off the limit of its session: the next backup ends it."""
    backups, database = tmp_path / "backups", RawDatabase(direct)
    backups.mkdir()

    def back_up(url: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", BACKUP, str(backups)]
        environment = build_environment(url, tmp_path)
        return subprocess.run(
            command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False
        )

    assert back_up(address).returncode == 0
    exchange = 1 + next(n for n, text in enumerate(proxy.requests) if b"COPY public." in text)
    proxy.expect(Fault(FaultKind.FREEZE, exchange))
    stalled = back_up(address)
    assert (stalled.returncode, "SW_DATABASE_LOST" in stalled.stderr) == (2, True), stalled.stderr
    assert database.rows(DUMPS) == [("idle in transaction",)]
    assert back_up(direct).returncode == 0
    assert database.rows(DUMPS) == []
    assert len(list(backups.iterdir())) == 2


def test_success_the_next_sync_ends_a_session_that_stalled_in_a_copy(
    address: str, direct: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    """PostgreSQL has no limit for it."""
    work = (
        "cursor.execute('CREATE TEMPORARY TABLE rows (n int)')\n"
        "    with cursor.copy('COPY rows FROM STDIN'):"
    )
    with hold_lock(address, tmp_path, work) as stalled:
        proxy.is_frozen = True
        stalled.kill()
        with hold_lock(direct, tmp_path) as following:
            following.communicate("\n")
    assert following.returncode == 0

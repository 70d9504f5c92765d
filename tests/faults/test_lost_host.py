"""A network between the clients and PostgreSQL that swallows all packets, with our own settings.

At night only: it takes minutes. As root, the clients have a network of their own, so that their
host can be lost. Otherwise a proxy is silent, which shows nothing about sessions of lost hosts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.databases import RawDatabase
from tests.scaiwave.cli_helpers import CHECKOUT, run_scaiwave
from tests.services.faulty_proxy import FaultyProxy
from tests.services.postgres import SUPERUSER, start_postgres
from tests.services.unprivileged_user import (
    DISK,
    ServiceUser,
    make_directory,
    remove_directory,
)
from tests.tools import NIGHTLY, NOT_TESTED
from tests.web_process import build_environment, listen, run_gunicorn

pytestmark = [
    pytest.mark.once,
    pytest.mark.only_on("postgresql"),
    pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set."),
]

THREADS = 4
MAX_WEB_SECONDS, MAX_COMMAND_SECONDS, MAX_LOCK_SECONDS = 15, 60, 120
PAGE = "/.well-known/scaiwave/server"
LIST_TENANTS = """
import sys
from django.db.backends.signals import connection_created
from scaiwave.cli import main
def wait(**ignored):
    print("connected", flush=True)
    sys.stdin.readline()
connection_created.connect(wait)
sys.exit(main(["admin", "list-tenants"]))
"""
LOCK = """
import sys
import django
django.setup()
from scaiwave.core.sql import fetch
from identity_sync.sync.lock import sync_lock
with sync_lock():
    print("connected", flush=True)
    {}
    sys.stdin.readline()
"""


@dataclass(frozen=True)
class Network:
    """`local_url` leads to the server past the network, at whose other end `launcher` starts."""

    url: str
    local_url: str
    launcher: Sequence[str] = ()
    proxy: FaultyProxy | None = None

    @contextmanager
    def swallow(self) -> Iterator[None]:
        if self.proxy is not None:
            self.proxy.is_frozen = True
            yield
            self.proxy.expect(None)
            return
        for words in self._list_neighbours("replace"):
            run_ip(*words, "lladdr", "02:00:00:00:00:99", "nud", "permanent")
        yield
        for words in self._list_neighbours("del"):
            run_ip(*words)

    def _list_neighbours(self, act: str) -> list[list[str]]:
        name = self.launcher[-1]
        server, client, device = name_ends(name)
        return [
            ["neigh", act, client, "dev", device],
            ["-n", name, "neigh", act, server, "dev", "eth0"],
        ]

    def start(self, code: str, home: Path) -> subprocess.Popen[str]:
        """Start Python, and wait until it is connected."""
        process = subprocess.Popen(
            [*self.launcher, sys.executable, "-c", code],
            env=build_environment(self.url, home),
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        return process


def run_ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def name_ends(namespace: str) -> tuple[str, str, str]:
    """Return the address of the server, the one of its clients, and the device of the server."""
    number = int(namespace.removeprefix("sw")) % 65536
    prefix = f"10.{200 + number % 40}.{number // 256}"
    return f"{prefix}.1", f"{prefix}.2", f"{namespace}h"


@contextmanager
def open_namespace() -> Iterator[str]:
    """Connect a namespace of its own to this one. Raises OSError or CalledProcessError."""
    name = f"sw{os.getpid()}"
    server, client, device = name_ends(name)
    run_ip("netns", "add", name)
    try:
        run_ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
        run_ip("addr", "add", f"{server}/24", "dev", device)
        run_ip("link", "set", device, "up")
        run_ip("-n", name, "addr", "add", f"{client}/24", "dev", "eth0")
        run_ip("-n", name, "link", "set", "eth0", "up")
        yield name
    finally:
        run_ip("netns", "del", name)


@contextmanager
def open_proxy(url: str) -> Iterator[Network]:
    with FaultyProxy.to_url(url) as proxy:
        ours = f"postgres://{SUPERUSER}@127.0.0.1:{proxy.port}{urlsplit(url).path}"
        yield Network(ours, url, proxy=proxy)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    user = ServiceUser.choose_unprivileged()
    with ExitStack() as stack:
        directory = make_directory(user, DISK)
        stack.callback(remove_directory, directory)
        try:
            name = stack.enter_context(open_namespace())
        except (OSError, subprocess.CalledProcessError):
            name = ""
        address = name_ends(name)[0] if name else ""
        server = start_postgres(directory, user, address=address)
        stack.callback(server.stop)
        if name:
            url = f"postgres://{SUPERUSER}@{address}{urlsplit(server.url).path}"
            found = Network(url, server.url, ["ip", "netns", "exec", name])
        else:
            found = stack.enter_context(open_proxy(server.url))
        migrated = run_scaiwave("manage", "migrate", SCAIWAVE_DB_URL=server.url)
        assert migrated.code == 0, migrated
        yield found


def test_fail_web_server(network: Network, tmp_path: Path) -> None:
    """Every request is answered in time, however many wait, and again once the network is back."""
    environment = build_environment(network.url, tmp_path)
    log = tmp_path / "web.log"
    with listen() as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def get(path: str) -> tuple[int, float]:
            began = time.monotonic()
            code = httpx.get(address + path, timeout=4 * MAX_WEB_SECONDS).status_code
            return code, time.monotonic() - began

        with (
            run_gunicorn(listener, environment, log, threads=THREADS, launcher=network.launcher),
            ThreadPoolExecutor(5 * THREADS) as pool,
        ):
            assert {code for code, _ in pool.map(get, [PAGE] * THREADS)} == {200}
            with network.swallow():
                pages = [*[PAGE] * 3 * THREADS, "/health", "/admin/login/", "/health/live"]
                answers = list(pool.map(get, pages))
                assert [code for code, _ in answers[: 3 * THREADS + 1]] == [503] * 13
                assert answers[-1][0] == 200
                assert max(seconds for _, seconds in answers) < MAX_WEB_SECONDS, answers
            while get("/health")[0] != 200:
                time.sleep(0.2)
            assert {code for code, _ in pool.map(get, [PAGE] * THREADS)} == {200}


def test_fail_command(network: Network, tmp_path: Path) -> None:
    with network.start(LIST_TENANTS, tmp_path) as process, network.swallow():
        began = time.monotonic()
        _, errors = process.communicate("\n", timeout=4 * MAX_COMMAND_SECONDS)
        seconds = time.monotonic() - began
    assert (process.returncode, "[SW_DATABASE_LOST]" in errors) == (2, True), errors
    assert seconds < MAX_COMMAND_SECONDS


@pytest.mark.parametrize(
    "work",
    [
        pytest.param("pass", id="idle"),
        pytest.param("fetch('SELECT pg_sleep(9999)')", id="in a query"),
        pytest.param("fetch('SELECT pg_sleep(2), repeat(chr(65), 200000)')", id="owed a response"),
    ],
)
def test_success_the_lock_of_a_lost_host_is_released(
    network: Network, tmp_path: Path, work: str
) -> None:
    if network.proxy is not None:
        pytest.skip(f"{NOT_TESTED}sessions of a lost host: a network namespace needs root.")
    assert_lock_is_released(network, tmp_path, work)


@pytest.mark.parametrize(
    "work",
    [
        pytest.param("pass", id="idle"),
        pytest.param("fetch('SELECT pg_sleep(2), repeat(chr(65), 200000)')", id="owed a response"),
    ],
)
def test_success_the_lock_of_a_stalled_connection_is_released(
    network: Network, tmp_path: Path, work: str
) -> None:
    """A proxy passes nothing on, and its kernel acknowledges all packets."""
    with open_proxy(network.local_url) as stalling:
        assert_lock_is_released(stalling, tmp_path, work)


def assert_lock_is_released(network: Network, home: Path, work: str) -> None:
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    database = RawDatabase(network.local_url)
    with network.start(LOCK.format(work), home) as process, network.swallow():
        assert database.rows(locks) == [(1,)]
        process.kill()
        began = time.monotonic()
        while database.rows(locks) != [(0,)]:
            assert time.monotonic() - began < MAX_LOCK_SECONDS
            time.sleep(0.5)

"""Clients that stop reading an export, at the production server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from scaiwave.web.gunicorn_config import threads
from scaiwave.web.streaming import GRACE_SECONDS, KIB, MAX_STALL_SECONDS, DownloadPace
from scaiwave.web.transfers import FREE_THREADS
from tests.databases import prepared
from tests.rooms.views.live_server import LiveServer, load_sample_data, serve
from tests.scaiwave.site.pages import fill_in, sign_in

pytestmark = pytest.mark.once
PASSWORD = "correct horse battery"
EXPORT = "/admin/tenants/counter/export/json/"
ROWS = 60_000
"""Enough for more than the buffers of both ends."""
MAX_SECONDS = 60
LEAST_KIB_PER_SECOND = "1024"
"""More than the default, so that what the buffers took is soon not enough."""

FILL = f"""
from tenants.models import AdminUser, Counter
AdminUser.objects.create_superuser("olga", password={PASSWORD!r})
Counter.objects.bulk_create(Counter(name=f"{{n:064}}") for n in range({ROWS}))
report(None)
"""
ABORTED = "sw_audit_entries WHERE action = 'export-list-aborted'"


@pytest.fixture
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
) -> Iterator[LiveServer]:
    """Run a server without a limit by account, so that the limit of the process counts."""
    home = tmp_path_factory.mktemp("stalled")
    samples = []
    with (
        prepared(
            request, home, fill=lambda url: samples.append(load_sample_data(url, home))
        ) as url,
        serve(
            url, home, samples[0], SCAIWAVE_DOWNLOAD_MIN_KIB_PER_SECOND=LEAST_KIB_PER_SECOND
        ) as running,
    ):
        running.run_python(FILL)
        yield running


def connect(server: LiveServer, request: bytes) -> socket.socket:
    """Send a request as a client that reads next to nothing of the response."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(MAX_SECONDS)
    address = httpx.URL(server.url)
    connection.connect((address.host, address.port))
    connection.sendall(request)
    return connection


def build_request(browser: httpx.Client) -> bytes:
    body = str(httpx.QueryParams(fill_in(browser, "/admin/tenants/counter/")))
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return (
        f"POST {EXPORT} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def test_fail_clients_that_stop_reading_leave_threads_free(server: LiveServer) -> None:
    limit = threads - FREE_THREADS
    with (
        ExitStack() as stack,
        httpx.Client(base_url=server.url, follow_redirects=True, timeout=MAX_SECONDS) as browser,
    ):
        sign_in(browser, "olga", PASSWORD)
        request = build_request(browser)
        for _ in range(limit):
            stalled = stack.enter_context(connect(server, request))
            assert stalled.recv(12) == b"HTTP/1.1 200"
        answer = browser.post(EXPORT, data=fill_in(browser, "/admin/tenants/counter/"))
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "30"
        assert "SW_RATE_LIMIT_EXCEEDED" in answer.text
        assert server.get("/health/live").status_code == 200

        deadline = time.monotonic() + MAX_SECONDS
        while server.count_rows(ABORTED) < limit:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert "Traceback" not in server.log
        answer = browser.post(EXPORT, data=fill_in(browser, "/admin/tenants/counter/"))
        assert len(answer.json()["counters"]) >= ROWS


@pytest.mark.parametrize(
    ("size", "seconds"), [(30 * KIB, GRACE_SECONDS + 30), (10**9, MAX_STALL_SECONDS)]
)
def test_success_pace_of_a_download(size: int, seconds: float) -> None:
    pace = DownloadPace(min_bytes_per_second=KIB)
    started_at = time.monotonic()
    pace.start_sending(size)
    assert not pace.is_too_slow(started_at + seconds - 1)
    assert pace.is_too_slow(started_at + seconds + 1)
    pace.stop_sending()
    assert not pace.is_too_slow(started_at + 3600)

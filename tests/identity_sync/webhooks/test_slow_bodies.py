"""Bodies that arrive slowly, from a client that no proxy waits for, on every thread of gunicorn."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.databases import copy_database
from tests.identity_sync.webhooks.factories import PATH, SECRET, make_body, make_headers
from tests.web_process import TIMEOUT_SECONDS, build_environment, listen, run_gunicorn

pytestmark = pytest.mark.once

THREADS = 2
BODY_BYTES = 200_000


@pytest.fixture
def url(database_url: str, migrated: str, tmp_path: Path) -> Iterator[str]:
    copy_database(migrated, database_url)
    environment = build_environment(database_url, tmp_path)
    environment["SCAIWAVE_SCAIKEY_WEBHOOK_SECRET"] = SECRET
    with (
        listen() as listener,
        run_gunicorn(listener, environment, tmp_path / "web.log", threads=THREADS),
    ):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert httpx.get(f"{url}/health/live", timeout=TIMEOUT_SECONDS).status_code == 200
        yield url


def begin_webhook(url: str) -> socket.socket:
    """Send a request without the most of its body."""
    address = httpx.URL(url)
    client = socket.create_connection((address.host, address.port or 0), timeout=TIMEOUT_SECONDS)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    client.sendall(head.encode() + b"x")
    return client


def test_success_health_is_outside_the_busy_threads(url: str) -> None:
    """Other requests wait until the slow ones have been refused, and are then answered."""
    with ExitStack() as stack:
        clients = [stack.enter_context(begin_webhook(url)) for _ in range(THREADS)]
        time.sleep(0.5)
        for path in ("/health/live", "/health", "/health/ready"):
            assert httpx.get(url + path, timeout=TIMEOUT_SECONDS).status_code == 200
        for client in clients:
            client.settimeout(0.01)
            with pytest.raises(TimeoutError):  # It still occupies its thread.
                client.recv(1)
            client.settimeout(TIMEOUT_SECONDS)
        body = make_body("tenant.other", "tnt_1")
        answer = httpx.post(
            url + PATH, content=body, headers=make_headers(body), timeout=TIMEOUT_SECONDS
        )
        assert answer.status_code == 200
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_fail_bytes_that_trickle(url: str) -> None:
    """Each of them ends a wait of the server, but not its limit."""
    began_at = time.monotonic()
    with begin_webhook(url) as client:
        client.settimeout(0.2)
        answer = b""
        while not answer:
            assert time.monotonic() - began_at < TIMEOUT_SECONDS
            client.sendall(b"x")
            try:
                answer = client.recv(65536)
            except TimeoutError:
                continue
        client.settimeout(TIMEOUT_SECONDS)
        answer += b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"SW_REQUEST_TOO_SLOW" in answer

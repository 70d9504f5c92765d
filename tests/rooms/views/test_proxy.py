"""Slow and many clients, at the web server as it is documented: nginx in front of gunicorn."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from scaiwave.web.upload_pace import GRACE_SECONDS, UploadPace
from tests.databases import prepared
from tests.nginx import Nginx, run_nginx
from tests.rooms.views.live_server import LiveServer, load_sample_data, serve, wait_until
from tests.rooms.views.test_http_export import get_error

CLIENTS = 50
MAX_SECONDS = 8
BODY = b'--x\r\nContent-Disposition: form-data; name="workspace_id"\r\n\r\n'

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def slow_server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
) -> Iterator[LiveServer]:
    """Run a server that allows one transfer at a time, and uploads of 8 seconds."""
    home = tmp_path_factory.mktemp("slow")
    settings = {
        "SCAIWAVE_TRANSFER_LIMIT": "1",
        "SCAIWAVE_UPLOAD_MAX_SECONDS": str(MAX_SECONDS),
        "SCAIWAVE_ALLOWED_HOSTS": "127.0.0.1",
        "SCAIWAVE_PUBLIC_URL": "https://127.0.0.1",
    }
    samples = []
    with (
        prepared(
            request, home, fill=lambda url: samples.append(load_sample_data(url, home))
        ) as url,
        serve(url, home, samples[0], workers=2, **settings) as server,
    ):
        yield server


@pytest.fixture
def nginx(slow_server: LiveServer, tmp_path: object) -> Iterator[Nginx]:
    backend = httpx.URL(slow_server.url)
    with run_nginx(tmp_path, f"{backend.host}:{backend.port}") as running:  # type: ignore[arg-type]
        yield running


def build_upload_head(server: LiveServer) -> bytes:
    return (
        "POST /v1/rooms/import HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n"
        f"Authorization: Bearer {server.token()}\r\nContent-Length: 100000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode()


def trickle(connection: ssl.SSLSocket, ended: threading.Event) -> None:
    """Send a byte now and then."""
    while not ended.wait(0.5):
        connection.sendall(b"x")


def test_success_the_server_answers_while_clients_trickle(
    slow_server: LiveServer, nginx: Nginx
) -> None:
    """Half of the clients are slow with their headers, half with the body of an upload."""
    ended = threading.Event()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(nginx.connect(f"127.0.0.{2 + number}")) for number in range(CLIENTS)
        ]
        heads = (b"GET / HTTP/1.1\r\nX-Slow: ", build_upload_head(slow_server) + BODY)
        for number, client in enumerate(clients):
            client.sendall(heads[number % 2])
        threads = [threading.Thread(target=trickle, args=(each, ended)) for each in clients]
        stack.callback(ended.set)
        for thread in threads:
            thread.start()
        with httpx.Client(base_url=nginx.url, verify=nginx.context, timeout=30) as fast:
            for path in ("/health/live", "/.well-known/scaiwave/server", "/health/live"):
                assert fast.get(path).status_code == 200, path
        for client in clients:
            client.settimeout(0)
            with pytest.raises(ssl.SSLWantReadError):  # connected, and without a response
                client.recv(1)
            client.settimeout(30)
        ended.set()
        for thread in threads:
            thread.join()


def test_fail_too_many_transfers_and_too_slow(slow_server: LiveServer, nginx: Nginx) -> None:
    """A stalled upload occupies the only place of its sender until its time is over."""
    head = build_upload_head(slow_server)
    answers: list[bytes] = []
    stalled = threading.Thread(
        target=lambda: answers.append(send_and_wait(slow_server, head + BODY))
    )
    stalled.start()
    export = f"/v1/rooms/{slow_server.rooms['lobby']}/export"
    headers = {"X-Forwarded-Proto": "https"}
    wait_until(lambda: slow_server.temporary_files != [])
    with slow_server.client(headers=headers) as anna:
        refused = anna.get(export)
        assert get_error(refused) == (
            429,
            "SW_RATE_LIMIT_EXCEEDED",
            "You have reached the limit of exports and imports in progress: 1.",
        )
        assert refused.headers["Retry-After"] == "30"
        assert upload_through(nginx, slow_server.token()) == (429, "SW_RATE_LIMIT_EXCEEDED")
        assert upload_through(nginx, "no.token.at-all") == (401, "SW_AUTH_INVALID_TOKEN")
        with slow_server.client("berta", headers=headers) as berta:
            assert berta.get(export).status_code == 403  # not a member, and not limited
        stalled.join()
        assert answers[0].startswith(b"HTTP/1.1 408")
        assert b"SW_REQUEST_TOO_SLOW" in answers[0]
        assert anna.get(export).status_code == 200


def upload_through(nginx: Nginx, token: str) -> tuple[int, str]:
    """Upload a file that the server refuses before it reads it; return the status and code."""
    with httpx.Client(base_url=nginx.url, verify=nginx.context, timeout=60) as client:
        answer = client.post(
            "/v1/rooms/import",
            headers={"Authorization": f"Bearer {token}"},
            files={"bundle": ("a.zip", bytes(8_000_000))},
        )
    return answer.status_code, answer.json()["error"]["code"]


def send_and_wait(server: LiveServer, request: bytes) -> bytes:
    """Send the beginning of a request, and wait for the response without sending more."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("seconds", "size", "expected"),
    [
        (GRACE_SECONDS, 0, False),
        (GRACE_SECONDS + 2, 1999, True),
        (GRACE_SECONDS + 2, 2000, False),
        (61, 10**9, True),
    ],
)
def test_success_pace(seconds: float, size: int, expected: bool) -> None:
    pace = UploadPace(min_bytes_per_second=1000, max_seconds=60)
    assert pace.is_too_slow(seconds=seconds, size=size) is expected
    assert not UploadPace(0, 0).is_too_slow(seconds=seconds, size=size)

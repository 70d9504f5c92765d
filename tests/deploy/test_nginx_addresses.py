"""The address of a client that nginx passes on, and how many sign-ins it lets through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from django.test import RequestFactory
from pytest_django import Settings

from scaiwave.auth.bearer import get_client_address
from scaiwave.config import load
from tests.nginx import LOAD_BALANCER, Nginx, run_nginx

pytestmark = pytest.mark.once


class EchoHandler(BaseHTTPRequestHandler):
    """Answers with the X-Forwarded-For that it was sent."""

    def do_GET(self) -> None:
        body = (self.headers["X-Forwarded-For"] or "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - named by the library

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    with ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler) as backend:
        thread = threading.Thread(target=backend.serve_forever, args=(0.05,))
        thread.start()
        try:
            with run_nginx(tmp_path, f"127.0.0.1:{backend.server_port}") as running:
                yield running
        finally:
            backend.shutdown()
            thread.join()


def open_client(nginx: Nginx, source: str) -> httpx.Client:
    transport = httpx.HTTPTransport(verify=nginx.context, local_address=source)
    return httpx.Client(base_url=nginx.url, transport=transport, timeout=60)


def test_success_the_address_of_the_client_is_passed_on(nginx: Nginx, settings: Settings) -> None:
    """127.0.0.1 is the proxy, 127.0.0.2 a load balancer, 127.0.0.3 anyone."""
    settings.TRUSTED_PROXIES = load(
        {"SCAIWAVE_TRUSTED_PROXIES": "127.0.0.1,127.0.0.2"}
    ).get_networks("SCAIWAVE_TRUSTED_PROXIES")
    for source, sent, address in (
        ("127.0.0.3", "", "127.0.0.3"),
        ("127.0.0.3", "203.0.113.9", "127.0.0.3"),
        ("127.0.0.3", "203.0.113.9, 127.0.0.2", "127.0.0.3"),
        ("127.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.2", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
    ):
        with open_client(nginx, source) as client:
            named = client.get("/admin/", headers={"X-Forwarded-For": sent} if sent else {}).text
        request = RequestFactory().get("/", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR=named)
        assert get_client_address(request) == address


@pytest.mark.parametrize(
    ("method", "path", "is_limited"),
    [
        ("GET", "/oidc/authenticate/", True),
        ("GET", "/oidc/callback/?code=x&state=y", True),
        ("POST", "/admin/login/", True),
        ("GET", "/admin/login/", False),
        ("GET", "/health", True),
        ("GET", "/health/ready", True),
    ],
)
def test_fail_too_many_requests_of_one_address(
    nginx: Nginx, method: str, path: str, is_limited: bool
) -> None:
    with open_client(nginx, "127.0.0.4") as client:
        answers = [client.request(method, path) for _ in range(60)]
    statuses = {answer.status_code for answer in answers}
    assert statuses == ({200, 429} if is_limited else {200})
    # A handful of people at one address can sign in at the same time.
    assert [answer.status_code for answer in answers[:10]] == [200] * 10
    with open_client(nginx, "127.0.0.5") as other:
        assert other.request(method, path).status_code == 200


@pytest.mark.parametrize(
    ("addresses", "is_limited"),
    [
        ("2001:db8:1:2:{:x}:3:4:5", True),
        ("2001:db8:1:2::{:x}", True),
        ("2001:db8:1::{:x}", True),
        ("2001:db8::{:x}", True),
        ("2001:db8:1:{:x}::1", False),
        ("::ffff:203.0.113.{}", False),
        ("203.0.113.{}", False),
    ],
)
def test_success_a_network_of_ipv6_counts_as_one_client(
    nginx: Nginx, addresses: str, is_limited: bool
) -> None:
    with open_client(nginx, LOAD_BALANCER) as client:
        statuses = [
            client.get(
                "/oidc/callback/", headers={"X-Forwarded-For": addresses.format(number)}
            ).status_code
            for number in range(1, 61)
        ]
        assert set(statuses) == ({200, 429} if is_limited else {200})
        other = client.get("/oidc/callback/", headers={"X-Forwarded-For": "2001:db9::1"})
        assert other.status_code == 200

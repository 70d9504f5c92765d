from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from scaiwave.config import load
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.proxy import PATH, check_proxy, probe_proxy
from tests.scaiwave.row_factories import NOW


@contextmanager
def run_proxy(status: int) -> Iterator[str]:
    """Run a proxy whose web server answers with this status; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if status == 301:
                self.send_header("Location", f"https://{self.headers['Host']}{PATH}")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "state", "text"),
    [
        (200, State.PASS, "The web server answers at"),
        (301, State.WARN, "does not see that it is called by https"),
        (502, State.WARN, "can't be checked from this host"),
    ],
)
def test_success_probe(status: int, state: State, text: str) -> None:
    with run_proxy(status) as url:
        finding = probe_proxy(url)
    assert finding.state is state
    assert text in finding.message


def test_success_only_a_public_address_is_called() -> None:
    for url in ("http://chat.example.com", "https://localhost:8443", "http://localhost:8000"):
        assert list(check_proxy(load({"SCAIWAVE_PUBLIC_URL": url}), NOW)) == []

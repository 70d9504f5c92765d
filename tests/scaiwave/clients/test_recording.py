"""Responses recorded as they arrive: with TLS, after a retry, in parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.http.recording import ResponseRecorder
from tests.scaiwave.clients.certificates import Authority

BODY = b'{"secret": "once"}'


class Handler(BaseHTTPRequestHandler):
    """Fail the first request of a server with 503, then answer in two parts."""

    protocol_version = "HTTP/1.1"
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        status = 503 if self.requests == 1 else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:5])
        self.wfile.flush()
        time.sleep(0.02)
        self.wfile.write(BODY[5:])

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def run_server(authority: Authority | None) -> Iterator[str]:
    handler = type("FreshHandler", (Handler,), {"requests": 0})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        scheme = "http"
        if authority is not None:
            scheme = "https"
            server.socket = authority.server().wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"{scheme}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("with_tls", [False, True])
def test_success_every_byte_of_each_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_tls: bool
) -> None:
    authority = Authority(tmp_path) if with_tls else None
    if authority is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    responses: list[bytearray] = []

    def record(data: bytes) -> None:
        responses[-1] += data

    recorder = ResponseRecorder(begin=lambda: responses.append(bytearray()), record=record)
    with run_server(authority) as url, HttpClient(url, sleep=lambda _: None) as client:
        answer = client.request("GET", "/status", trace=recorder.trace)
        again = client.request("GET", "/status", trace=recorder.trace)
    assert answer.content == again.content == BODY
    assert [bytes(raw).partition(b"\r\n")[0] for raw in responses] == [
        b"HTTP/1.1 503 Service Unavailable",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK",
    ]
    assert all(raw.endswith(BODY) for raw in responses)


def test_success_recorded_before_the_client_has_looked_at_it() -> None:
    """Also when the client then finds that it can't use the response."""
    seen: list[bytes] = []
    recorder = ResponseRecorder(begin=list, record=seen.append)
    with (
        run_server(None) as url,
        HttpClient(url, sleep=lambda _: None, max_response_bytes=3) as client,
    ):
        with pytest.raises(Exception, match="more than"):
            client.request("GET", "/status", trace=recorder.trace)
    assert b'{"sec' in b"".join(seen)

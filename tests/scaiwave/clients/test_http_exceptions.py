"""What can go wrong before a response is complete; each fault is really caused."""

from __future__ import annotations

import gzip
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.http.exceptions import (
    ERROR_TRANSLATORS,
    HTTPX_ERRORS,
    Timeouts,
    UpstreamServer,
    translate_exception,
)
from scaiwave.clients.http.tls import create_tls_context
from scaiwave.core.errors import (
    ScaiWaveError,
    SettingInvalid,
    UpstreamInvalidResponse,
    UpstreamUnreachable,
)
from tests.scaiwave.clients.certificates import Authority
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    hang_up,
    make_response,
)
from tests.scaiwave.clients.retry_policies import NO_RETRIES, ONE_RETRY, QUICK
from tests.tools import require_tool

SILENCE = Timeouts(connect=0.2, read=0.2)
DEADLINE = Timeouts(total=0.5)


def failure(url: str, **options: object) -> ScaiWaveError:
    settings = {"retry_policy": QUICK, **options}
    with HttpClient(url, **settings) as client, pytest.raises(ScaiWaveError) as caught:  # type: ignore[arg-type]
        client.request("GET", "/hello")
    return caught.value


def exceptions_of(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("httpx"):
            yield from exceptions_of(child)


def test_success_every_exception_of_httpx_is_mapped() -> None:
    public = [getattr(httpx, name) for name in httpx.__all__]
    roots = [each for each in public if isinstance(each, type) and issubclass(each, Exception)]
    known = {each for root in roots for each in exceptions_of(root)}
    assert known == {kind for kind in ERROR_TRANSLATORS if kind.__module__.startswith("httpx")}


def test_success_each_mapped_exception_becomes_ours() -> None:
    peer = UpstreamServer(
        service="ScaiKey", origin="https://scaikey.example.org", timeouts=Timeouts()
    )
    for kind in ERROR_TRANSLATORS:
        if kind.__module__.startswith("httpx"):
            error = translate_exception(kind.__new__(kind), peer).error
            assert error.message.endswith(".")
            assert error.fix.endswith(".")
            assert "scaikey" in error.message.lower()


def test_success_catching_the_roots_catches_all() -> None:
    assert all(issubclass(kind, HTTPX_ERRORS) for kind in ERROR_TRANSLATORS)


def test_fail_not_mapped() -> None:
    peer = UpstreamServer(
        service="ScaiKey", origin="https://scaikey.example.org", timeouts=Timeouts()
    )
    with pytest.raises(KeyError):
        translate_exception(KeyError("ours"), peer)


def test_fail_connection_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = failure(f"http://127.0.0.1:{port}")
    assert isinstance(error, UpstreamUnreachable)
    assert error.message == f"ScaiKey at http://127.0.0.1:{port} refuses connections."
    assert error.fix == "Check SCAIWAVE_SCAIKEY_URL, and that ScaiKey is running there."
    assert error.__context__ is None
    assert error.__cause__ is None


def test_fail_unknown_name() -> None:
    error = failure("http://scaikey.invalid")
    assert isinstance(error, UpstreamUnreachable)
    assert error.message == "The host name of ScaiKey at http://scaikey.invalid can't be resolved."
    assert error.fix == "Check the spelling in SCAIWAVE_SCAIKEY_URL, and this host's DNS."


def test_fail_impossible_name() -> None:
    error = failure(f"http://{'a' * 70}.invalid")
    assert isinstance(error, SettingInvalid)
    assert error.message == "SCAIWAVE_SCAIKEY_URL is not a valid URL."


def test_fail_connect_timeout() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # Fills the queue of the kernel.
            error = failure(f"http://127.0.0.1:{port}", timeouts=SILENCE)
    assert error.message in {
        f"ScaiKey at http://127.0.0.1:{port} did not accept a connection within 0.2 s.",
        f"ScaiKey at http://127.0.0.1:{port} sent nothing for 0.2 s.",
    }


def test_fail_read_timeout() -> None:
    done = threading.Event()

    def wait(request: RawRequest) -> RawResponse:
        done.wait()
        return hang_up()

    with RawServer(wait) as server:
        error = failure(server.origin, retry_policy=NO_RETRIES, timeouts=SILENCE)
        done.set()
    assert isinstance(error, UpstreamUnreachable)
    assert error.message == f"ScaiKey at {server.origin} sent nothing for 0.2 s."
    assert error.fix == "Check the load of ScaiKey, then run the command again."


def test_fail_response_is_too_slow() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    served = []

    class Trickle(RawServer):
        def _serve(self, handler: object) -> None:
            served.append(1)
            handler.rfile.readline()  # type: ignore[attr-defined]
            handler.wfile.write(head)  # type: ignore[attr-defined]
            for _ in range(12):
                handler.wfile.write(b"1\r\n \r\n")  # type: ignore[attr-defined]
                time.sleep(0.1)

    with Trickle(lambda request: hang_up()) as server:
        error = failure(server.origin, retry_policy=NO_RETRIES, timeouts=DEADLINE)
    assert isinstance(error, UpstreamUnreachable)
    assert error.message == f"ScaiKey at {server.origin} did not finish its response within 0.5 s."
    assert len(served) == 1


class SlowServer(RawServer):
    """Sends the bytes one by one, for much longer than a client may wait."""

    sent = 0
    text = b""

    def _serve(self, handler: object) -> None:
        handler.rfile.readline()  # type: ignore[attr-defined]
        for byte in self.text:
            handler.wfile.write(bytes([byte]))  # type: ignore[attr-defined]
            self.sent += 1
            time.sleep(0.02)


_OK = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 500\r\n\r\n"


@pytest.mark.parametrize(
    "text",
    [
        # A header of gzip with a long file name: bytes that decompress to nothing.
        _OK + b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"a" * 490,
        b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 500,
    ],
    ids=["a body that decompresses to nothing", "headers"],
)
def test_fail_a_trickle_ends_at_the_deadline(text: bytes) -> None:
    with SlowServer(lambda request: hang_up()) as server:
        server.text = text
        error = failure(server.origin, retry_policy=NO_RETRIES, timeouts=DEADLINE)
        assert isinstance(error, UpstreamUnreachable)
        assert error.message in {
            f"ScaiKey at {server.origin} did not finish its response within 0.5 s.",
            f"ScaiKey at {server.origin} exceeded the time limit.",
        }
        assert server.sent < len(text)


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("gzip, gzip", "with more than one content encoding"),
        ("deflate, gzip, identity", "with more than one content encoding"),
        ("br", "with a content encoding that was not asked for"),
    ],
)
def test_fail_other_encodings(encoding: str, problem: str) -> None:
    body = gzip.compress(gzip.compress(b"{}"))
    headers = {"Content-Encoding": encoding}
    with RawServer(lambda a: make_response(body, headers=headers)) as server:
        error = failure(server.origin)
        assert isinstance(error, UpstreamInvalidResponse)
        assert error.message == f"ScaiKey at {server.origin} sent a body {problem}."
        (request,) = server.requests
    assert request.headers["accept-encoding"] == "gzip"


def test_fail_truncated_gzip() -> None:
    body = gzip.compress(b"{}" * 1000)[:-4]
    with RawServer(lambda a: make_response(body, headers={"Content-Encoding": "gzip"})) as server:
        error = failure(server.origin)
    assert "sent a body that does not match its Content-Encoding" in error.message


def test_fail_pool_exhausted() -> None:
    done = threading.Event()

    def wait(request: RawRequest) -> RawResponse:
        done.wait()
        return make_response({})

    waits = Timeouts(pool=0.1)
    with RawServer(wait) as server:
        with HttpClient(
            server.origin, max_concurrent_requests=1, timeouts=waits, retry_policy=QUICK
        ) as client:
            other = threading.Thread(target=client.request, args=("GET", "/slow"))
            other.start()
            while not server.requests:
                time.sleep(0.01)
            with pytest.raises(UpstreamUnreachable) as caught:
                client.request("GET", "/hello", retry=False)
            done.set()
            other.join()
        assert caught.value.message == (
            f"No connection to ScaiKey at {server.origin} became free within 0.1 s."
        )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
    ids=["before the response", "in the body", "in a chunk", "in the header"],
)
def test_fail_dropped(raw: bytes) -> None:
    with RawServer(lambda request: hang_up(raw)) as server:
        error = failure(server.origin, retry_policy=ONE_RETRY)
        assert len(server.requests) == 2
        assert error.details["attempts"] == 2
    assert isinstance(error, UpstreamUnreachable)
    assert error.message == (
        f"ScaiKey at {server.origin} closed the connection before its response was complete."
    )
    assert error.fix == (
        "Run the command again. If it happens again, check the logs of ScaiKey and of its "
        "reverse proxy."
    )


def test_fail_reset() -> None:
    import struct

    class Reset(RawServer):
        def _serve(self, handler: object) -> None:
            handler.rfile.readline()  # type: ignore[attr-defined]
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # type: ignore[attr-defined]

    with Reset(lambda request: hang_up()) as server:
        error = failure(server.origin)
    assert isinstance(error, UpstreamUnreachable)
    assert error.message == (
        f"ScaiKey at {server.origin} closed the connection before its response was complete."
    )


def test_fail_not_http() -> None:
    with RawServer(lambda request: hang_up(b"-ERR unknown command\r\n\r\n")) as server:
        error = failure(server.origin)
        assert len(server.requests) == 1
    assert isinstance(error, UpstreamInvalidResponse)
    assert error.message == f"ScaiKey at {server.origin} sent a response that is not HTTP."
    assert error.fix == "Check scheme and port in SCAIWAVE_SCAIKEY_URL."


def test_fail_wrong_encoding() -> None:
    with RawServer(
        lambda a: make_response(b"plain", headers={"Content-Encoding": "gzip"})
    ) as server:
        error = failure(server.origin)
    assert isinstance(error, UpstreamInvalidResponse)
    assert error.message == (
        f"ScaiKey at {server.origin} sent a body that does not match its Content-Encoding."
    )


@pytest.mark.parametrize("place", ["SSL_CERT_FILE", "the file of the host", "its directory"])
def test_success_trusted_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    authority = Authority(tmp_path)
    if place == "SSL_CERT_FILE":
        monkeypatch.setenv(place, str(authority.file))
    else:
        command = [require_tool("openssl"), "x509", "-hash", "-noout", "-in", str(authority.file)]
        hashed = subprocess.check_output(command, text=True).strip()
        authority.file.rename(tmp_path / f"{hashed}.0")
        monkeypatch.delenv("SSL_CERT_FILE")
        file = f"{tmp_path}/{hashed}.0" if place == "the file of the host" else None
        paths = SimpleNamespace(cafile=file, capath=str(tmp_path))
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    with RawServer(lambda request: make_response({"a": 1}), tls=authority.server()) as server:
        with HttpClient(server.origin) as client:
            assert client.request("GET", "/hello").json() == {"a": 1}


def test_success_a_host_without_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    paths = SimpleNamespace(cafile=None, capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert len(create_tls_context().get_ca_certs()) > 50


@pytest.mark.parametrize(
    ("trusted", "address", "days", "what", "fix"),
    [
        (
            False,
            "127.0.0.1",
            (-1, 10),
            "is not signed by an authority that this host trusts",
            "Add the authority's certificate to this host's trust store, or name a file with all "
            "trusted authorities in SSL_CERT_FILE.",
        ),
        (
            True,
            "127.0.0.1",
            (-9, -2),
            "has expired",
            "Renew the certificate of ScaiKey, and check this host's clock.",
        ),
        (
            True,
            "127.0.0.1",
            (2, 9),
            "is not valid yet",
            "Renew the certificate of ScaiKey, and check this host's clock.",
        ),
        (
            True,
            "127.0.0.9",
            (-1, 10),
            "is for another address",
            "Use the name in SCAIWAVE_SCAIKEY_URL.",
        ),
    ],
    ids=["unknown authority", "expired", "not yet valid", "another address"],
)
def test_fail_bad_certificate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
    address: str,
    days: tuple[int, int],
    what: str,
    fix: str,
) -> None:
    authority = Authority(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with RawServer(
        lambda request: make_response({}), tls=authority.server(address, days)
    ) as server:
        error = failure(server.origin)
    assert isinstance(error, UpstreamUnreachable)
    assert error.message == f"The certificate of ScaiKey at {server.origin} {what}."
    assert error.fix == fix
    assert error.details["attempts"] == 1 if "attempts" in error.details else True


class _Clear(socketserver.BaseRequestHandler):
    """Speaks first: one that reads a line of a hello may find no end of it."""

    def handle(self) -> None:
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.request.recv(65536)


def test_fail_no_tls_there() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Clear) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        origin = f"https://127.0.0.1:{server.server_address[1]}"
        error = failure(origin)
        server.shutdown()
    assert isinstance(error, UpstreamUnreachable)
    assert (
        error.message
        == f"ScaiKey at {origin} does not support TLS, or not a version that is accepted here."
    )
    assert error.fix == (
        "Check scheme and port in SCAIWAVE_SCAIKEY_URL: a server without TLS needs http://."
    )


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_FILE", "/nowhere.pem"), ("ALL_PROXY", "gopher://127.0.0.1:1")]
)
def test_fail_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingInvalid) as caught:
        HttpClient("https://scaikey.example.org")
    assert caught.value.message == (
        "The environment's proxy or certificate settings can't be used for requests to ScaiKey at "
        "https://scaikey.example.org."
    )
    assert caught.value.fix == (
        "Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR."
    )


def test_fail_proxy_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(lambda request: make_response({}, status=403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        error = failure("https://scaikey.example.org")
    assert error.message == (
        "The proxy refused to connect to ScaiKey at https://scaikey.example.org."
    )
    assert error.fix == "Check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY."


@pytest.mark.parametrize("token", ["top\nsecret-value", "geheimé-secret"])
def test_fail_unsendable_header(token: str) -> None:
    with RawServer(lambda request: make_response({})) as server:
        with HttpClient(server.origin) as client, pytest.raises(SettingInvalid) as caught:
            client.request("GET", "/hello", headers={"Authorization": f"Bearer {token}"})
    assert caught.value.message == (
        f"A request to ScaiKey at {server.origin} contains characters that can't be sent."
    )
    assert caught.value.__context__ is None


def test_success_ssl_context_verifies() -> None:
    """Guards against a client that would take any certificate."""
    assert create_tls_context().verify_mode is ssl.CERT_REQUIRED

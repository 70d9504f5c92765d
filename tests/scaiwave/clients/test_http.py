"""Retries, limits and unsuccessful responses."""

from __future__ import annotations

import base64
import gzip
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count

import pytest

from scaiwave.clients.errors import (
    ResponseTooLarge,
    TrailingSlashRedirect,
    UpstreamConflict,
    UpstreamRedirect,
    UpstreamRejected,
)
from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.http.retry import RetryPolicy, parse_http_date, parse_retry_after
from scaiwave.core.errors import (
    ScaiWaveError,
    SettingInvalid,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    hang_up,
    make_response,
)
from tests.scaiwave.clients.retry_policies import QUICK


def respond_in_turn(*responses: RawResponse) -> Callable[[RawRequest], RawResponse]:
    """Return the first response to the first request and so on; the last one repeatedly."""
    turns: Iterator[int] = count()
    return lambda request: responses[min(next(turns), len(responses) - 1)]


def refused(
    response: RawResponse, path: str = "/thing", method: str = "GET"
) -> tuple[ScaiWaveError, str]:
    with RawServer(lambda request: response) as server:
        with HttpClient(server.origin, retry_policy=QUICK) as client:
            with pytest.raises(ScaiWaveError) as caught:
                client.request(method, path)
    return caught.value, server.origin


def test_success_sends_and_reads() -> None:
    with RawServer(lambda request: make_response({"a": "ü"}, headers={"X-Seen": "yes"})) as server:
        with HttpClient(f"{server.origin}/base/", user_agent="suite/1") as client:
            response = client.request("POST", "/thing/", params={"q": "1"}, json={"b": 2})
            assert client.requests == 1
    assert response.json() == {"a": "ü"}
    assert response.headers["X-Seen"] == "yes"
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/base/thing/?q=1")
    assert request.body == b'{"b":2}'
    assert request.headers["user-agent"] == "suite/1"


def test_success_keeps_the_connection() -> None:
    connections = []

    class Counting(RawServer):
        def _serve(self, handler: object) -> None:
            connections.append(1)
            super()._serve(handler)  # type: ignore[arg-type]

    with Counting(lambda request: make_response({})) as server, HttpClient(server.origin) as client:
        for _ in range(5):
            client.request("GET", "/thing")
    assert len(connections) == 1


def test_success_decompresses() -> None:
    body = gzip.compress(b'{"a": 1}')
    with RawServer(lambda a: make_response(body, headers={"Content-Encoding": "gzip"})) as server:
        with HttpClient(server.origin) as client:
            assert client.request("GET", "/thing").json() == {"a": 1}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_success_retried_after_an_error(status: int) -> None:
    with RawServer(
        respond_in_turn(make_response({}, status=status), hang_up(), make_response({"a": 1}))
    ) as server:
        with HttpClient(server.origin, retry_policy=QUICK) as client:
            assert client.request("GET", "/thing").json() == {"a": 1}
            assert client.requests == 3


def test_success_honours_retry_after() -> None:
    slept: list[float] = []
    busy = make_response({}, status=429, headers={"Retry-After": "7"})
    with RawServer(respond_in_turn(busy, make_response({}))) as server:
        with HttpClient(server.origin, sleep=slept.append) as client:
            client.request("GET", "/thing")
    assert len(slept) == 1
    assert 7 <= slept[0] <= 8


def test_success_honours_retry_after_as_a_date() -> None:
    slept: list[float] = []
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    busy = make_response({}, status=503, headers={"Retry-After": moment})
    with RawServer(respond_in_turn(busy, make_response({}))) as server:
        with HttpClient(server.origin, sleep=slept.append) as client:
            client.request("GET", "/thing")
    assert len(slept) == 1
    assert 18 <= slept[0] <= 22


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Wed, 01 Jul 2026 12:00:30 GMT", 30.0),
        ("Wed, 01 Jul 2026 11:00:00 GMT", 0.0),
        ("Wed, 01 Jul 2026 12:00:30", 30.0),
        ("Wed, 99 Jul 2026 12:00:30 GMT", None),
    ],
)
def test_success_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    now = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert parse_retry_after(header, now=now) == seconds


def test_success_pauses_grow_and_differ() -> None:
    policy = RetryPolicy(min_pause=0.25, max_pause=10)
    for tries in range(1, 40):
        ceiling = min(10, 0.25 * 2**tries)
        pauses = {policy.backoff_seconds(tries, None) for _ in range(20)}
        assert len(pauses) > 1
        assert all(ceiling / 2 <= pause <= ceiling for pause in pauses)


def test_fail_retry_after_is_too_long() -> None:
    slept: list[float] = []
    with RawServer(
        lambda a: make_response({}, status=429, headers={"Retry-After": "300"})
    ) as server:
        with HttpClient(server.origin, sleep=slept.append) as client:
            with pytest.raises(UpstreamUnavailable) as caught:
                client.request("GET", "/thing")
        assert len(server.requests) == 1
    assert slept == []
    assert caught.value.message == (
        f"ScaiKey at {server.origin} limits the rate of requests (429) and asks to wait 300 s."
    )
    assert caught.value.fix == "Wait that long, then run the command again."
    assert caught.value.details == {"retry_after": 300.0, "attempts": 1}


def test_fail_retries_are_used_up() -> None:
    slept: list[float] = []
    with RawServer(lambda request: make_response({}, status=503)) as server:
        with HttpClient(server.origin, sleep=slept.append) as client:
            with pytest.raises(UpstreamUnavailable) as caught:
                client.request("GET", "/thing")
    assert 30 < sum(slept) <= 60
    assert caught.value.message == (
        f"ScaiKey at {server.origin} responded to GET /thing with 503 (Service Unavailable)."
    )
    assert caught.value.fix == "Check the log of ScaiKey, then run the command again."
    assert caught.value.exit_code == 2


def test_fail_rate_limited_without_retry_after() -> None:
    error, origin = refused(make_response({}, status=429))
    assert isinstance(error, UpstreamUnavailable)
    assert error.message == f"ScaiKey at {origin} limits the rate of requests (429)."


def test_fail_server_error_without_retries() -> None:
    with RawServer(lambda request: make_response({}, status=501)) as server:
        with HttpClient(server.origin, retry_policy=QUICK) as client:
            with pytest.raises(UpstreamUnavailable):
                client.request("GET", "/thing")
        assert len(server.requests) == 1


@pytest.mark.parametrize(("method", "attempts"), [("GET", 2), ("POST", 1)])
def test_success_a_500_is_tried_again_if_that_is_safe(method: str, attempts: int) -> None:
    answers = respond_in_turn(make_response({}, status=500), make_response({}))
    with RawServer(answers) as server:
        with HttpClient(server.origin, retry_policy=QUICK) as client:
            with suppress(UpstreamUnavailable):
                client.request(method, "/thing")
        assert len(server.requests) == attempts


@pytest.mark.parametrize("response", [make_response({}, status=503), hang_up()])
def test_fail_post_is_sent_once(response: RawResponse) -> None:
    with RawServer(lambda request: response) as server:
        with HttpClient(server.origin, retry_policy=QUICK) as client:
            with pytest.raises((UpstreamUnavailable, UpstreamUnreachable)):
                client.request("POST", "/thing")
        assert len(server.requests) == 1


def test_success_post_is_retried_on_request() -> None:
    with RawServer(respond_in_turn(hang_up(), make_response({}))) as server:
        with HttpClient(server.origin, retry_policy=QUICK) as client:
            client.request("POST", "/thing", retry=True)
        assert len(server.requests) == 2


def test_success_a_restart_is_waited_out() -> None:
    """A server that answered before gets the whole patience, not that of a first contact."""
    slept: list[float] = []
    with RawServer(lambda request: make_response({}, close=True)) as server:
        client = HttpClient(server.origin, sleep=slept.append)
        client.request("GET", "/thing")
    with client, pytest.raises(UpstreamUnreachable):
        client.request("GET", "/thing")
    assert sum(slept) > 5
    assert client.requests == 1


def test_success_stop_ends_the_pauses() -> None:
    class StopDuringPause(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            threading.Timer(0.1, self.set).start()
            return super().wait(timeout)

    with RawServer(
        lambda a: make_response({}, status=503, headers={"Retry-After": "50"})
    ) as server:
        with HttpClient(server.origin) as client:
            began = time.monotonic()
            with pytest.raises(UpstreamUnavailable):
                client.request("GET", "/thing", stop=StopDuringPause())
    assert time.monotonic() - began < 25
    assert len(server.requests) == 2


@pytest.mark.parametrize("chunked", [True, False])
def test_fail_too_large(chunked: bool) -> None:
    body = b" " * 5000
    response = make_response(body)
    if chunked:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        response = RawResponse(head + b"".join([b"64\r\n", b" " * 100, b"\r\n"] * 50))
    with RawServer(lambda request: response) as server:
        with HttpClient(server.origin, max_response_bytes=2048) as client:
            with pytest.raises(ResponseTooLarge) as caught:
                client.request("GET", "/thing")
    assert caught.value.message == (
        f"ScaiKey at {server.origin} responded to GET /thing with more than 2 KB."
    )


def test_fail_too_large_once_decompressed() -> None:
    body = gzip.compress(b" " * 100_000)
    with RawServer(lambda a: make_response(body, headers={"Content-Encoding": "gzip"})) as server:
        with HttpClient(server.origin, max_response_bytes=50_000) as client:
            with pytest.raises(ResponseTooLarge):
                client.request("GET", "/thing")


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("absolute", [True, False])
def test_fail_slash_missing(status: int, absolute: bool) -> None:
    def place(request: RawRequest) -> RawResponse:
        start = f"http://{request.headers['host']}" if absolute else ""
        return make_response({}, status=status, headers={"Location": f"{start}/api/users/?page=1"})

    with (
        RawServer(place) as server,
        HttpClient(server.origin) as client,
        pytest.raises(TrailingSlashRedirect) as caught,
    ):
        client.request("GET", "/api/users", params={"page": "1"})
    assert caught.value.message == (
        f"ScaiKey at {server.origin} redirects GET /api/users to /api/users/, which would "
        "lose the Authorization header."
    )
    assert caught.value.fix == ("Update this suite: the addresses of ScaiKey end differently.")


@pytest.mark.parametrize(
    ("status", "location", "shown"),
    [
        (302, "https://user:pw@login.example.org/in?token=abc#x", "https://login.example.org/in"),
        (301, "/elsewhere/", "{origin}/elsewhere/"),
        (300, "http://a:port", "{origin}/thing"),
    ],
)
def test_fail_redirect(status: int, location: str, shown: str) -> None:
    error, origin = refused(make_response({}, status=status, headers={"Location": location}))
    shown = shown.format(origin=origin)
    assert type(error) is UpstreamRedirect
    assert error.message == (
        f"ScaiKey at {origin} redirects GET /thing to {shown}, and redirects are not followed."
    )
    assert error.fix == "Set SCAIWAVE_SCAIKEY_URL to the address that ScaiKey itself answers at."


@pytest.mark.parametrize(
    ("location", "base"),
    [
        ("https://scaikey.example.org/thing", "https://scaikey.example.org"),
        ("https://example.org:8443/scaikey/thing?x=1", "https://example.org:8443/scaikey"),
        ("/v2/thing", "{origin}/v2"),
    ],
)
def test_fail_redirect_that_keeps_the_path(location: str, base: str) -> None:
    error, origin = refused(make_response({}, status=308, headers={"Location": location}))
    base = base.format(origin=origin)
    assert error.fix == f"If {base} is ScaiKey, set SCAIWAVE_SCAIKEY_URL to it."


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, UpstreamRejected, "ScaiKey at {origin} rejected GET /thing: no such page."),
        (422, UpstreamRejected, "ScaiKey at {origin} rejected GET /thing: no such page."),
        (
            401,
            UpstreamUnauthorized,
            "ScaiKey at {origin} rejected this server's credentials for GET /thing: no such page.",
        ),
        (403, UpstreamForbidden, "ScaiKey at {origin} does not allow GET /thing: no such page."),
        (404, UpstreamNotFound, "Not found in ScaiKey: /thing (404)."),
        (
            409,
            UpstreamConflict,
            "ScaiKey at {origin} reports a conflict for GET /thing: no such page.",
        ),
        (
            405,
            UpstreamInvalidResponse,
            "ScaiKey at {origin} responded to GET /thing with 405 (Method Not Allowed), which is "
            "not "
            "documented.",
        ),
    ],
)
def test_fail_refused(status: int, kind: type[ScaiWaveError], message: str) -> None:
    error, origin = refused(make_response({"detail": "no such\n page."}, status=status))
    assert type(error) is kind
    assert error.message == message.format(origin=origin)
    assert error.fix.endswith(".")


def test_fail_html_404_is_an_unexpected_response() -> None:
    error, origin = refused(make_response(b"<html>404</html>", status=404))
    assert type(error) is UpstreamInvalidResponse
    assert error.message == (
        f"ScaiKey at {origin} responded to GET /thing with a 404 that is not from ScaiKey."
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "Plain"}, ": Plain."),
        ({"detail": [{"loc": ["body", "name"], "msg": "Too long"}]}, ": body.name: Too long."),
        ({"detail": [{"msg": "A"}, {"loc": 3}, "B", 4]}, ": A; B."),
        ({"error": "invalid_x", "error_description": "Why."}, ": invalid_x: Why."),
        ({"detail": {"a": 1}}, "."),
        ([1], "."),
        (b"<html>", "."),
        (b"[" * 100_000, "."),
        ({"detail": "x" * 1000}, f": {'x' * 299}…."),
        ({"detail": "bell \x07 and \u202e turn"}, ": bell  and  turn."),
    ],
)
def test_success_detail_is_reported(body: object, words: str) -> None:
    error, origin = refused(make_response(body, status=403))
    assert error.message == f"ScaiKey at {origin} does not allow GET /thing{words}"


def test_success_secrets_are_hidden() -> None:
    """Even a server that repeats what we sent does not make us print it."""

    def echo(request: RawRequest) -> RawResponse:
        scheme, _, sent = request.headers["authorization"].partition(" ")
        basic = base64.b64decode(sent).decode() if scheme == "Basic" else ""
        return make_response({"detail": f"{request.target} {sent} {basic}"}, status=401)

    with RawServer(echo) as server, HttpClient(server.origin) as client:
        with pytest.raises(UpstreamUnauthorized) as bearer:
            client.request(
                "GET",
                "/thing",
                params={"status_token": "status-token-value", "page": "1"},
                headers={"Authorization": "Bearer bearer-token-value"},
            )
        with pytest.raises(UpstreamUnauthorized) as basic:
            client.request("POST", "/thing", auth=("app", "client-secret-value"))
    assert "page=1" in bearer.value.message
    reprs = "".join(map(repr, [bearer.value, basic.value, client, bearer.value.details]))
    assert "-value" not in reprs
    assert "[hidden]" in reprs


def test_success_log_has_no_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        RawServer(lambda request: make_response({})) as server,
        HttpClient(server.origin) as client,
    ):
        client.request("GET", "/thing", params={"status_token": "status-token-value"})
    assert "GET /thing: 200" in caplog.text
    assert "status-token-value" not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["", "scaikey", "ftp://scaikey", "http://", "http://a:port", "http://a/?b=1", "http://a/#b"],
)
def test_fail_base_url(url: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        HttpClient(url)
    assert caught.value.message == (
        "SCAIWAVE_SCAIKEY_URL is not a complete http:// or https:// URL."
    )
    assert caught.value.fix == (
        "Set SCAIWAVE_SCAIKEY_URL to something like https://scaikey.example.org."
    )


def test_fail_base_url_with_password() -> None:
    with pytest.raises(SettingInvalid) as caught:
        HttpClient("https://me:geheim@scaigrid", service="ScaiGrid")
    assert caught.value.message == "SCAIWAVE_SCAIGRID_URL contains a user name or password."


def test_success_counts_across_threads() -> None:
    with (
        RawServer(lambda request: make_response({})) as server,
        HttpClient(server.origin) as client,
    ):

        def call() -> None:
            for _ in range(10):
                client.request("GET", "/thing")

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.requests == len(server.requests) == 80


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_success(zone: str) -> None:
    assert parse_http_date(f"Tue, 24 Nov 2026 12:00:00 {zone}") == NOON


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        ",",
        "yesterday",
        "Tue, 99 Nov 2026 12:00:00 GMT",
        "Tue, 24 Nov 99999999999999999999 12:00:00 GMT",
        "Tue, 24 Nov 2026 12:00:00 +9999999999999",
        "Tue, 24 Nov 2026 12:00:00 +2400",
    ],
)
def test_fail_no_date(text: str | None) -> None:
    assert parse_http_date(text) is None

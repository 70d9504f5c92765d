"""The client for ScaiCMS, with the sandbox and with responses that the sandbox never sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from scaiwave.clients.scaicms import FIXES, LivePage, ScaiCmsClient, WriteResult, scaicms_client
from scaiwave.config import load
from scaiwave.core.errors import (
    ScaiWaveError,
    SettingInvalid,
    SettingMissing,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from scaiwave.sandbox import Sandbox
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)
from tests.scaiwave.clients.retry_policies import QUICK

KEY = "scai_live_0123456789abcdef"
PAGE: dict[str, Any] = {"title": "A", "body_md": "# A\n", "frontmatter": {"status": "published"}}


@pytest.fixture
def cms() -> Iterator[Sandbox]:
    with Sandbox(people=10, tenants=1, groups=1, partners=1) as running:
        yield running


@pytest.fixture
def client(cms: Sandbox) -> Iterator[ScaiCmsClient]:
    with ScaiCmsClient(cms.url, cms.scaicms.api_key, retry_policy=QUICK) as client:
        yield client


def asking(server: RawServer) -> ScaiCmsClient:
    return ScaiCmsClient(server.origin, KEY, retry_policy=QUICK)


def test_success_pages(client: ScaiCmsClient) -> None:
    assert client.read_page("suite/a") is None
    assert client.write_page("suite/a", **PAGE) == WriteResult(rev=1)
    assert client.read_page("suite/a") == LivePage(**PAGE, rev=1)
    assert client.write_page("suite/a", **{**PAGE, "title": "B"}) == WriteResult(rev=2)
    client.delete_page("suite/a")
    assert client.read_page("suite/a") is None
    client.delete_page("suite/a")


def test_success_requests() -> None:
    with (
        RawServer(lambda request: make_response(b"", status=204)) as server,
        asking(server) as client,
    ):
        assert client.write_page("suite/a b", **PAGE) == WriteResult(rev=None)
    (request,) = server.requests
    assert (request.method, request.target) == ("PUT", "/api/v1/docs/scaiwave/v1/suite/a%20b")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert msgspec.json.decode(request.body) == PAGE


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_success_retried(status: int) -> None:
    def respond(request: RawRequest) -> RawResponse:
        first = len(server.requests) == 1
        return (
            RawResponse(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            if first
            else make_response({})
        )

    with RawServer(respond) as server, asking(server) as client:
        assert client.write_page("a", **PAGE) == WriteResult()
    assert [request.method for request in server.requests] == ["PUT", "PUT"]


def test_fail_not_retried_on_request() -> None:
    with (
        RawServer(lambda request: make_response({}, status=503)) as server,
        asking(server) as client,
    ):
        with pytest.raises(UpstreamUnavailable):
            client.write_page("a", **PAGE, retry=False)
        with pytest.raises(UpstreamUnavailable):
            client.read_page("a", retry=False)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "detail", "error", "response", "fix"),
    [
        (
            401,
            {"code": "INVALID_API_KEY", "message": "Invalid API key"},
            UpstreamUnauthorized,
            "rejected this server's credentials for GET /api/v1/docs/scaiwave/v1/a: "
            "INVALID_API_KEY, "
            "Invalid API key.",
            FIXES["INVALID_API_KEY"],
        ),
        (
            403,
            {"code": "SCOPE_DENIED"},
            UpstreamForbidden,
            "does not allow GET /api/v1/docs/scaiwave/v1/a: SCOPE_DENIED.",
            FIXES["SCOPE_DENIED"],
        ),
        (
            403,
            {"code": "NEW_CODE", "message": "Said."},
            UpstreamForbidden,
            "does not allow GET /api/v1/docs/scaiwave/v1/a: NEW_CODE, Said.",
            "Ask the operator of ScaiCMS for the permission.",
        ),
        (
            403,
            "Not today",
            UpstreamForbidden,
            "does not allow GET /api/v1/docs/scaiwave/v1/a: Not today.",
            "Ask the operator of ScaiCMS for the permission.",
        ),
        (
            500,
            {"code": "OOPS", "message": f"with {KEY}"},
            UpstreamUnavailable,
            "responded to GET /api/v1/docs/scaiwave/v1/a with 500 (Internal Server Error): OOPS, "
            "with [hidden].",
            "Check the log of ScaiCMS, then run the command again.",
        ),
    ],
)
def test_fail_refused(
    status: int, detail: Any, error: type[ScaiWaveError], response: str, fix: str
) -> None:
    with RawServer(lambda request: make_response({"detail": detail}, status=status)) as server:
        with asking(server) as client, pytest.raises(error) as caught:
            client.read_page("a")
    assert caught.value.message == f"ScaiCMS at {server.origin} {response}"
    assert caught.value.fix == fix
    assert str(caught.value) == caught.value.message


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"title": "A"}', b'{"title": 1, "body_md": ""}', b""]
)
def test_fail_read_invalid_response(body: bytes) -> None:
    with RawServer(lambda request: make_response(body)) as server, asking(server) as client:
        with pytest.raises(UpstreamInvalidResponse) as caught:
            client.read_page("a")
    assert caught.value.message.startswith(
        "Invalid response from ScaiCMS, GET /api/v1/docs/scaiwave/v1/a"
    )


def test_fail_read_404_of_something_else() -> None:
    with (
        RawServer(lambda request: make_response(b"<html>", status=404)) as server,
        asking(server) as client,
    ):
        with pytest.raises(UpstreamInvalidResponse):
            client.read_page("a")


def test_fail_write_invalid_response() -> None:
    with (
        RawServer(lambda request: make_response(b"<html>")) as server,
        asking(server) as client,
    ):
        with pytest.raises(UpstreamInvalidResponse) as caught:
            client.write_page("a", **PAGE)
    assert caught.value.fix == (
        "Check that SCAIWAVE_SCAICMS_URL is ScaiCMS's address, then run it again to find out "
        "whether the page was written."
    )


def test_success_connect(cms: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIWAVE_SCAICMS_URL", f"{cms.url}/")
    monkeypatch.setenv("SCAIWAVE_SCAICMS_API_KEY", cms.scaicms.api_key)
    with scaicms_client(load()) as client:
        assert client.read_page("a") is None


@pytest.mark.parametrize("name", ["SCAIWAVE_SCAICMS_URL", "SCAIWAVE_SCAICMS_API_KEY"])
def test_fail_connect_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIWAVE_SCAICMS_URL", "https://cms.example.org")
    monkeypatch.setenv("SCAIWAVE_SCAICMS_API_KEY", KEY)
    monkeypatch.delenv(name)
    with pytest.raises(SettingMissing) as caught:
        scaicms_client(load())
    assert caught.value.message == f"{name} is not set."


def test_fail_connect_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIWAVE_SCAICMS_URL", "cms.example.org")
    with pytest.raises(SettingInvalid):
        scaicms_client(load())

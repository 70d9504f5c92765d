"""A ScaiKey that accepts connections and never answers must not stop the web server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from django.test import Client
from pytest_django import Settings

from scaiwave.core.errors import UpstreamUnreachable
from scaiwave.web.scaikey_sign_in import (
    FAILURE_SECONDS,
    LIVE_SECONDS,
    MAX_AGE_SECONDS,
    EndpointCache,
)
from tests.tenants.accounts.oidc.conftest import ScaiKey, configure
from tests.tenants.accounts.oidc.test_tokens import begin, finish
from tests.tenants.silent_scaikey import SilentServer


@pytest.fixture
def server() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_fail_one_thread_waits_and_its_failure_is_remembered(server: SilentServer) -> None:
    clock = Clock()
    cache = EndpointCache(clock=clock)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, server.config)
        assert server.is_asked.wait(30)
        for _ in range(18):
            with pytest.raises(UpstreamUnreachable):
                cache.get(server.config)
        assert not first.done()
        assert server.accepted == 1
        server.is_released.set()
        with pytest.raises(UpstreamUnreachable):
            first.result()
    with pytest.raises(UpstreamUnreachable):
        cache.get(server.config)
    assert server.accepted == 1
    clock.now += FAILURE_SECONDS
    server.answer_with_endpoints()
    assert cache.get(server.config).token == f"{server.url}/token"


def test_success_endpoints_remain_in_use_if_they_can_not_be_renewed(server: SilentServer) -> None:
    clock = Clock()
    cache = EndpointCache(clock=clock)
    server.answer_with_endpoints()
    endpoints = cache.get(server.config)
    clock.now += MAX_AGE_SECONDS + 1
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, server.config)
        assert server.is_asked.wait(30)
        assert cache.get(server.config) is endpoints
        server.is_released.set()
        assert first.result() is endpoints
    assert cache.get(server.config) is endpoints
    assert server.accepted == 2
    clock.now += FAILURE_SECONDS
    server.answer_with_endpoints()
    assert cache.get(server.config) is not endpoints


def test_fail_no_browser_is_sent_to_a_scaikey_that_is_down(server: SilentServer) -> None:
    clock = Clock()
    cache = EndpointCache(clock=clock)
    server.answer_with_endpoints()
    endpoints = cache.get(server.config, is_live=True)
    clock.now += LIVE_SECONDS
    assert cache.get(server.config, is_live=True) is endpoints
    server.close()
    clock.now += 1
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable):
            cache.get(server.config, is_live=True)
        assert cache.get(server.config) is endpoints


def test_fail_the_page_comes_within_seconds_and_names_no_address(
    server: SilentServer, settings: Settings
) -> None:
    configure(
        settings,
        SCAIWAVE_SCAIKEY_URL=server.url,
        SCAIWAVE_SCAIKEY_CLIENT_ID="client",
        SCAIWAVE_SCAIKEY_CLIENT_SECRET="secret",
    )
    # The server is not released: the page comes because the request is cancelled.
    page = Client().get("/oidc/authenticate/")
    assert page.status_code == HTTPStatus.BAD_GATEWAY
    text = page.content.decode()
    assert "SW_UPSTREAM_UNREACHABLE" in text
    assert urlsplit(server.url).netloc not in text
    assert "SCAIWAVE_" not in text


@pytest.mark.django_db
@pytest.mark.sandbox(people=60, tenants=3, groups=3)
def test_fail_a_token_request_without_an_answer_is_remembered(scaikey: ScaiKey) -> None:
    """Anyone can come back with an invented code, and so cause such a request."""
    client, sandbox = Client(), scaikey.sandbox
    sent = sandbox.faults.add("drop", path="/api/v1/platform/oauth/token")
    for _ in range(2):
        state = begin(client)["state"]
        assert finish(client, state, sandbox.url).status_code == HTTPStatus.BAD_GATEWAY
        assert sent.fired == 1

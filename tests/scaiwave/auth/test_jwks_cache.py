from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaiwave.auth.jwks_cache import (
    FAILURE_SECONDS,
    MAX_AGE_SECONDS,
    UNKNOWN_KEY_SECONDS,
    Jwks,
    JwksCache,
)
from scaiwave.core.errors import UpstreamUnreachable


class ScaiKey:
    """Records the requests for keys; the test sets the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.requested: list[str | None] = []
        self.is_down = False
        self.cache = JwksCache(self.answer, clock=lambda: self.now)

    def answer(self, slug: str | None) -> Jwks:
        self.requested.append(slug)
        if self.is_down:
            raise UpstreamUnreachable("ScaiKey does not answer.")
        return {"keys": [{"kid": f"{slug} {len(self.requested)}"}]}

    def token(self) -> Callable[[str | None], Jwks]:
        return self.cache.fetcher(lambda tenant_id: tenant_id and f"slug of {tenant_id}")


def test_success_keys_are_cached_for_some_minutes() -> None:
    scaikey = ScaiKey()
    first = scaikey.token()(None)
    scaikey.now += MAX_AGE_SECONDS - 1
    assert scaikey.token()(None) is first
    scaikey.now += 1
    assert scaikey.token()(None) != first
    assert scaikey.requested == [None, None]


def test_success_each_issuer_is_cached_separately() -> None:
    scaikey = ScaiKey()
    for tenant_id in ("a", None, "b", "a"):
        scaikey.token()(tenant_id)
    assert scaikey.requested == ["slug of a", None, "slug of b"]


def test_success_unknown_keys_are_fetched_once_a_minute() -> None:
    scaikey = ScaiKey()
    assert [_twice(scaikey) for _ in range(3)] == [1, 1, 1]
    scaikey.now += UNKNOWN_KEY_SECONDS
    assert [_twice(scaikey) for _ in range(3)] == [2, 2, 2]


def test_success_an_unknown_key_does_not_wait_until_cached_keys_are_old() -> None:
    """They may have been fetched a moment before a rotation."""
    scaikey = ScaiKey()
    scaikey.token()(None)
    for seconds, expected in ((1, 2), (UNKNOWN_KEY_SECONDS - 1, 2), (1, 3)):
        scaikey.now += seconds
        assert _twice(scaikey) == expected


def _twice(scaikey: ScaiKey) -> int:
    """What the second question of one token finds: the keys of which answer of ScaiKey's."""
    fetch = scaikey.token()
    fetch(None)
    return int(fetch(None)["keys"][0]["kid"].removeprefix("None "))


def test_success_concurrent_requests_fetch_the_keys_once() -> None:
    asked, answered = threading.Event(), threading.Event()
    fetched: list[str | None] = []

    def slow(slug: str | None) -> Jwks:
        fetched.append(slug)
        asked.set()
        assert answered.wait(30)
        return {"keys": []}

    cache = JwksCache(slow, max_wait=30)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(cache.fetcher(lambda _: None), None) for _ in range(4)]
        assert asked.wait(30)
        answered.set()
        assert [found.result() for found in waiting] == [{"keys": []}] * 4
    assert fetched == [None]


def test_fail_failed_fetch_is_not_repeated_immediately() -> None:
    scaikey = ScaiKey()
    scaikey.is_down = True
    for _ in range(3):
        with pytest.raises(UpstreamUnreachable):
            scaikey.token()(None)
    assert len(scaikey.requested) == 1
    scaikey.is_down = False
    scaikey.now += FAILURE_SECONDS
    assert scaikey.token()(None) == {"keys": [{"kid": "None 2"}]}


def test_fail_expired_keys_are_not_used_if_the_fetch_fails() -> None:
    """They may have been revoked."""
    scaikey = ScaiKey()
    scaikey.token()(None)
    scaikey.is_down = True
    scaikey.now += MAX_AGE_SECONDS
    with pytest.raises(UpstreamUnreachable):
        scaikey.token()(None)


def test_success_an_unknown_key_does_not_discard_cached_keys_while_scaikey_is_down() -> None:
    scaikey = ScaiKey()
    keys = scaikey.token()(None)
    scaikey.is_down = True
    scaikey.now += UNKNOWN_KEY_SECONDS
    unknown_key = scaikey.token()
    assert unknown_key(None) is keys
    with pytest.raises(UpstreamUnreachable):
        unknown_key(None)
    assert scaikey.token()(None) is keys
    assert scaikey.requested == [None, None]


def test_success_no_thread_waits_long_for_keys_that_another_one_fetches() -> None:
    """Known keys are used for some seconds more. Otherwise, and for unknown keys, it fails."""
    asked, answered = threading.Event(), threading.Event()
    scaikey = ScaiKey()

    def fetch(slug: str | None) -> Jwks:
        if scaikey.now > 1000.0:
            asked.set()
            assert answered.wait(30)
        return scaikey.answer(slug)

    cache = JwksCache(fetch, clock=lambda: scaikey.now, max_wait=0)

    def get_token(slug: str) -> Callable[[str | None], Jwks]:
        return cache.fetcher(lambda _: slug)

    known = get_token("known")(None)
    scaikey.now += MAX_AGE_SECONDS
    with ThreadPoolExecutor(2) as pool:
        fetches = []
        for slug in ("known", "new"):
            asked.clear()
            fetches.append(pool.submit(get_token(slug), None))
            assert asked.wait(30)
        token = get_token("known")
        assert token(None) is known
        for waiting in (token, get_token("new")):
            with pytest.raises(UpstreamUnreachable):
                waiting(None)
        answered.set()
        assert all(fetch.result() is not known for fetch in fetches)

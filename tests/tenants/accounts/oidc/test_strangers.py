"""What people without an account at ScaiKey can do at the sign-in: nothing that lasts."""

from __future__ import annotations

import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.core import signing
from django.test import Client
from pytest_django import Settings

from scaiwave.web.scaikey_sign_in import endpoint_cache
from tenants.models import AuditEntry
from tests.tenants.accounts.oidc.conftest import ScaiKey
from tests.tenants.accounts.oidc.test_tokens import (
    FORGED,
    Answer,
    answer_with,
    begin,
    come_back,
    finish,
)

pytestmark = [pytest.mark.django_db, pytest.mark.sandbox(people=60, tenants=3, groups=3)]
OFFICE = "203.0.113.9"
"""An address that strangers share with the people who sign in."""

NAMES = [f"scaiwave_sign_in_{number}" for number in range(4)]


def get_waiting(client: Client) -> dict[str, str]:
    """Return the cookies of the browser's sign-ins in progress."""
    return {name: cookie.value for name, cookie in client.cookies.items() if cookie.value}


def find_cookie(client: Client, state: str) -> str | None:
    """Return the name of the cookie that is signed for a state."""
    for name, value in get_waiting(client).items():
        with suppress(signing.BadSignature):
            signing.loads(value, salt=SALT + state)
            return name
    return None


SALT = "scaiwave.pending_sign_ins."


def guess(scaikey: ScaiKey, *, with_state: bool, **changes: str) -> Any:
    """Come back with a code that ScaiKey did not issue."""
    client = Client(REMOTE_ADDR=OFFICE)
    state = begin(client)["state"] if with_state else "y"
    query = {"code": "x", "state": state, "iss": scaikey.sandbox.url, **changes}
    return client.get("/oidc/callback/", query)


GUESSES: dict[str, tuple[dict[str, Any], int]] = {
    "no sign-in": ({"with_state": False}, 400),
    "no sign-in, no issuer": ({"with_state": False, "iss": ""}, 400),
    "an error of no sign-in": ({"with_state": False, "error": "server_error"}, 400),
    "a code of a sign-in that they began": ({"with_state": True}, 401),
    "another issuer": ({"with_state": True, "iss": "https://evil.example"}, 401),
    "no code": ({"with_state": True, "code": ""}, 401),
    "an error": ({"with_state": True, "error": "server_error"}, 401),
}


@pytest.mark.parametrize("case", GUESSES)
def test_success_made_up_answers_lock_no_one_out(scaikey: ScaiKey, case: str) -> None:
    changes, status = GUESSES[case]
    statuses = {guess(scaikey, **changes).status_code for _ in range(7)}
    assert statuses == {status}
    assert come_back(scaikey, Client(REMOTE_ADDR=OFFICE)).status_code == HTTPStatus.FOUND
    assert [entry.action for entry in AuditEntry.objects.all()] == ["sign-in"]
    assert not AccessAttempt.objects.exists()


def test_success_made_up_answers_extend_no_lock(scaikey: ScaiKey) -> None:
    """A lock of answers that ScaiKey has signed wrongly counts from the last of those."""
    for _ in range(5):
        come_back(scaikey, Client(REMOTE_ADDR=OFFICE), FORGED["foreign audience"])
    (before,) = AccessAttempt.objects.values_list("failures_since_start", "attempt_time")
    assert guess(scaikey, with_state=True).status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert guess(scaikey, with_state=False).status_code == HTTPStatus.BAD_REQUEST
    (after,) = AccessAttempt.objects.values_list("failures_since_start", "attempt_time")
    assert after == before


def test_success_a_sign_in_that_begins_leaves_no_row(scaikey: ScaiKey) -> None:
    client = Client()
    for path in ("/admin/", "/admin/login/", "/oidc/authenticate/?next=/admin/"):
        client.get(path)
    guess(scaikey, with_state=True)
    guess(scaikey, with_state=False)
    endpoint_cache.clear()
    scaikey.sandbox.stop()
    assert client.get("/oidc/authenticate/").status_code == HTTPStatus.BAD_GATEWAY
    assert not Session.objects.exists()
    assert "sessionid" not in client.cookies


@pytest.mark.parametrize("has_tls", [False, True])
def test_success_the_cookie_is_for_the_answer_alone(
    scaikey: ScaiKey, settings: Settings, has_tls: bool
) -> None:
    """With TLS, by its name and path, no other host of the domain can have set it."""
    settings.SESSION_COOKIE_SECURE = has_tls
    settings.COOKIE_PREFIX = "__Host-" if has_tls else ""
    client = Client()
    sent = begin(client)
    (cookie,) = client.cookies.values()
    assert cookie.key in [settings.COOKIE_PREFIX + name for name in NAMES]
    assert find_cookie(client, sent["state"]) == cookie.key
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/", "", 15 * 60)
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert bool(cookie["secure"]) is has_tls


def sign(state: str, values: list[str], *, key: str | None = None) -> str:
    return signing.dumps(values, salt=SALT + state, key=key)


def test_fail_cookies_that_this_server_did_not_set_for_the_state(
    scaikey: ScaiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, client = scaikey.sandbox.url, Client()
    first, second = begin(client)["state"], begin(client)["state"]
    name, other = find_cookie(client, first), find_cookie(client, second)
    assert name
    assert other
    assert name != other
    good = client.cookies[name].value
    payload, _, rest = good.partition(":")
    long_ago = time.time() - 15 * 60 - 1
    with monkeypatch.context() as past:
        past.setattr(time, "time", lambda: long_ago)
        expired = sign(first, ["nonce", "verifier", "/admin/"])
    for forged in (
        "",
        "x",
        payload,
        f"{payload}x:{rest}",
        f"{good}x",
        client.cookies[other].value,
        sign(second, ["nonce", "verifier", "/admin/"]),
        sign(first, ["nonce", "verifier", "/admin/"], key="another"),
        expired,
    ):
        browser = Client()
        browser.cookies[name] = forged
        answer = finish(browser, first, issuer)
        assert "SW_SIGN_IN_STATE_LOST" in answer.content.decode(), forged
    answer_with(scaikey.sandbox, token=Answer(scaikey, "another nonce").build())
    assert finish(client, first, issuer).status_code == HTTPStatus.UNAUTHORIZED
    assert scaikey.sandbox.requests.count("*/platform/oauth/token") == 1


def test_success_tabs_sign_in_at_the_same_time(scaikey: ScaiKey) -> None:
    client = Client()
    targets = ["/admin/tenants/tenant/", "/admin/rooms/room/"]
    for target, sent in [(target, begin(client, target)) for target in targets]:
        name = find_cookie(client, sent["state"])
        assert name
        answer = Answer(scaikey, sent["nonce"])
        answer_with(scaikey.sandbox, token=answer.build(), userinfo=answer.profile)
        back = finish(client, sent["state"], scaikey.sandbox.url)
        scaikey.sandbox.faults.clear()
        assert back.headers["Location"] == target
        assert client.cookies[name].value == ""


def test_success_cookies_fit_into_the_headers_of_a_request(scaikey: ScaiKey) -> None:
    """Also if a page opens one window after the other; nginx and gunicorn accept 8 KB."""
    client = Client()
    for length in (*[10] * 40, *[590] * 40):
        sent = begin(client, "/admin/?q=" + "x" * length)
        waiting = get_waiting(client)
        assert sum(len(name) + len(value) + 3 for name, value in waiting.items()) < 4200
        assert find_cookie(client, sent["state"]) in NAMES


def test_success_no_number_of_windows_that_open_at_once_fills_the_headers(
    scaikey: ScaiKey,
) -> None:
    """Their requests all leave before the first answer sets a cookie."""
    client = Client()
    for _ in range(40):
        window = Client()
        begin(window, "/admin/?q=" + "x" * 590)
        for name, cookie in window.cookies.items():
            client.cookies[name] = cookie.value
    assert set(client.cookies) <= set(NAMES)
    assert come_back(scaikey, client).status_code == HTTPStatus.FOUND


@pytest.mark.parametrize("target", ["/admin/\n?q=\r\x00\x85", "/admin/?q=\u2028é"])
def test_success_a_target_with_any_character(scaikey: ScaiKey, target: str) -> None:
    client = Client()
    there = come_back(scaikey, client, target=target).headers["Location"]
    assert there.startswith("/admin/")
    assert there.isascii()
    assert there.isprintable()


@pytest.mark.parametrize("state", ["\n", "\x00", ";", "é", "x" * 3000, 'a"b', "__proto__"])
def test_fail_a_state_of_any_characters(scaikey: ScaiKey, state: str) -> None:
    client = Client()
    for name in NAMES:
        client.cookies[name] = "junk"
    answer = finish(client, state, scaikey.sandbox.url)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert come_back(scaikey, client).status_code == HTTPStatus.FOUND


def test_success_a_wrong_nonce_locks_no_one_out(scaikey: ScaiKey) -> None:
    """Anyone can send ScaiKey the nonce that they like."""
    statuses = {
        come_back(scaikey, Client(REMOTE_ADDR=OFFICE), FORGED["wrong nonce"]).status_code
        for _ in range(7)
    }
    assert statuses == {HTTPStatus.UNAUTHORIZED}
    assert come_back(scaikey, Client(REMOTE_ADDR=OFFICE)).status_code == HTTPStatus.FOUND


def test_success_a_target_that_is_too_long_for_a_cookie_is_the_overview(scaikey: ScaiKey) -> None:
    answer = come_back(scaikey, Client(), target="/admin/?q=" + "x" * 5000)
    assert answer.headers["Location"] == "/admin/"

"""A ScaiKey that fails, refuses or returns nonsense: nothing changes, and the run reports why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from scaiwave.clients.http.exceptions import Timeouts
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError
from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import (
    ADMIN,
    MEMBERS,
    USERS,
    dump_rows,
    get_changed_counts,
    get_last_run,
    list_groups,
    list_temporary_tables,
    read_database,
    read_directory,
    sync,
)
from tests.scaiwave.clients.retry_policies import ONE_RETRY
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=9, scim=False),
]


def assert_sync_fails(sandbox: Sandbox, **options: Any) -> ScaiWaveError:
    """Assert that the run fails without any change, and return its error."""
    before = dump_rows()
    with pytest.raises(ScaiWaveError) as caught:
        sync(**options)
    assert dump_rows() == before
    run = get_last_run()
    assert (run.outcome, run.error_code, run.error_message) == (
        "failed",
        caught.value.code,
        caught.value.message,
    )
    assert all(not any(row.values()) for row in run.counts.values())
    assert list_temporary_tables() == []
    assert caught.value.fix
    sandbox.faults.clear()
    return caught.value


def make_impatient_client(config: Configuration) -> ScaiKeyClient:
    """Make a client that waits tenths of a second for a response, and retries once."""
    return ScaiKeyClient(
        config.get_url("SCAIWAVE_SCAIKEY_URL"),
        client_id=config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"),
        client_secret=config.get_str("SCAIWAVE_SCAIKEY_CLIENT_SECRET"),
        timeouts=replace(Timeouts(), read=0.3),
        retry_policy=ONE_RETRY,
    )


@pytest.mark.parametrize(
    ("fault", "code", "exit_code", "message"),
    [
        (
            {"action": "not_json", "path": f"{ADMIN}/tenants/"},
            "SW_UPSTREAM_NONSENSE",
            2,
            "Invalid response from ScaiKey, page 1 of GET /api/v1/admin/tenants/: it is not JSON.",
        ),
        (
            {"action": "wrong_shape", "path": f"{ADMIN}/groups/"},
            "SW_UPSTREAM_NONSENSE",
            2,
            "Invalid response from ScaiKey, page 1 of GET /api/v1/admin/groups/: no list in "
            "`data` or `items`.",
        ),
        (
            {"action": "status", "status": 403, "path": USERS},
            "SW_UPSTREAM_FORBIDDEN",
            3,
            "ScaiKey at URL does not allow GET /api/v1/admin/users/: Fault 403.",
        ),
        (
            {"action": "status", "status": 403, "path": f"{ADMIN}/partners/"},
            "SW_UPSTREAM_FORBIDDEN",
            3,
            "ScaiKey at URL does not allow GET /api/v1/admin/partners/: Fault 403.",
        ),
        (
            {"action": "status", "status": 403, "path": MEMBERS},
            "SW_UPSTREAM_FORBIDDEN",
            3,
            "ScaiKey at URL does not allow GET /api/v1/admin/groups/GROUP/members: Fault 403.",
        ),
        (
            {"action": "status", "status": 401, "path": USERS},
            "SW_UPSTREAM_CREDENTIALS_REFUSED",
            3,
            "ScaiKey at URL rejected this server's credentials for GET /api/v1/admin/users/: Fault "
            "401.",
        ),
    ],
)
def test_fail_invalid_response(
    synced: Sandbox, fault: dict[str, Any], code: str, exit_code: int, message: str
) -> None:
    group = list_groups(synced)[0]["id"]
    synced.faults.add_json(fault)

    error = assert_sync_fails(synced)

    assert (error.code, error.exit_code) == (code, exit_code)
    assert error.message == message.replace("URL", synced.url).replace("GROUP", group)
    assert get_changed_counts(sync()) == {}


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (
            {"action": "drop", "path": USERS},
            "SW_UPSTREAM_UNREACHABLE",
            "ScaiKey at URL closed the connection before its response was complete.",
        ),
        (
            {"action": "cut", "path": USERS},
            "SW_UPSTREAM_UNREACHABLE",
            "ScaiKey at URL closed the connection before its response was complete.",
        ),
        (
            {"action": "hang", "seconds": 5, "path": USERS},
            "SW_UPSTREAM_UNREACHABLE",
            "ScaiKey at URL sent nothing for 0.3 s.",
        ),
        (
            {"action": "status", "status": 503, "path": USERS},
            "SW_UPSTREAM_UNAVAILABLE",
            "ScaiKey at URL responded to GET /api/v1/admin/users/ with 503 (Service Unavailable).",
        ),
        (
            {"action": "status", "status": 429, "headers": {"Retry-After": "60"}, "path": USERS},
            "SW_UPSTREAM_UNAVAILABLE",
            "ScaiKey at URL limits the rate of requests (429) and asks to wait 60 s.",
        ),
    ],
)
def test_fail_connection_breaks(
    synced: Sandbox, fault: dict[str, Any], code: str, message: str
) -> None:
    synced.faults.add_json(fault)

    error = assert_sync_fails(synced, connect=make_impatient_client)

    assert (error.code, error.exit_code) == (code, 2)
    assert error.message == message.replace("URL", synced.url)
    assert get_changed_counts(sync()) == {}


def test_fail_unreachable(synced: Sandbox) -> None:
    synced.stop()

    error = assert_sync_fails(synced, connect=make_impatient_client)

    assert (error.code, error.exit_code) == ("SW_UPSTREAM_UNREACHABLE", 2)
    assert error.message == f"ScaiKey at {synced.url} refuses connections."
    synced.start()
    assert get_changed_counts(sync()) == {}


def test_fail_wrong_secret(synced: Sandbox, settings: Settings) -> None:
    settings.CONFIG = make_config(synced, SCAIWAVE_SCAIKEY_CLIENT_SECRET="another")

    error = assert_sync_fails(synced)

    assert (error.code, error.exit_code) == ("SW_UPSTREAM_CREDENTIALS_REFUSED", 3)
    assert "another" not in error.message
    assert error.message == (
        f"ScaiKey at {synced.url} rejected this server's credentials for POST "
        "/api/v1/platform/oauth/token: invalid_client: Client authentication failed."
    )


def test_success_waits_and_tries_again(scaikey: Sandbox) -> None:
    scaikey.faults.add("status", status=503, path=USERS, times=2)
    scaikey.faults.add(
        "status", status=429, headers={"Retry-After": "0"}, path=f"{ADMIN}/groups/", times=1
    )
    scaikey.faults.add("cut", path=MEMBERS, nth=2)
    scaikey.faults.add("drop", path=f"{ADMIN}/tenants/", nth=1)

    assert sync().outcome == "applied"
    assert read_database() == read_directory(scaikey)


def test_success_token_expires_during_the_run(scaikey: Sandbox) -> None:
    scaikey.faults.add("status", status=401, path=USERS, query={"page": "2"}, times=1)
    scaikey.faults.add("status", status=401, path=MEMBERS, nth=3)

    assert sync().outcome == "applied"
    assert read_database() == read_directory(scaikey)


def test_success_the_lock_is_released_after_an_error(scaikey: Sandbox) -> None:
    scaikey.faults.add("not_json", path=USERS)
    assert_sync_fails(scaikey)
    assert sync().outcome == "applied"
    assert connection.is_usable()

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from federation.keys.descriptor import build_descriptor, show_descriptor
from federation.keys.lifecycle import rotate_key
from federation.keys.signing import keys_from_descriptor, own_keys
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.keys import check_federation_keys
from tests.federation.factories import (
    DAY,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    configure,
    make_key,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
ADDRESS = "/.well-known/scaiwave/server"
ENDPOINTS = {
    "send": "/_scaiwave/federation/v1/send",
    "profile": "/_scaiwave/federation/v1/profile/{local_id}",
    "members": "/_scaiwave/federation/v1/rooms/{room_id}/members",
    "backfill": "/_scaiwave/federation/v1/rooms/{room_id}/backfill",
}
SECOND = timedelta(seconds=1)


@pytest.fixture
def client() -> Client:
    return Client()


def test_success_without_a_key(client: Client) -> None:
    response = client.get(ADDRESS)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == {
        "server_name": "localhost",
        "public_key": "",
        "protocol_versions": ["v1"],
        "endpoints": ENDPOINTS,
        "previous_keys": [],
    }


def test_success_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="chat.example.com")
    signing = make_key()
    previous = make_key(created_at=NOW - 2 * DAY, retires_at=NOW + DAY)
    make_key(created_at=NOW - 3 * DAY, retires_at=NOW)
    make_key(created_at=NOW - 4 * DAY, retires_at=NOW + DAY, revoked_at=NOW)
    document = build_descriptor(NOW).document
    assert list(document) == [
        "server_name",
        "public_key",
        "protocol_versions",
        "endpoints",
        "previous_keys",
    ]
    assert document["server_name"] == "chat.example.com"
    assert document["public_key"] == f"ed25519:{signing.public_key}"
    assert document["previous_keys"] == [
        {"public_key": f"ed25519:{previous.public_key}", "expires_at": "2026-11-25T12:00:00Z"}
    ]


def test_success_previous_keys_without_a_signing_one() -> None:
    make_key(revoked_at=NOW)
    make_key(created_at=NOW - DAY, retires_at=NOW + DAY)
    document = build_descriptor(NOW).document
    assert (document["public_key"], len(document["previous_keys"])) == ("", 1)


def test_success_descriptor_has_the_fields_that_peers_read() -> None:
    signing, previous = make_key(), make_key(created_at=NOW - 2 * DAY, retires_at=NOW + DAY)
    keys = keys_from_descriptor(build_descriptor(NOW).document)
    own = own_keys()
    assert keys.keys() == {signing.key_id, previous.key_id}
    for key_id, key in keys.items():
        assert key.public_key == own[key_id].public_key
        assert key.verifies_until == own[key_id].verifies_until


@pytest.mark.parametrize(
    ("left", "seconds"), [(DAY, 300), (301 * SECOND, 300), (7.9 * SECOND, 7), (0.5 * SECOND, 0)]
)
def test_success_cached_no_longer_than_a_key_is_valid(left: timedelta, seconds: int) -> None:
    make_key()
    make_key(created_at=NOW - DAY, retires_at=NOW + left)
    make_key(created_at=NOW - DAY, retires_at=NOW + SECOND / 100, revoked_at=NOW)
    assert build_descriptor(NOW).max_age == seconds


def test_success_cache_headers_and_no_cookie(client: Client) -> None:
    response = client.get(ADDRESS)
    assert response["Cache-Control"] == "public, max-age=300"
    assert response["ETag"].startswith('"')
    assert "Vary" not in response
    assert not response.cookies


def test_success_not_modified(client: Client) -> None:
    etag = client.get(ADDRESS)["ETag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        response = client.get(ADDRESS, headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response["ETag"] == etag
        assert response["Cache-Control"] == "public, max-age=300"
    make_key(created_at=timezone.now())
    response = client.get(ADDRESS, headers={"If-None-Match": etag})
    assert response.status_code == 200
    assert response["ETag"] != etag


def test_success_head(client: Client) -> None:
    got, head = client.get(ADDRESS), client.head(ADDRESS)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Cache-Control", "Content-Type", "Content-Length"):
        assert head[name] == got[name]


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_fail_read_only(method: str) -> None:
    """Anonymous callers get the same response: no CSRF token is required."""
    response: Any = getattr(Client(enforce_csrf_checks=True), method)(ADDRESS)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


def test_fail_no_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The details are logged, and not revealed to the caller."""

    def fail_to_connect(now: datetime) -> NoReturn:
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setattr("federation.views.build_descriptor", fail_to_connect)
    response = client.get(ADDRESS)
    assert (response.status_code, response["Cache-Control"]) == (503, "no-store")
    assert response.json()["error"]["code"] == "SW_DATABASE_UNREACHABLE"
    assert "10.1.2.3" not in response.content.decode()


def test_success_shown_document_equals_the_served_one(client: Client) -> None:
    make_key(created_at=timezone.now() - DAY)
    result = show_descriptor(operator=READ_ONLY_OPERATOR, now=timezone.now())
    assert result.document() == client.get(ADDRESS).json()
    assert result.sentence == ("Peers fetch it from https://localhost/.well-known/scaiwave/server.")
    assert result.warnings == [
        "The server name is localhost, which no peer can reach. Set SCAIWAVE_SERVER_NAME."
    ]


def test_success_a_changed_server_name_is_noticed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(created_at=timezone.now() - DAY)
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="Chat.example.com")
    client.get(ADDRESS)
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="chat.example.com")
    assert show_descriptor(operator=READ_ONLY_OPERATOR, now=timezone.now()).warnings == []
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="new.example.com")
    client.get(ADDRESS)
    problem = (
        "SCAIWAVE_SERVER_NAME is new.example.com, but peers know this server as Chat.example.com."
    )
    fix = (
        "Restore the earlier name. If you have renamed the server on purpose, publish a new key "
        "under the new name: `scaiwave admin federation key rotate`."
    )
    assert show_descriptor(operator=READ_ONLY_OPERATOR, now=timezone.now()).warnings == [
        f"{problem} {fix}"
    ]
    finding = next(iter(check_federation_keys(settings.CONFIG, timezone.now())))
    assert (finding.state, finding.message, finding.fix) == (State.WARN, problem, fix)
    rotate_key(operator=HOST_OPERATOR, now=timezone.now())
    client.get(ADDRESS)
    assert show_descriptor(operator=READ_ONLY_OPERATOR, now=timezone.now()).warnings == []


def test_success_shown_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="chat.example.com")
    assert show_descriptor(operator=READ_ONLY_OPERATOR, now=NOW).warnings == [
        "This server has no signing key, so no peer can trust it. Run `scaiwave admin federation "
        "key generate`."
    ]

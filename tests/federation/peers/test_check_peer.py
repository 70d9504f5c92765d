from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.http import http_date

from federation.errors import HandshakeIncompatible, InvalidServerName
from federation.models import FederationMode, KnownPeer, Policy, ServerKey
from federation.peers.check_peer import (
    PeerKeyComparison,
    check_peer,
    compare_key,
    save_peer,
)
from federation.peers.descriptor import PeerDescriptor
from federation.policy.server_names import parse_server_name
from scaiwave.core.errors import SettingInvalid
from scaiwave.core.report import Report
from tenants.models import AuditEntry
from tests.federation.factories import (
    DAY,
    HOST_OPERATOR,
    NOW,
    configure,
    make_key,
)
from tests.federation.fake_peer import (
    OTHER_PUBLIC_KEY,
    PUBLIC_KEY,
    FakePeer,
    build_document,
    key_id,
)
from tests.refusals import refuses

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
LATER = NOW + DAY


def check(peer: FakePeer, **changes: Any) -> Report:
    return check_peer(
        **{"operator": HOST_OPERATOR, "server_name": peer.name, "now": NOW, **changes}
    )


@pytest.fixture
def ready() -> None:
    """This server has a key, and is open to all."""
    make_key()
    Policy.objects.create(default_mode=FederationMode.OPEN, updated_at=NOW)


@pytest.mark.usefixtures("ready")
def test_success_first_seen(peer: FakePeer) -> None:
    check(peer, dry_run=True)
    assert not KnownPeer.objects.exists()
    assert not AuditEntry.objects.exists()
    peer.requests.clear()
    result = check(peer)
    (request,) = peer.requests
    assert (request.method, request.target) == ("GET", "/.well-known/scaiwave/server")
    assert (request.headers["host"], request.body) == (peer.name, b"")
    assert result.figures["peer"] == {
        "server_name": peer.name,
        "key_id": key_id(PUBLIC_KEY),
        "public_key": PUBLIC_KEY,
        "previous_key_ids": [],
        "protocol_versions": ["v1"],
        "key_status": "first seen",
        "key_seen_at": None,
        "last_key_id": None,
        "policy_allows": True,
        "policy": "is open to every server",
        "clock_offset_seconds": None,
    }
    assert (result.warnings, result.error) == ([], None)
    assert result.document() == {"peer": result.figures["peer"], "ok": True, "warnings": []}
    known = KnownPeer.objects.get()
    assert (known.server_name, f"ed25519:{known.public_key}") == (peer.name, PUBLIC_KEY)
    assert (known.first_seen_at, known.last_seen_at, known.key_changed_at) == (NOW, NOW, None)
    assert known.protocol_versions == ["v1"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_name) == ("federation check-peer", peer.name)
    assert entry.details == {
        "key_id": key_id(PUBLIC_KEY),
        "seen": "first seen",
        "last_key_id": None,
    }


@pytest.mark.usefixtures("ready")
def test_success_first_seen_by_two_processes_at_once(
    peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare_late(known: KnownPeer | None, descriptor: PeerDescriptor) -> PeerKeyComparison:
        """Another run stores the peer between the lookup and the insert."""
        save_peer(known, parse_server_name(peer.name), descriptor, NOW)
        return compare_key(known, descriptor)

    monkeypatch.setattr("federation.peers.check_peer.compare_key", compare_late)
    assert check(peer, now=LATER).figures["peer"]["key_status"] == "first seen"
    known = KnownPeer.objects.get()
    assert (known.first_seen_at, known.last_seen_at, known.key_changed_at) == (NOW, LATER, None)


@pytest.mark.usefixtures("ready")
def test_success_same_key(peer: FakePeer) -> None:
    check(peer)
    peer.describe(public_key=PUBLIC_KEY.rstrip("="))
    again = check(peer, now=LATER)
    row = again.figures["peer"]
    assert (row["key_status"], row["key_seen_at"]) == ("same", NOW)
    assert again.warnings == []
    assert KnownPeer.objects.get().last_seen_at == LATER


@pytest.mark.usefixtures("ready")
def test_success_changed_and_announced(peer: FakePeer) -> None:
    check(peer)
    expiring = {"public_key": PUBLIC_KEY, "expires_at": "2099-01-01T00:00:00Z"}
    peer.describe(public_key=OTHER_PUBLIC_KEY, previous_keys=[expiring])
    changed = check(peer, now=LATER)
    assert changed.figures["peer"]["key_status"] == "changed"
    assert changed.figures["peer"]["previous_key_ids"] == [key_id(PUBLIC_KEY)]
    assert changed.warnings == [
        f"The key of {peer.name} has changed since it was last seen on 2026-11-24 12:00 UTC. It "
        "was rotated: the old key is listed as a previous key."
    ]
    known = KnownPeer.objects.get()
    assert (known.key_changed_at, f"ed25519:{known.public_key}") == (LATER, OTHER_PUBLIC_KEY)
    again = check(peer, now=LATER + DAY)
    row = again.figures["peer"]
    assert (row["key_status"], row["key_seen_at"]) == ("same", LATER)


@pytest.mark.usefixtures("ready")
def test_success_changed_unannounced(peer: FakePeer) -> None:
    check(peer)
    peer.describe(public_key=OTHER_PUBLIC_KEY)
    changed = check(peer, now=LATER)
    assert changed.figures["peer"]["last_key_id"] == key_id(PUBLIC_KEY)
    assert changed.warnings == [
        f"The key of {peer.name} has changed since it was last seen on 2026-11-24 12:00 UTC, and "
        f"its descriptor does not list the old key {key_id(PUBLIC_KEY)}. Confirm the new key with "
        "the peer's administrator before you rely on it."
    ]


@pytest.mark.usefixtures("ready")
def test_success_name_in_capitals(peer: FakePeer) -> None:
    peer.describe(server_name=peer.name.upper())
    assert check(peer).figures["peer"]["server_name"] == peer.name


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(("seconds", "side"), [(-7200, "behind"), (7200, "ahead of")])
def test_success_clocks_are_apart(peer: FakePeer, seconds: int, side: str) -> None:
    date = http_date((timezone.now() + timedelta(seconds=seconds)).timestamp())
    peer.respond_with(build_document(peer.name), headers={"Date": date})
    result = check(peer)
    offset = result.figures["peer"]["clock_offset_seconds"]
    assert abs(offset - seconds) < 60
    assert result.warnings == [
        f"The clock of {peer.name} is {abs(offset):,} s {side} this server's. A difference of more "
        "than 60 s makes signatures invalid; synchronise both with NTP."
    ]


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("date", [None, "yesterday", "Tue, 24 Nov 99999999999999 12:00:00 GMT"])
def test_success_clock_unknown(peer: FakePeer, date: str | None) -> None:
    peer.respond_with(build_document(peer.name), headers={"Date": date} if date else {})
    result = check(peer)
    assert (result.figures["peer"]["clock_offset_seconds"], result.warnings) == (None, [])


@pytest.mark.usefixtures("ready")
def test_success_clocks_agree(peer: FakePeer) -> None:
    peer.respond_with(
        build_document(peer.name), headers={"Date": http_date(timezone.now().timestamp())}
    )
    assert check(peer).warnings == []


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (None, "is closed to every server"),
        ({"default_mode": "closed"}, "is closed to every server"),
        (
            {"default_mode": "invite_only", "allowed_peers": ["other.example"]},
            "allows listed servers only, and {name} is not listed",
        ),
    ],
)
def test_fail_policy(peer: FakePeer, policy: dict[str, Any] | None, reason: str) -> None:
    make_key()
    if policy is not None:
        Policy.objects.create(updated_at=NOW, **policy)
    result = check(peer)
    assert isinstance(result.error, HandshakeIncompatible)
    assert result.error.message == f"This server's policy {reason.format(name=peer.name)}."
    assert result.error.fix == (
        "Run `scaiwave admin federation policy set --default-mode invite_only --allow-peer "
        f"{peer.name}` to allow it."
    )
    assert result.document()["ok"] is False
    assert KnownPeer.objects.exists()


def test_success_policy_names_the_peer(peer: FakePeer, key: ServerKey) -> None:
    allowed = {"default_mode": "invite_only", "allowed_peers": [peer.name]}
    Policy.objects.create(updated_at=NOW, **allowed)
    result = check(peer)
    assert (result.error, result.figures["peer"]["policy"]) == (None, f"allows {peer.name}")


def test_fail_no_key_of_our_own(peer: FakePeer) -> None:
    Policy.objects.create(default_mode=FederationMode.OPEN, updated_at=NOW)
    problem = check(peer).error
    assert problem is not None
    assert problem.message == "This server has no signing key, so the peer can't trust it."


def test_fail_invalid_name_or_networks(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    with refuses(InvalidServerName, f"Invalid server name: 'https://{peer.name}'."):
        check(peer, server_name=f"https://{peer.name}")
    configure(monkeypatch, SCAIWAVE_PEER_NETWORKS="127.0.0.0/8, home")
    with refuses(
        SettingInvalid,
        "SCAIWAVE_PEER_NETWORKS is not a list of networks.",
        "Set SCAIWAVE_PEER_NETWORKS to networks such as 10.0.0.0/8,fd00::/8.",
    ):
        check(peer)

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.http import http_date

from federation.errors import HandshakeIncompatible, InvalidServerName
from federation.models import FederationMode, KnownPeer, Policy
from federation.services.check_peer import CheckPeerResult, check_peer
from federation.services.known_peers import PeerKeyComparison, compare_key, save_peer
from federation.services.peer_descriptor import PeerDescriptor
from federation.services.server_names import parse_server_name
from scaiwave.errors import InsufficientPermission, SettingInvalid
from tenants.models import AuditEntry
from tests.federation.keys import DAY, HOST, NOW, READER, configure, make_key
from tests.federation.peers import OTHER_TEXT, TEXT, Peer, description, key_id

pytestmark = pytest.mark.django_db
LATER = NOW + DAY


def check(peer: Peer, **changes: Any) -> CheckPeerResult:
    return check_peer(**{"operator": HOST, "server_name": peer.name, "now": NOW, **changes})


@pytest.fixture
def ready() -> None:
    """This server has a key, and is open to all."""
    make_key()
    Policy.objects.create(default_mode=FederationMode.OPEN, updated_at=NOW)


@pytest.mark.usefixtures("ready")
def test_success_first_seen(peer: Peer) -> None:
    checked = check(peer)
    assert checked.peer == {
        "server_name": peer.name,
        "key_id": key_id(TEXT),
        "public_key": TEXT,
        "previous_key_ids": [],
        "protocol_versions": ["v1"],
        "key_seen": "first seen",
        "key_seen_since": None,
        "last_key_id": None,
        "policy_lets_in": True,
        "policy": "is open to every server",
        "clock_offset_seconds": None,
    }
    assert (checked.warnings, checked.problem) == ([], None)
    assert checked.document() == {"peer": checked.peer, "warnings": [], "handshake": True}
    known = KnownPeer.objects.get()
    assert (known.server_name, f"ed25519:{known.public_key}") == (peer.name, TEXT)
    assert (known.first_seen_at, known.last_seen_at, known.key_changed_at) == (NOW, NOW, None)
    assert known.protocol_versions == ["v1"]


@pytest.mark.usefixtures("ready")
def test_success_first_seen_by_two_at_once(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(known: KnownPeer | None, found: PeerDescriptor) -> PeerKeyComparison:
        """The other stores it between our look and our turn."""
        save_peer(known, parse_server_name(peer.name), found, NOW)
        return compare_key(known, found)

    monkeypatch.setattr("federation.services.check_peer.compare_key", late)
    assert check(peer, now=LATER).peer["key_seen"] == "first seen"
    known = KnownPeer.objects.get()
    assert (known.first_seen_at, known.last_seen_at, known.key_changed_at) == (NOW, LATER, None)


@pytest.mark.usefixtures("ready")
def test_success_asks_for_the_descriptor_alone(peer: Peer) -> None:
    check(peer)
    (asked,) = peer.asked
    assert (asked.method, asked.target) == ("GET", "/.well-known/scaiwave/server")
    assert (asked.headers["host"], asked.body) == (peer.name, b"")


@pytest.mark.usefixtures("ready")
def test_success_audited(peer: Peer) -> None:
    check(peer)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_name) == ("federation check-peer", peer.name)
    assert entry.details == {"key_id": key_id(TEXT), "seen": "first seen", "last_key_id": None}


@pytest.mark.usefixtures("ready")
def test_success_same_key(peer: Peer) -> None:
    check(peer)
    peer.describes(public_key=TEXT.rstrip("="))
    again = check(peer, now=LATER)
    assert (again.peer["key_seen"], again.peer["key_seen_since"]) == ("same", NOW)
    assert again.warnings == []
    assert KnownPeer.objects.get().last_seen_at == LATER


@pytest.mark.usefixtures("ready")
def test_success_changed_and_announced(peer: Peer) -> None:
    check(peer)
    expiring = {"public_key": TEXT, "expires_at": "2099-01-01T00:00:00Z"}
    peer.describes(public_key=OTHER_TEXT, previous_keys=[expiring])
    changed = check(peer, now=LATER)
    assert changed.peer["key_seen"] == "changed"
    assert changed.peer["previous_key_ids"] == [key_id(TEXT)]
    assert changed.warnings == [
        f"The key of {peer.name} has changed since it was last seen on 2026-11-24 12:00 UTC: it "
        "was rotated, and the old key is among its previous ones."
    ]
    known = KnownPeer.objects.get()
    assert (known.key_changed_at, f"ed25519:{known.public_key}") == (LATER, OTHER_TEXT)
    again = check(peer, now=LATER + DAY)
    assert (again.peer["key_seen"], again.peer["key_seen_since"]) == ("same", LATER)


@pytest.mark.usefixtures("ready")
def test_success_changed_out_of_the_blue(peer: Peer) -> None:
    check(peer)
    peer.describes(public_key=OTHER_TEXT)
    changed = check(peer, now=LATER)
    assert changed.peer["last_key_id"] == key_id(TEXT)
    assert changed.warnings == [
        f"The key of {peer.name} has changed since it was last seen on 2026-11-24 12:00 UTC, and "
        f"its descriptor does not list the old key {key_id(TEXT)}. Ask its administrator whether "
        "that is right before you rely on it."
    ]


@pytest.mark.usefixtures("ready")
def test_success_dry_run_remembers_nothing(peer: Peer) -> None:
    checked = check(peer, dry_run=True)
    assert checked.document()["dry_run"] is True
    assert not KnownPeer.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.usefixtures("ready")
def test_success_name_in_capitals(peer: Peer) -> None:
    peer.describes(server_name=peer.name.upper())
    assert check(peer).peer["server_name"] == peer.name


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(("seconds", "side"), [(-7200, "behind"), (7200, "ahead of")])
def test_success_clocks_are_apart(peer: Peer, seconds: int, side: str) -> None:
    said = http_date((timezone.now() + timedelta(seconds=seconds)).timestamp())
    peer.says(description(peer.name), headers={"Date": said})
    checked = check(peer)
    offset = checked.peer["clock_offset_seconds"]
    assert abs(offset - seconds) < 60
    assert checked.warnings == [
        f"The clock of {peer.name} is {abs(offset):,} s {side} this machine's; more than 60 s look "
        "like a bad signature. Compare both with NTP."
    ]


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("date", [None, "yesterday", "Tue, 24 Nov 99999999999999 12:00:00 GMT"])
def test_success_clock_unknown(peer: Peer, date: str | None) -> None:
    peer.says(description(peer.name), headers={"Date": date} if date else {})
    checked = check(peer)
    assert (checked.peer["clock_offset_seconds"], checked.warnings) == (None, [])


@pytest.mark.usefixtures("ready")
def test_success_clocks_agree(peer: Peer) -> None:
    peer.says(description(peer.name), headers={"Date": http_date(timezone.now().timestamp())})
    assert check(peer).warnings == []


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (None, "is closed to every server"),
        ({"default_mode": "closed"}, "is closed to every server"),
        (
            {"default_mode": "invite_only", "allowed_peers": ["other.example"]},
            "lets in servers by name, and this one is not among them",
        ),
    ],
)
def test_fail_policy(peer: Peer, policy: dict[str, Any] | None, why: str) -> None:
    make_key()
    if policy is not None:
        Policy.objects.create(updated_at=NOW, **policy)
    checked = check(peer)
    assert isinstance(checked.problem, HandshakeIncompatible)
    assert checked.problem.message == f"This server's policy {why}."
    assert checked.problem.fix == (
        "`scaiwave admin federation policy set --default-mode invite_only --allow-peer "
        f"{peer.name}` lets it in."
    )
    assert checked.document()["handshake"] is False
    assert KnownPeer.objects.exists()


def test_success_policy_names_the_peer(peer: Peer) -> None:
    make_key()
    allowed = {"default_mode": "invite_only", "allowed_peers": [peer.name]}
    Policy.objects.create(updated_at=NOW, **allowed)
    checked = check(peer)
    assert (checked.problem, checked.peer["policy"]) == (None, "allows this server by name")


def test_fail_no_key_of_our_own(peer: Peer) -> None:
    Policy.objects.create(default_mode=FederationMode.OPEN, updated_at=NOW)
    problem = check(peer).problem
    assert problem is not None
    assert problem.message == "This server has no signing key, so the peer can't trust it."


def test_fail_name_is_none(peer: Peer) -> None:
    with pytest.raises(InvalidServerName) as caught:
        check(peer, server_name=f"https://{peer.name}")
    assert caught.value.message == f"'https://{peer.name}' is not the name of a server."


def test_fail_networks_are_none(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_PEER_NETWORKS="127.0.0.0/8, home")
    with pytest.raises(SettingInvalid) as caught:
        check(peer)
    assert caught.value.message == "SCAIWAVE_PEER_NETWORKS is not a list of networks."
    assert caught.value.fix == "Set SCAIWAVE_PEER_NETWORKS to networks such as 10.0.0.0/8,fd00::/8."


def test_fail_not_allowed(peer: Peer) -> None:
    with pytest.raises(InsufficientPermission):
        check(peer, operator=READER)
    assert peer.asked == []

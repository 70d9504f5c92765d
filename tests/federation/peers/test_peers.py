"""Known peers: listed, shown and forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from federation.errors import PeerNotFound
from federation.keys import ed25519
from federation.models import FederationMode, KnownPeer, Policy
from federation.peers.forget_peer import forget_peer
from federation.peers.queries import list_peers, show_peer
from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.change import Change
from scaiwave.core.errors import ConfirmationNeeded
from tenants.models import AuditEntry
from tests.federation.factories import DAY, HOST_OPERATOR, NOW, READ_ONLY_OPERATOR
from tests.refusals import decline, refuses
from tests.tenants.factories import run_command

pytestmark = pytest.mark.django_db

PUBLIC_KEY = bytes(range(32))
KEY_ID = ed25519.compute_thumbprint(PUBLIC_KEY)


def make_peer(server_name: str = "chat.example.com", **fields: Any) -> KnownPeer:
    values = {
        "public_key": ed25519.to_base64(PUBLIC_KEY),
        "protocol_versions": ["v1"],
        "first_seen_at": NOW - DAY,
        "last_seen_at": NOW,
        **fields,
    }
    return KnownPeer.objects.create(server_name=server_name, **values)


def forget(server_name: str = "chat.example.com", **changes: Any) -> Change:
    arguments = {"operator": HOST_OPERATOR, "confirm": lambda question: None, "now": NOW}
    return forget_peer(server_name=server_name, **{**arguments, **changes})


def test_success_listed_by_name_with_key_and_policy() -> None:
    Policy.objects.create(
        default_mode=FederationMode.INVITE_ONLY, allowed_peers=["b.example"], updated_at=NOW
    )
    make_peer("b.example"), make_peer("a.example:8448", key_changed_at=NOW)
    rows = list(list_peers(operator=READ_ONLY_OPERATOR))
    assert [(row["server_name"], row["policy_allows"]) for row in rows] == [
        ("a.example:8448", False),
        ("b.example", True),
    ]
    assert rows[1] == {
        "id": KnownPeer.objects.get(server_name="b.example").pk,
        "server_name": "b.example",
        "key_id": KEY_ID,
        "public_key": ed25519.format_public_key(PUBLIC_KEY),
        "protocol_versions": ["v1"],
        "first_seen_at": NOW - DAY,
        "last_seen_at": NOW,
        "key_changed_at": None,
        "policy_allows": True,
    }
    assert len(json.loads(run_command("list_peers", "--limit", "1", "--json"))["peers"]) == 1


def test_success_shown_in_any_case() -> None:
    make_peer()
    shown = run_command("show_peer", "Chat.Example.com")
    assert shown.startswith(f"Server             chat.example.com\nKey ID             {KEY_ID}\n")
    assert "Policy             is closed to every server\n" in shown


def test_success_forgotten_and_audited() -> None:
    peer = make_peer()
    words = ("forget_peer", "chat.example.com")
    assert run_command(*words, "--dry-run") == "Would forget peer chat.example.com.\n"
    assert KnownPeer.objects.exists()
    assert run_command(*words, "--yes") == (
        "Peer chat.example.com forgotten; the next check-peer stores its key again.\n"
    )
    assert not KnownPeer.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id, entry.subject_name) == (
        "federation peer forget",
        str(peer.pk),
        "chat.example.com",
    )
    assert entry.details == {"server_name": "chat.example.com", "key_id": KEY_ID}


def test_success_forgotten_concurrently() -> None:
    make_peer()
    inner: list[Change] = []
    result = forget(confirm=lambda question: inner.append(forget()))
    assert (inner[0].changed, result.changed) == (True, False)
    assert result.sentence == "Peer chat.example.com was already forgotten; nothing changed."
    assert AuditEntry.objects.count() == 1


def test_fail_no_terminal_or_declined() -> None:
    make_peer()
    with refuses(
        ConfirmationDeclined,
        f"This deletes the stored key {KEY_ID} of chat.example.com: a changed key is no longer "
        "noticed when the peer is seen next.",
    ):
        forget(confirm=decline)
    with pytest.raises(ConfirmationNeeded):
        run_command("forget_peer", "chat.example.com")
    assert KnownPeer.objects.exists()


def test_fail_unknown() -> None:
    make_peer()
    for name in ("chat.exmple.com", "not a name", "\0"):
        with pytest.raises(PeerNotFound):
            show_peer(operator=HOST_OPERATOR, server_name=name)
        with pytest.raises(PeerNotFound):
            forget(name)
    with pytest.raises(PeerNotFound) as caught:
        forget("chat.exmple.com")
    assert "`chat.example.com`" in caught.value.fix

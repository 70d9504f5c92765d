"""Whose signature lets a bundle in."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pytest_django import Settings

from federation.errors import InvalidKey, SignatureRefused
from federation.keys.ed25519 import compute_thumbprint
from federation.keys.signing import key_from_text, name_signer
from federation.models import KnownPeer
from rooms.bundle.format import MIB
from rooms.bundle.signature import VerificationStatus
from rooms.errors import ImportRefused
from rooms.imports.verify_bundle import verify_bundle
from rooms.models import Event, Room
from scaiwave.config import load
from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.factories import ImportTargetRows, make_home
from tests.rooms.imports.test_import_room import UNSIGNED, import_bundle
from tests.rooms.imports.test_permissions import Unread
from tests.tenants.factories import HOST_OPERATOR, NOW

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]


@dataclass(frozen=True)
class Signer:
    """A server that this one only knows if it gets its key."""

    private: Ed25519PrivateKey

    @property
    def raw(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def key(self) -> str:
        return f"ed25519:{base64.b64encode(self.raw).decode()}"

    @property
    def key_id(self) -> str:
        return compute_thumbprint(self.raw)

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)


class Forger(Signer):
    """Signs another text."""

    def sign(self, data: bytes) -> bytes:
        return super().sign(data + b" ")


@pytest.fixture
def home() -> ImportTargetRows:
    return make_home()


@pytest.fixture(scope="module")
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def signer(private: Ed25519PrivateKey) -> Signer:
    return Signer(private)


def is_verified() -> bool:
    (sender,) = Event.objects.values_list("content___imported_sender", flat=True)
    Room.objects.all().delete()
    return "unverified" not in sender


def make_peer(name: str, raw: bytes) -> KnownPeer:
    key = base64.b64encode(raw).decode()
    return KnownPeer.objects.create(
        server_name=name, public_key=key, first_seen_at=NOW, last_seen_at=NOW
    )


def test_success_known_key(home: ImportTargetRows, signer: Signer, tmp_path: Path) -> None:
    """A key that is only passed proves no name; a descriptor or a known peer does."""
    bundle = Bundle([make_event(1)], signer=signer)
    result = import_bundle(home, bundle, key=signer.key, require_signature=True)
    assert (result.signature, result.warnings) == (
        "valid",
        (
            f"The bundle is signed by key {signer.key_id}, which proves no server name, so all "
            "senders are marked as unverified. To verify the name, pass --descriptor.",
        ),
    )
    assert not is_verified()
    saved = tmp_path / "old.json"
    saved.write_text(json.dumps({"server_name": "Old.example:443", "public_key": signer.key}))
    result = import_bundle(home, bundle, descriptor=saved, require_signature=True)
    assert (result.signature, result.warnings, is_verified()) == ("valid", (), True)
    make_peer("old.example", signer.raw)
    result = import_bundle(home, bundle, key=signer.key, require_signature=True)
    assert (result.signature, result.warnings, is_verified()) == ("valid", (), True)


def test_fail_key_of_another_server(
    home: ImportTargetRows, signer: Signer, tmp_path: Path, settings: Settings
) -> None:
    """The named server is a peer with another key, or this one; or the key is another server's."""
    bundle, saved = Bundle([make_event(1)], signer=signer), tmp_path / "other.json"

    def refuse(**options: Any) -> None:
        with pytest.raises(ImportRefused) as caught:
            import_bundle(home, bundle, **options)
        assert str(caught.value) == (
            f"The bundle's signature is not valid. Key {signer.key_id} is not a key of old.example."
        )
        assert caught.value.fix == (
            "Nothing was imported. If you trust old.example, pass its descriptor with --descriptor."
        )
        found = verify_bundle(operator=HOST_OPERATOR, file=bundle.file(), max_bytes=MIB, **options)
        assert found.verification.status is VerificationStatus.WRONG
        assert found.error is not None
        assert found.error.fix == (
            "Do not import it. If you trust old.example, pass its descriptor with --descriptor."
        )

    for peer in (make_peer("old.example", bytes(32)), make_peer("other.example", signer.raw)):
        refuse(key=signer.key)
        peer.delete()
    saved.write_text(json.dumps({"server_name": "other.example", "public_key": signer.key}))
    refuse(descriptor=saved, key=signer.key)
    settings.CONFIG = load({"SCAIWAVE_SERVER_NAME": "old.example"})
    refuse(key=signer.key)
    # No server can have the name of a key without one.
    name = name_signer("far.example", key := key_from_text(signer.key))
    assert name == f"key {signer.key_id}, which proves no server name"
    with pytest.raises(SignatureRefused):
        name_signer(name, key)
    assert not Room.objects.exists()


def test_success_unknown_key_is_reported(home: ImportTargetRows, signer: Signer) -> None:
    result = import_bundle(home, Bundle([make_event(1)], signer=signer))
    assert result.signature == "unknown signer"
    assert result.warnings == (
        f"The bundle claims to be signed by old.example with key {signer.key_id}, but this key is "
        "not known here.",
    )


def test_success_unsigned_bundle_is_reported(home: ImportTargetRows) -> None:
    result = import_bundle(home, Bundle([make_event(1)]))
    assert (result.signature, result.warnings) == ("unsigned", (UNSIGNED,))


def test_fail_wrong_signature(home: ImportTargetRows, private: Ed25519PrivateKey) -> None:
    forger = Forger(private)
    with pytest.raises(ImportRefused) as caught:
        import_bundle(home, Bundle([make_event(1)], signer=forger), key=forger.key)
    assert caught.value.message.startswith("The bundle's signature is not valid. ")
    assert not Room.objects.exists()


@pytest.mark.parametrize("signed", [True, False])
def test_fail_signature_is_required(signed: bool, home: ImportTargetRows, signer: Signer) -> None:
    bundle = Bundle([make_event(1)], signer=signer if signed else None)
    with pytest.raises(ImportRefused) as caught:
        import_bundle(home, bundle, require_signature=True)
    assert caught.value.message == (
        "The bundle has no signature from a known key, which --require-signature demands."
    )
    assert caught.value.fix == (
        "Nothing was imported. If you trust the signer, pass its key with --key."
    )
    assert not Room.objects.exists()


def test_fail_invalid_key(home: ImportTargetRows) -> None:
    """The error comes before a bundle of many gigabytes is read."""
    with pytest.raises(InvalidKey):
        import_bundle(home, Bundle(), file=Unread(), key="ed25519:short")

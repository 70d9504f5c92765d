"""Whose signature lets a bundle in."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.errors import InvalidKey
from federation.keys.ed25519 import compute_thumbprint
from rooms.errors import ImportRefused
from rooms.models import Room
from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.factories import ImportTargetRows, make_home
from tests.rooms.imports.test_import_room import UNSIGNED, import_bundle
from tests.rooms.imports.test_permissions import Unread

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


def test_success_known_key(home: ImportTargetRows, signer: Signer) -> None:
    bundle = Bundle([make_event(1)], signer=signer)
    result = import_bundle(home, bundle, key=signer.key, require_signature=True)
    assert (result.signature, result.warnings) == ("valid", ())


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

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet

from federation.errors import (
    InvalidDescriptor,
    InvalidSignature,
    KeyDamaged,
    KeyUnreadable,
    SignatureOutsideValidity,
    SigningKeyRevoked,
)
from federation.models import ServerKey
from federation.services import public_keys
from federation.services.signing import (
    VerifyingKey,
    key_from_text,
    keys_from_descriptor,
    own_keys,
    verify,
)
from tests.federation.keys import DAY, NOW, configure, make_key, sign

MINUTE = timedelta(minutes=1)
TEXT = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
OTHER = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="


def own(key: ServerKey) -> VerifyingKey:
    return own_keys()[key.key_id]


@pytest.mark.django_db
def test_success_sign_and_verify() -> None:
    key = make_key()
    signed = sign(b"data", now=NOW)
    assert signed is not None
    assert (signed.key_id, len(signed.signature)) == (key.key_id, 64)
    verify(b"data", signed.signature, key=own(key), signed_at=NOW)


@pytest.mark.django_db
def test_success_no_key_signs_nothing() -> None:
    assert sign(b"data", now=NOW) is None
    make_key(revoked_at=NOW)
    make_key(retires_at=NOW + DAY)
    assert sign(b"data", now=NOW) is None


@pytest.mark.django_db
def test_success_rotated_since() -> None:
    key = make_key()
    signed = sign(b"data", now=NOW)
    assert signed
    ServerKey.objects.update(retires_at=NOW + DAY)
    newer = make_key(made=NOW + MINUTE)
    again = sign(b"data", now=NOW + MINUTE)
    assert again
    assert again.key_id == newer.key_id
    verify(b"data", signed.signature, key=own(key), signed_at=NOW)


@pytest.mark.django_db
def test_success_the_old_key_signs_until_the_new_ones_time() -> None:
    old = make_key(made=NOW - DAY, retires_at=NOW + DAY)
    new = make_key(made=NOW + 2 * MINUTE)
    for when, key in ((NOW, old), (NOW + MINUTE, new), (NOW + 2 * MINUTE, new)):
        signed = sign(b"data", now=when)
        assert signed
        assert signed.key_id == key.key_id
        verify(b"data", signed.signature, key=own(key), signed_at=when)


@pytest.mark.django_db
def test_fail_revoked() -> None:
    key = make_key()
    signed = sign(b"data", now=NOW)
    assert signed
    ServerKey.objects.update(revoked_at=NOW + DAY)
    with pytest.raises(SigningKeyRevoked) as caught:
        verify(b"data", signed.signature, key=own(key), signed_at=NOW)
    assert caught.value.message == f"The signature is by key {key.key_id}, which is revoked."


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("signed_at", "why"),
    [
        (NOW - MINUTE - timedelta(seconds=1), "before that key was in use"),
        (NOW + DAY + MINUTE, "after that key had expired"),
        (datetime.min.replace(tzinfo=UTC), "before that key was in use"),
        (datetime.max.replace(tzinfo=UTC), "after that key had expired"),
    ],
)
def test_fail_dated_outside_the_keys_time(signed_at: datetime, why: str) -> None:
    key = make_key()
    signed = sign(b"data", now=NOW)
    assert signed
    ServerKey.objects.update(retires_at=NOW + DAY)
    with pytest.raises(SignatureOutsideValidity) as caught:
        verify(b"data", signed.signature, key=own(key), signed_at=signed_at)
    assert caught.value.message == (
        f"The signature by key {key.key_id} is dated "
        f"{signed_at.isoformat(timespec='seconds')[:19]}Z, {why}."
    )


@pytest.mark.django_db
def test_success_dated_at_the_edges() -> None:
    key = make_key()
    signed = sign(b"data", now=NOW)
    assert signed
    ServerKey.objects.update(retires_at=NOW + DAY)
    for signed_at in (NOW - MINUTE, NOW, NOW + DAY, NOW + DAY + MINUTE - timedelta(seconds=1)):
        verify(b"data", signed.signature, key=own(key), signed_at=signed_at)


@pytest.mark.django_db
def test_fail_wrong() -> None:
    key = make_key()
    signed = sign(b"data", now=NOW)
    assert signed
    for data, signature in ((b"date", signed.signature), (b"data", b""), (b"data", b"\0" * 64)):
        with pytest.raises(InvalidSignature) as caught:
            verify(data, signature, key=own(key), signed_at=NOW)
        assert caught.value.message == (
            f"The signature is not one by key {key.key_id} over these bytes."
        )


@pytest.mark.django_db
def test_fail_another_encryption_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key()
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=Fernet.generate_key().decode())
    with pytest.raises(KeyUnreadable) as caught:
        sign(b"data", now=NOW)
    assert caught.value.exit_code == 2
    assert caught.value.message == (
        f"The private half of key {key.key_id} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS."
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("nonsense", "SCAIWAVE_ENCRYPTION_KEYS holds something that is not a Fernet key."),
        (
            "",
            "SCAIWAVE_ENCRYPTION_KEYS is not set, and a database shared between machines needs it.",
        ),
    ],
)
def test_fail_no_encryption_key(monkeypatch: pytest.MonkeyPatch, keys: str, why: str) -> None:
    key = make_key()
    configure(
        monkeypatch,
        SCAIWAVE_ENCRYPTION_KEYS=keys,
        SCAIWAVE_DB_URL="postgres://localhost/scaiwave",
    )
    with pytest.raises(KeyUnreadable) as caught:
        sign(b"data", now=NOW)
    assert caught.value.message == (
        f"The private half of key {key.key_id} can't be decrypted: {why}"
    )
    # Another key in the place of a missing one would open nothing.
    assert caught.value.fix.startswith("A key is 32 random" if keys else "Put the encryption key")


@pytest.mark.django_db
def test_fail_halves_of_two_keys() -> None:
    other = make_key(retires_at=NOW + DAY)
    key = make_key(private_key_encrypted=other.private_key_encrypted)
    with pytest.raises(KeyDamaged) as caught:
        sign(b"data", now=NOW)
    assert caught.value.message == (
        f"The private half of key {key.key_id} does not fit its public half."
    )


def test_success_keys_of_a_descriptor() -> None:
    keys = keys_from_descriptor(
        {
            "public_key": TEXT,
            "previous_keys": [
                {"public_key": OTHER, "expires_at": "2026-12-01T00:00:00Z"},
                {"public_key": TEXT, "expires_at": "2026-12-01T00:00:00Z"},
            ],
        }
    )
    current, other = key_from_text(TEXT), key_from_text(OTHER)
    assert keys.keys() == {current.key_id, other.key_id}
    assert keys[current.key_id] == current
    assert keys[other.key_id].verifies_until == datetime(2026, 12, 1, tzinfo=UTC)
    assert current.public_key == public_keys.parse(TEXT)


def test_success_descriptor_without_a_key() -> None:
    assert keys_from_descriptor({"public_key": ""}) == {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "A descriptor is a JSON object, and this is none."),
        (
            {},
            "The descriptor's `public_key` is no good. A public key begins with `ed25519:`, and "
            "this text does not.",
        ),
        (
            {"public_key": "ed25519:AAAA"},
            "The descriptor's `public_key` is no good. What follows `ed25519:` is not 32 bytes in "
            "base64.",
        ),
        (
            {"public_key": TEXT, "previous_keys": {}},
            "The descriptor's `previous_keys` is not a list.",
        ),
        *(
            (
                {"public_key": TEXT, "previous_keys": [entry]},
                "The descriptor's `previous_keys` holds something that is not a key with its time.",
            )
            for entry in (
                "text",
                {},
                {"public_key": OTHER},
                {"public_key": OTHER, "expires_at": 7},
                {"public_key": OTHER, "expires_at": "soon"},
                {"public_key": OTHER, "expires_at": "2026-12-01T00:00:00"},
                {"public_key": "", "expires_at": "2026-12-01T00:00:00Z"},
            )
        ),
    ],
)
def test_fail_no_descriptor(document: Any, message: str) -> None:
    with pytest.raises(InvalidDescriptor) as caught:
        keys_from_descriptor(document)
    assert caught.value.message == message

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
from federation.keys import ed25519
from federation.keys.signing import (
    VerifyingKey,
    key_from_text,
    keys_from_descriptor,
    own_keys,
    verify,
)
from federation.models import ServerKey
from tests.federation.factories import DAY, NOW, configure, make_key, sign
from tests.refusals import refuses

MINUTE = timedelta(minutes=1)
PUBLIC_KEY = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
OTHER = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="


def load_own(key: ServerKey) -> VerifyingKey:
    return own_keys()[key.key_id]


@pytest.mark.django_db
def test_success_sign_and_verify(key: ServerKey) -> None:
    signature = sign(b"data", now=NOW)
    assert signature is not None
    assert (signature.key_id, len(signature.value)) == (key.key_id, 64)
    verify(b"data", signature.value, key=load_own(key), signed_at=NOW)


@pytest.mark.django_db
def test_success_no_key_signs_nothing() -> None:
    assert sign(b"data", now=NOW) is None
    make_key(revoked_at=NOW)
    make_key(retires_at=NOW + DAY)
    assert sign(b"data", now=NOW) is None


@pytest.mark.django_db
def test_success_key_rotated_since_the_signature(key: ServerKey) -> None:
    signature = sign(b"data", now=NOW)
    assert signature
    ServerKey.objects.update(retires_at=NOW + DAY)
    newer = make_key(created_at=NOW + MINUTE)
    again = sign(b"data", now=NOW + MINUTE)
    assert again
    assert again.key_id == newer.key_id
    verify(b"data", signature.value, key=load_own(key), signed_at=NOW)


@pytest.mark.django_db
def test_success_the_old_key_signs_until_the_new_ones_time() -> None:
    old = make_key(created_at=NOW - DAY, retires_at=NOW + DAY)
    new = make_key(created_at=NOW + 2 * MINUTE)
    for signed_at, key in ((NOW, old), (NOW + MINUTE, new), (NOW + 2 * MINUTE, new)):
        signature = sign(b"data", now=signed_at)
        assert signature
        assert signature.key_id == key.key_id
        verify(b"data", signature.value, key=load_own(key), signed_at=signed_at)


@pytest.mark.django_db
def test_fail_revoked(key: ServerKey) -> None:
    signature = sign(b"data", now=NOW)
    assert signature
    ServerKey.objects.update(revoked_at=NOW + DAY)
    with refuses(
        SigningKeyRevoked, f"The signature was made with key {key.key_id}, which is revoked."
    ):
        verify(b"data", signature.value, key=load_own(key), signed_at=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("signed_at", "reason"),
    [
        (NOW - MINUTE - timedelta(seconds=1), "before the key was in use"),
        (NOW + DAY + MINUTE, "after the key expired"),
        (datetime.min.replace(tzinfo=UTC), "before the key was in use"),
        (datetime.max.replace(tzinfo=UTC), "after the key expired"),
    ],
)
def test_fail_dated_outside_the_validity_period(signed_at: datetime, reason: str) -> None:
    key = make_key()
    signature = sign(b"data", now=NOW)
    assert signature
    ServerKey.objects.update(retires_at=NOW + DAY)
    with pytest.raises(SignatureOutsideValidity) as caught:
        verify(b"data", signature.value, key=load_own(key), signed_at=signed_at)
    assert caught.value.message == (
        f"The signature made with key {key.key_id} is dated "
        f"{signed_at.isoformat(timespec='seconds')[:19]}Z, {reason}."
    )


@pytest.mark.django_db
def test_success_dated_at_the_limits(key: ServerKey) -> None:
    signature = sign(b"data", now=NOW)
    assert signature
    ServerKey.objects.update(retires_at=NOW + DAY)
    for signed_at in (NOW - MINUTE, NOW, NOW + DAY, NOW + DAY + MINUTE - timedelta(seconds=1)):
        verify(b"data", signature.value, key=load_own(key), signed_at=signed_at)


@pytest.mark.django_db
def test_fail_invalid(key: ServerKey) -> None:
    signature = sign(b"data", now=NOW)
    assert signature
    for data, value in ((b"date", signature.value), (b"data", b""), (b"data", b"\0" * 64)):
        with refuses(
            InvalidSignature, f"The signature does not match key {key.key_id} and the data."
        ):
            verify(data, value, key=load_own(key), signed_at=NOW)


@pytest.mark.django_db
def test_fail_another_encryption_key(monkeypatch: pytest.MonkeyPatch, key: ServerKey) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=Fernet.generate_key().decode())
    with pytest.raises(KeyUnreadable) as caught:
        sign(b"data", now=NOW)
    assert caught.value.exit_code == 2
    assert caught.value.message == (
        f"The private key of {key.key_id} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS."
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("nonsense", "SCAIWAVE_ENCRYPTION_KEYS contains a value that is not a Fernet key."),
        (
            "",
            "SCAIWAVE_ENCRYPTION_KEYS is not set, which PostgreSQL installations need.",
        ),
    ],
)
def test_fail_no_encryption_key(monkeypatch: pytest.MonkeyPatch, keys: str, reason: str) -> None:
    key = make_key()
    configure(
        monkeypatch,
        SCAIWAVE_ENCRYPTION_KEYS=keys,
        SCAIWAVE_DB_URL="postgres://localhost/scaiwave",
    )
    with pytest.raises(KeyUnreadable) as caught:
        sign(b"data", now=NOW)
    assert caught.value.message == (f"The private key of {key.key_id} can't be decrypted: {reason}")
    # A newly generated key in place of a missing one could decrypt nothing.
    assert caught.value.fix.startswith("Generate a key" if keys else "Add the encryption key")


@pytest.mark.django_db
def test_fail_private_key_of_another_key() -> None:
    other = make_key(retires_at=NOW + DAY)
    key = make_key(private_key_encrypted=other.private_key_encrypted)
    with refuses(KeyDamaged, f"The private key of {key.key_id} does not match its public key."):
        sign(b"data", now=NOW)


def test_success_keys_of_a_descriptor() -> None:
    keys = keys_from_descriptor(
        {
            "public_key": PUBLIC_KEY,
            "previous_keys": [
                {"public_key": OTHER, "expires_at": "2026-12-01T00:00:00Z"},
                {"public_key": PUBLIC_KEY, "expires_at": "2026-12-01T00:00:00Z"},
            ],
        }
    )
    current, other = key_from_text(PUBLIC_KEY), key_from_text(OTHER)
    assert keys.keys() == {current.key_id, other.key_id}
    assert keys[current.key_id] == current
    assert keys[other.key_id].verifies_until == datetime(2026, 12, 1, tzinfo=UTC)
    assert current.public_key == ed25519.parse_public_key(PUBLIC_KEY)


def test_success_descriptor_without_a_key() -> None:
    assert keys_from_descriptor({"public_key": ""}) == {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "The descriptor is not a JSON object."),
        (
            {},
            "The descriptor's `public_key` is invalid. The public key does not start with "
            "`ed25519:`.",
        ),
        (
            {"public_key": "ed25519:AAAA"},
            "The descriptor's `public_key` is invalid. The public key is not 32 bytes in base64 "
            "after `ed25519:`.",
        ),
        (
            {"public_key": PUBLIC_KEY, "previous_keys": {}},
            "The descriptor's `previous_keys` is not a list.",
        ),
        *(
            (
                {"public_key": PUBLIC_KEY, "previous_keys": [entry]},
                "The descriptor's `previous_keys` contains an entry without a valid key and "
                "expiry.",
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
def test_fail_invalid_descriptor(document: Any, message: str) -> None:
    with refuses(InvalidDescriptor, message):
        keys_from_descriptor(document)

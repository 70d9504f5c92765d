from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from federation.errors import KeyDamaged, KeyUnreadable, NoSigningKey
from federation.keys.check_keys import (
    CheckKeysResult,
    KeyHealth,
    check_keys,
    get_key_health,
)
from federation.models import ServerKey
from scaiwave.core.errors import InsufficientPermission
from tests.federation.factories import (
    DAY,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    configure,
    make_key,
)

pytestmark = pytest.mark.django_db


def check() -> CheckKeysResult:
    return check_keys(operator=HOST_OPERATOR, now=NOW)


def encrypt_with_another_key(key: ServerKey) -> ServerKey:
    other = Fernet(Fernet.generate_key())
    key.private_key_encrypted = other.encrypt(b"\0" * 32).decode()
    key.save()
    return key


def format_unreadable_message(key: ServerKey) -> str:
    return f"The private key of {key.key_id} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS."


def test_success() -> None:
    key, old = make_key(), make_key(created_at=NOW - DAY, retires_at=NOW)
    make_key(created_at=NOW - 2 * DAY, revoked_at=NOW, private_key_encrypted="")
    result = check()
    assert result.problem is None
    assert result.keys == [
        {"key_id": key.key_id, "state": "signing", "ok": True, "problem": None},
        {"key_id": old.key_id, "state": "retired", "ok": True, "problem": None},
    ]


def test_fail_no_key() -> None:
    make_key(revoked_at=NOW, private_key_encrypted="")
    with pytest.raises(NoSigningKey) as caught:
        check()
    assert caught.value.message == "This server has no private key to check."


def test_fail_public_key_does_not_match() -> None:
    good = make_key()
    bad = make_key(
        created_at=NOW - DAY, retires_at=NOW + DAY, private_key_encrypted=good.private_key_encrypted
    )
    result = check()
    message = f"The private key of {bad.key_id} does not match its public key."
    assert [row["ok"] for row in result.keys] == [True, False]
    assert result.keys[1]["problem"] == message
    assert isinstance(result.problem, KeyDamaged)
    assert (result.problem.exit_code, result.problem.message) == (1, message)


def test_fail_decrypted_text_is_not_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    encryption_key = Fernet.generate_key()
    key = make_key(private_key_encrypted=Fernet(encryption_key).encrypt(b"short").decode())
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=encryption_key.decode())
    assert isinstance(check().problem, KeyDamaged)
    assert check().keys[0]["key_id"] == key.key_id


def test_fail_unreadable_key_outranks_a_mismatch() -> None:
    good = make_key()
    make_key(created_at=NOW - DAY, retires_at=NOW, private_key_encrypted=good.private_key_encrypted)
    lost = encrypt_with_another_key(make_key(created_at=NOW - 2 * DAY, retires_at=NOW))
    result = check()
    assert [row["ok"] for row in result.keys] == [True, False, False]
    assert isinstance(result.problem, KeyUnreadable)
    assert result.problem.exit_code == 2
    assert result.problem.message == format_unreadable_message(lost)


@pytest.mark.parametrize("stored", ["", "gAAAAA", "nonsense", "é"])
def test_fail_stored_text_is_not_a_token(stored: str) -> None:
    make_key(created_at=NOW - DAY, retires_at=NOW)
    key = make_key(private_key_encrypted=stored or " ")
    problem = check().problem
    assert problem is not None
    assert problem.message == format_unreadable_message(key)


def test_fail_not_allowed() -> None:
    make_key()
    with pytest.raises(InsufficientPermission):
        check_keys(operator=READ_ONLY_OPERATOR, now=NOW)


def test_success_health() -> None:
    assert get_key_health(NOW) == KeyHealth(None, None, False, [], [], None)
    key = make_key()
    due = NOW + 365 * DAY
    assert get_key_health(NOW) == KeyHealth(key.key_id, due, False, [], [], None)
    assert not get_key_health(NOW + 334 * DAY).rotation_is_near
    assert get_key_health(NOW + 335 * DAY) == KeyHealth(key.key_id, due, True, [], [], None)


def test_success_health_names_what_is_wrong() -> None:
    good = make_key()
    damaged = make_key(
        created_at=NOW - DAY, retires_at=NOW, private_key_encrypted=good.private_key_encrypted
    )
    lost = encrypt_with_another_key(make_key(created_at=NOW - 2 * DAY, retires_at=NOW))
    health = get_key_health(NOW)
    assert (health.unreadable, health.damaged) == ([lost.key_id], [damaged.key_id])

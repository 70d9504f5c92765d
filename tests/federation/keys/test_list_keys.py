from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from federation.errors import KeyDamaged, KeyUnreadable, NoSigningKey
from federation.keys.check_keys import (
    CheckKeysResult,
    KeyHealth,
    check_keys,
    get_key_health,
)
from federation.keys.queries import NO_KEY, list_keys
from federation.models import ServerKey
from scaiwave.core.report import Report
from tests.federation.factories import (
    DAY,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    configure,
    make_key,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
HOUR = timedelta(hours=1)


def list_all() -> Report:
    return list_keys(operator=READ_ONLY_OPERATOR, now=NOW)


def test_success_every_state() -> None:
    due = make_key(created_at=NOW + DAY)
    signing = make_key(created_at=NOW - 300 * DAY, retires_at=NOW + 31 * DAY)
    verifying = make_key(created_at=NOW - 400 * DAY, retires_at=NOW + HOUR)
    retired = make_key(created_at=NOW - 500 * DAY, retires_at=NOW)
    revoked = make_key(created_at=NOW - 600 * DAY, revoked_at=NOW)
    states = [(row["key_id"], row["state"], row["days_left"]) for row in list_all().figures["keys"]]
    assert states == [
        (due.key_id, "next", None),
        (signing.key_id, "signing", 65),
        (verifying.key_id, "verifying", 1),
        (retired.key_id, "retired", None),
        (revoked.key_id, "revoked", None),
    ]


def test_success_one_row() -> None:
    key = make_key(created_at=NOW - 65 * DAY)
    assert list_all().figures["keys"] == [
        {
            "id": key.pk,
            "key_id": key.key_id,
            "state": "signing",
            "public_key": f"ed25519:{key.public_key}",
            "created_at": key.created_at,
            "signing_starts_at": key.signs_from,
            "verification_ends_at": None,
            "revoked_at": None,
            "days_left": 300,
            "rotation_due_at": NOW + 300 * DAY,
        }
    ]
    assert list_all().warnings == []


def test_success_no_signing_key() -> None:
    assert list_all() == Report({"keys": []}, warnings=[NO_KEY])
    make_key(retires_at=NOW + DAY)
    make_key(revoked_at=NOW)
    assert list_all().warnings == [NO_KEY]


@pytest.mark.parametrize(("days", "left"), [(335, 30), (365, 0), (400, -35)])
def test_success_rotation_is_due(days: int, left: int) -> None:
    key = make_key(created_at=NOW - days * DAY)
    assert list_all().figures["keys"][0]["days_left"] == left
    assert list_all().warnings == [
        f"The yearly rotation is due: key {key.key_id} has been signing for {days} days. Run "
        "`scaiwave admin federation key rotate`."
    ]


def test_success_rotation_is_not_due() -> None:
    make_key(created_at=NOW - 335 * DAY + HOUR)
    assert list_all().warnings == []


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

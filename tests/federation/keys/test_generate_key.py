from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from federation.errors import InvalidOverlap, KeyDamaged, KeyExists, KeyUnreadable, NoSigningKey
from federation.keys import ed25519
from federation.keys import lifecycle as keys_service
from federation.keys.lifecycle import generate_key, rotate_key
from federation.keys.queries import KeyState
from federation.keys.signing import own_keys, verify
from federation.models import ServerKey
from scaiwave.config.secret_keys import get_encryption_keys
from scaiwave.core.change import Change
from scaiwave.core.errors import SettingInvalid
from tenants.models import AuditEntry
from tests.federation.factories import (
    DAY,
    HOST_OPERATOR,
    NOW,
    configure,
    make_key,
    sign,
)

pytestmark = pytest.mark.django_db


def generate(**changes: Any) -> Change:
    return generate_key(**{"operator": HOST_OPERATOR, "now": NOW, **changes})


def test_success_first() -> None:
    result = generate()
    key = ServerKey.objects.get()
    assert result.document() == {"key": result.subject, "changed": True}
    assert result.sentence == f"Key {key.key_id} created; it signs from now on."
    assert result.subject is not None
    assert (result.subject["key_id"], result.subject["state"]) == (
        key.key_id,
        KeyState.SIGNING.value,
    )
    assert (key.created_at, key.signs_from, key.retires_at, key.revoked_at) == (
        NOW,
        NOW,
        None,
        None,
    )
    assert key.key_id == ed25519.compute_thumbprint(ed25519.parse_stored_key(key))
    assert not key.key_id.startswith("-")


def test_success_private_key_is_encrypted() -> None:
    generate()
    key = ServerKey.objects.get()
    newest = Fernet(get_encryption_keys(settings.CONFIG)[0])
    seed = newest.decrypt(key.private_key_encrypted.encode())
    assert ed25519.derive_public_key(seed) == ed25519.parse_stored_key(key)
    assert seed.hex() not in key.private_key_encrypted


def test_success_audited_without_secrets() -> None:
    generate()
    key, entry = ServerKey.objects.get(), AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.at) == ("federation key generate", "root", NOW)
    assert (entry.subject_type, entry.subject_id) == ("serverkey", str(key.pk))
    assert (entry.subject_name, entry.details) == (key.key_id, {"public_key": key.public_key})


def test_success_after_the_only_key_was_revoked() -> None:
    make_key(revoked_at=NOW)
    make_key(created_at=NOW - DAY, retires_at=NOW + DAY)
    assert generate().subject
    assert ServerKey.objects.count() == 3


def test_success_dry_run() -> None:
    result = generate(dry_run=True)
    assert result.document() == {"key": None, "changed": True}
    assert result.sentence == "Would create a key that signs from now on."
    assert not ServerKey.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=60)])
def test_fail_key_exists(dry_run: bool, later: timedelta) -> None:
    key = make_key(created_at=NOW + later)
    with pytest.raises(KeyExists) as caught:
        generate(dry_run=dry_run)
    assert caught.value.message == f"This server already has a signing key: {key.key_id}."
    assert (
        caught.value.fix
        == "Run `scaiwave admin federation key rotate` to replace it with an overlap."
    )
    assert ServerKey.objects.count() == 1


def test_fail_encryption_key_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS="nonsense")
    for dry_run in (True, False):
        with pytest.raises(SettingInvalid):
            generate(dry_run=dry_run)
    assert not ServerKey.objects.exists()


LATER = NOW + 300 * DAY


def rotate(**changes: Any) -> Change:
    return rotate_key(**{"operator": HOST_OPERATOR, "now": LATER, **changes})


def test_success(key: ServerKey) -> None:
    result = rotate()
    new = ServerKey.objects.exclude(pk=key.pk).get()
    key.refresh_from_db()
    assert (new.signs_from, new.retires_at) == (LATER, None)
    assert key.retires_at == LATER + 30 * DAY
    assert result.subject is not None
    assert (result.subject["key_id"], result.subject["state"]) == (new.key_id, "signing")
    assert (result.rest["previous_key"]["key_id"], result.rest["previous_key"]["state"]) == (
        key.key_id,
        "verifying",
    )
    assert (result.rest["previous_key"]["days_left"], result.subject["days_left"]) == (30, 365)
    assert result.document()["changed"] is True
    assert result.sentence == (
        f"Key {new.key_id} created; it signs from now on. Key {key.key_id} verifies until "
        "2027-10-20 12:00 UTC."
    )


def test_success_signatures_of_both_are_valid(key: ServerKey) -> None:
    before = sign(b"data", now=NOW)
    rotate()
    after = sign(b"data", now=LATER)
    assert before
    assert after
    assert before.key_id != after.key_id
    for signature, signed_at in ((before, NOW), (after, LATER)):
        verify(b"data", signature.value, key=own_keys()[signature.key_id], signed_at=signed_at)


def test_success_audited(key: ServerKey) -> None:
    rotate(overlap_days=7)
    new, entry = ServerKey.objects.exclude(pk=key.pk).get(), AuditEntry.objects.get()
    assert (entry.action, entry.subject_name) == ("federation key rotate", new.key_id)
    assert entry.details == {
        "public_key": new.public_key,
        "previous_key_id": key.key_id,
        "previous_verifies_until": (LATER + 7 * DAY).isoformat(),
    }


def test_success_rotate_dry_run(key: ServerKey) -> None:
    result = rotate(dry_run=True)
    assert result.sentence == (
        f"Would create a new key; {key.key_id} would verify until 2027-10-20 12:00 UTC."
    )
    assert result.document() == {
        "key": None,
        "previous_key": result.rest["previous_key"],
        "changed": True,
    }
    assert ServerKey.objects.get().retires_at is None
    assert not AuditEntry.objects.exists()


def test_success_repeated_rotations(key: ServerKey) -> None:
    for times in range(4):
        rotate(now=LATER + times * DAY)
    assert ServerKey.objects.filter(retires_at=None).count() == 1
    assert ServerKey.objects.count() == 5


def test_success_another_rotation_finished_first(key: ServerKey) -> None:
    first = rotate()
    assert first.subject is not None
    second = rotate(now=LATER + timedelta(seconds=1), started_at=LATER - timedelta(seconds=1))
    assert second.sentence == (
        f"Another run has already replaced key {key.key_id} with {first.subject['key_id']}; "
        "nothing was changed."
    )
    assert (second.changed, ServerKey.objects.count()) == (False, 2)
    assert AuditEntry.objects.count() == 1
    assert rotate(now=LATER + timedelta(seconds=2), started_at=LATER + timedelta(seconds=1)).changed


def test_success_a_key_generated_since_this_run_began_is_replaced() -> None:
    make_key(created_at=LATER)
    assert rotate(started_at=LATER - timedelta(seconds=1)).changed


@pytest.mark.parametrize("days", [0, 365])
def test_success_overlap(days: int, key: ServerKey) -> None:
    result = rotate(overlap_days=days)
    key.refresh_from_db()
    assert key.retires_at == LATER + timedelta(days=days)
    assert result.rest["previous_key"]["state"] == ("verifying" if days else "retired")


@pytest.mark.parametrize("days", [-1, 366, 10**9])
def test_fail_overlap(days: int, key: ServerKey) -> None:
    with pytest.raises(InvalidOverlap) as caught:
        rotate(overlap_days=days)
    assert caught.value.message == f"Invalid overlap: {days} days."
    assert caught.value.fix == "Pass 0 to 365 days (peers need about 30 to refresh)."


def test_fail_no_key() -> None:
    make_key(revoked_at=NOW)
    make_key(retires_at=LATER + DAY)
    with pytest.raises(NoSigningKey) as caught:
        rotate()
    assert caught.value.message == "This server has no signing key to replace."
    assert caught.value.fix == "Run `scaiwave admin federation key generate`."


def test_fail_a_key_that_does_not_work_is_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the database had stored something other than what it was given."""
    old = make_key()
    stored_instead = make_key(retires_at=NOW).private_key_encrypted
    monkeypatch.setattr(keys_service, "encrypt_seed", lambda seed: stored_instead)
    with pytest.raises(KeyDamaged):
        rotate()
    old.refresh_from_db()
    assert (old.retires_at, ServerKey.objects.count()) == (None, 2)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "keys",
    ["", "nonsense", Fernet.generate_key().decode()],
    ids=["missing", "nonsense", "another"],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_fail_encryption_key_is_not_the_signing_keys(
    monkeypatch: pytest.MonkeyPatch, keys: str, dry_run: bool, key: ServerKey
) -> None:
    """This host is misconfigured then, and a key that it creates would sign on no other host."""
    configure(
        monkeypatch,
        SCAIWAVE_ENCRYPTION_KEYS=keys,
        SCAIWAVE_DB_URL="postgres://localhost/scaiwave",
    )
    with pytest.raises(KeyUnreadable) as caught:
        rotate(dry_run=dry_run)
    assert key.key_id in caught.value.message
    assert ServerKey.objects.get().retires_at is None


def test_success_a_damaged_key_is_replaced() -> None:
    other = make_key(retires_at=NOW)
    make_key(private_key_encrypted=other.private_key_encrypted)
    assert rotate().changed

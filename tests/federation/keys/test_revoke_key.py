from __future__ import annotations

from typing import Any

import pytest

from federation.errors import KeyNotFound
from federation.keys.lifecycle import revoke_key
from federation.models import ServerKey
from scaiwave.core.change import Change
from scaiwave.core.errors import ConfirmationNeeded
from tenants.errors import AmbiguousName
from tenants.models import AuditEntry
from tests.federation.factories import DAY, HOST_OPERATOR, NOW, make_key

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
WARNING = (
    "This server has no signing key now. Run `scaiwave admin federation key generate`, then tell "
    "your peers' administrators that the key has changed."
)


def revoke(key_id: str, **changes: Any) -> Change:
    arguments = {"operator": HOST_OPERATOR, "confirm": lambda question: None, "now": NOW}
    return revoke_key(key_id=key_id, **{**arguments, **changes})


def refuse(question: str) -> None:
    raise ConfirmationNeeded(question)


def test_success_signing_key() -> None:
    key, old = make_key(), make_key(created_at=NOW - DAY, retires_at=NOW + DAY)
    planned = revoke(key.key_id, dry_run=True, confirm=refuse)
    key.refresh_from_db()
    assert (key.revoked_at, planned.sentence) == (None, f"Would revoke key {key.key_id}.")
    assert planned.dry_run
    assert planned.document()["changed"] is True
    result = revoke(key.key_id)
    key.refresh_from_db()
    old.refresh_from_db()
    assert (key.revoked_at, key.private_key_encrypted) == (NOW, "")
    assert (old.revoked_at, bool(old.private_key_encrypted)) == (None, True)
    assert result.sentence == f"Key {key.key_id} revoked; its signatures are no longer valid."
    assert result.warnings == [WARNING]
    assert result.document() == {"key": result.subject, "changed": True, "no_signing_key": True}
    assert result.subject["state"] == "revoked"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_name) == ("federation key revoke", key.key_id)
    assert entry.details == {"public_key": key.public_key}


def test_success_old_key_by_its_id(key: ServerKey) -> None:
    old = make_key(created_at=NOW - DAY, retires_at=NOW + DAY)
    result = revoke(str(old.pk))
    assert (result.subject["key_id"], result.warnings) == (old.key_id, [])


def test_success_again_asks_nothing(key: ServerKey) -> None:
    revoke(key.key_id)
    again = revoke(key.key_id, now=NOW + DAY, confirm=refuse)
    assert (again.changed, again.subject["revoked_at"]) == (False, NOW)
    assert again.sentence == f"Key {key.key_id} is already revoked; nothing changed."
    assert AuditEntry.objects.count() == 1


def test_fail_not_confirmed() -> None:
    key, old = make_key(), make_key(created_at=NOW - DAY, retires_at=NOW + DAY)
    with pytest.raises(ConfirmationNeeded) as caught:
        revoke(old.key_id, confirm=refuse)
    assert caught.value.message == (
        f"This invalidates every signature made with key {old.key_id} and erases its private key. "
        "It can't be undone."
    )
    with pytest.raises(ConfirmationNeeded) as caught:
        revoke(key.key_id, confirm=refuse)
    assert caught.value.message == (
        f"This invalidates every signature made with key {key.key_id} and erases its private key. "
        "It can't be undone. It is the signing key: nothing is signed until you generate a new "
        "one."
    )
    key.refresh_from_db()
    assert key.revoked_at is None


def test_success_by_a_prefix(key: ServerKey) -> None:
    make_key(created_at=NOW - DAY, retires_at=NOW + DAY)
    assert revoke(key.key_id[:8]).subject["key_id"] == key.key_id


def test_fail_ambiguous_prefix() -> None:
    make_key(key_id="sameness-one")
    make_key(key_id="sameness-two", retires_at=NOW)
    with pytest.raises(AmbiguousName) as caught:
        revoke("sameness")
    assert caught.value.message == (
        "Key ID 'sameness' is ambiguous; it matches 2 keys: sameness-one, sameness-two."
    )
    assert caught.value.fix == "Use the whole key ID."


@pytest.mark.parametrize(
    "key_id", ["", "kPrK_qm", "kPrK_qm_", "0198f1f0-0000-7000-8000-000000000000"]
)
def test_fail_no_such_key(key_id: str) -> None:
    make_key(key_id="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    with pytest.raises(KeyNotFound) as caught:
        revoke(key_id)
    assert caught.value.message == f"Key not found: {key_id!r}."

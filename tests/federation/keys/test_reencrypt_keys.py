from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from federation.errors import KeyUnreadable, NoSigningKey
from federation.keys.check_keys import check_keys
from federation.keys.lifecycle import reencrypt_keys
from federation.models import ServerKey
from scaiwave.core.change import Change
from tenants.models import AuditEntry
from tests.federation.factories import (
    DAY,
    HOST_OPERATOR,
    NOW,
    configure,
    make_key,
)

pytestmark = pytest.mark.django_db
NEWEST = Fernet.generate_key().decode()


def reencrypt(*, dry_run: bool = False) -> Change:
    return reencrypt_keys(operator=HOST_OPERATOR, now=NOW, dry_run=dry_run)


def get_configured_keys() -> str:
    return str(settings.CONFIG.get_str("SCAIWAVE_ENCRYPTION_KEYS"))


def load_stored_texts() -> set[str]:
    return set(ServerKey.objects.values_list("private_key_encrypted", flat=True))


@pytest.fixture
def keys() -> list[ServerKey]:
    """Newest first; the last one is revoked."""
    return [
        make_key(),
        make_key(created_at=NOW - DAY, retires_at=NOW + DAY),
        make_key(created_at=NOW - 2 * DAY, revoked_at=NOW, private_key_encrypted=""),
    ]


def test_success(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{get_configured_keys()}")
    result = reencrypt()
    assert result.document() == {
        "reencrypted": [key.key_id for key in keys[:2]],
        "unchanged": [],
        "changed": True,
    }
    assert result.sentence == (
        "Re-encrypted 2 keys with the newest of SCAIWAVE_ENCRYPTION_KEYS; the older ones are "
        "needed only for backups."
    )
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=NEWEST)
    assert check_keys(operator=HOST_OPERATOR, now=NOW).problem is None


def test_success_audited(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{get_configured_keys()}")
    reencrypt()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_name) == ("federation key reencrypt", keys[0].key_id)
    assert entry.details == {"key_ids": [key.key_id for key in keys[:2]]}


def test_success_again_changes_nothing(
    keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_stored_texts()
    result = reencrypt()
    assert result.rest["unchanged"] == [key.key_id for key in keys[:2]]
    assert result.sentence == (
        "Nothing to change: the 2 keys are already encrypted with the newest of "
        "SCAIWAVE_ENCRYPTION_KEYS."
    )
    assert load_stored_texts() == before
    assert not AuditEntry.objects.exists()


def test_success_dry_run(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_stored_texts()
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{get_configured_keys()}")
    result = reencrypt(dry_run=True)
    assert result.sentence == (
        "Would re-encrypt 2 keys with the newest of SCAIWAVE_ENCRYPTION_KEYS."
    )
    assert result.dry_run
    assert load_stored_texts() == before
    assert not AuditEntry.objects.exists()


def test_fail_one_unreadable_key_changes_none(
    keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Fernet(Fernet.generate_key()).encrypt(b"\0" * 32).decode()
    ServerKey.objects.filter(pk=keys[0].pk).update(private_key_encrypted=lost)
    before = load_stored_texts()
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{get_configured_keys()}")
    with pytest.raises(KeyUnreadable) as caught:
        reencrypt()
    assert caught.value.message == (
        f"The private key of {keys[0].key_id} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS."
    )
    assert load_stored_texts() == before


def test_fail_all_keys_are_unreadable(
    keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=NEWEST)
    with pytest.raises(KeyUnreadable) as caught:
        reencrypt()
    assert caught.value.exit_code == 2
    assert caught.value.message == (
        f"The private keys of {keys[0].key_id}, {keys[1].key_id} can't be decrypted with "
        "SCAIWAVE_ENCRYPTION_KEYS."
    )


def test_fail_newest_is_invalid(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"nonsense,{get_configured_keys()}")
    with pytest.raises(KeyUnreadable) as caught:
        reencrypt()
    assert caught.value.message == (
        f"The private keys of {keys[0].key_id}, {keys[1].key_id} can't be decrypted: "
        "SCAIWAVE_ENCRYPTION_KEYS contains a value that is not a Fernet key."
    )


def test_fail_no_key() -> None:
    with pytest.raises(NoSigningKey) as caught:
        reencrypt()
    assert caught.value.message == "This server has no private key to encrypt."

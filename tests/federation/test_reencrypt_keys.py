from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from federation.errors import KeyUnreadable, NoSigningKey
from federation.models import ServerKey
from federation.queries.check_keys import check_keys
from federation.services.reencrypt_keys import ReencryptKeysResult, reencrypt_keys
from scaiwave.errors import InsufficientPermission
from tenants.models import AuditEntry
from tests.federation.keys import DAY, HOST, NOW, READER, configure, make_key

pytestmark = pytest.mark.django_db
NEWEST = Fernet.generate_key().decode()


def reencrypt(*, dry_run: bool = False) -> ReencryptKeysResult:
    return reencrypt_keys(operator=HOST, now=NOW, dry_run=dry_run)


def configured() -> str:
    return str(settings.CONFIG.get_str("SCAIWAVE_ENCRYPTION_KEYS"))


def stored() -> set[str]:
    return set(ServerKey.objects.values_list("private_key_encrypted", flat=True))


@pytest.fixture
def keys() -> list[ServerKey]:
    """Newest first; the last one is revoked."""
    return [
        make_key(),
        make_key(made=NOW - DAY, retires_at=NOW + DAY),
        make_key(made=NOW - 2 * DAY, revoked_at=NOW, private_key_encrypted=""),
    ]


def test_success(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{configured()}")
    result = reencrypt()
    assert result.document() == {"reencrypted": [key.key_id for key in keys[:2]], "unchanged": []}
    assert result.sentence == (
        "Encrypted 2 keys under the newest of SCAIWAVE_ENCRYPTION_KEYS; the older ones are needed "
        "for backups alone."
    )
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=NEWEST)
    assert check_keys(operator=HOST, now=NOW).problem is None


def test_success_audited(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{configured()}")
    reencrypt()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_name) == ("federation key reencrypt", keys[0].key_id)
    assert entry.details == {"key_ids": [key.key_id for key in keys[:2]]}


def test_success_again_changes_nothing(
    keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored()
    result = reencrypt()
    assert result.unchanged == [key.key_id for key in keys[:2]]
    assert result.sentence == (
        "Nothing to do: the 2 keys are under the newest of SCAIWAVE_ENCRYPTION_KEYS already."
    )
    assert stored() == before
    assert not AuditEntry.objects.exists()


def test_success_dry_run(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored()
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{configured()}")
    result = reencrypt(dry_run=True)
    assert result.sentence == ("Would encrypt 2 keys under the newest of SCAIWAVE_ENCRYPTION_KEYS.")
    assert result.document()["dry_run"] is True
    assert stored() == before
    assert not AuditEntry.objects.exists()


def test_fail_none_is_changed_when_one_is_lost(
    keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Fernet(Fernet.generate_key()).encrypt(b"\0" * 32).decode()
    ServerKey.objects.filter(pk=keys[0].pk).update(private_key_encrypted=lost)
    before = stored()
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"{NEWEST},{configured()}")
    with pytest.raises(KeyUnreadable) as caught:
        reencrypt()
    assert caught.value.message == (
        f"The private half of key {keys[0].key_id} can't be decrypted with "
        "SCAIWAVE_ENCRYPTION_KEYS."
    )
    assert stored() == before


def test_fail_all_are_lost(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=NEWEST)
    with pytest.raises(KeyUnreadable) as caught:
        reencrypt()
    assert caught.value.exit_code == 2
    assert caught.value.message == (
        f"The private halves of keys {keys[0].key_id}, {keys[1].key_id} can't be decrypted with "
        "SCAIWAVE_ENCRYPTION_KEYS."
    )


def test_fail_newest_is_no_key(keys: list[ServerKey], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, SCAIWAVE_ENCRYPTION_KEYS=f"nonsense,{configured()}")
    with pytest.raises(KeyUnreadable) as caught:
        reencrypt()
    assert caught.value.message == (
        f"The private halves of keys {keys[0].key_id}, {keys[1].key_id} can't be decrypted: "
        "SCAIWAVE_ENCRYPTION_KEYS holds something that is not a Fernet key."
    )


def test_fail_no_key() -> None:
    with pytest.raises(NoSigningKey) as caught:
        reencrypt()
    assert caught.value.message == "This server has no private key to encrypt."


def test_fail_not_allowed() -> None:
    with pytest.raises(InsufficientPermission):
        reencrypt_keys(operator=READER, now=NOW)

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from federation.errors import KeyExists
from federation.keys import ed25519
from federation.keys.lifecycle import GenerateKeyResult, generate_key
from federation.keys.queries import KeyState
from federation.models import ServerKey
from scaiwave.config.secret_keys import get_encryption_keys
from scaiwave.core.errors import InsufficientPermission, SettingInvalid
from tenants.models import AuditEntry
from tests.federation.factories import (
    DAY,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    configure,
    make_key,
)

pytestmark = pytest.mark.django_db


def generate(**changes: Any) -> GenerateKeyResult:
    return generate_key(**{"operator": HOST_OPERATOR, "now": NOW, **changes})


def test_success_first() -> None:
    result = generate()
    key = ServerKey.objects.get()
    assert result.document() == {"key": result.key, "changed": True}
    assert result.sentence == f"Key {key.key_id} created; it signs from now on."
    assert result.key is not None
    assert (result.key["key_id"], result.key["state"]) == (key.key_id, KeyState.SIGNING.value)
    assert (key.created_at, key.signs_from, key.retires_at, key.revoked_at) == (
        NOW,
        NOW,
        None,
        None,
    )
    assert key.key_id == ed25519.thumbprint(ed25519.parse_stored_key(key))
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
    assert generate().key
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


def test_fail_not_allowed() -> None:
    with pytest.raises(InsufficientPermission):
        generate(operator=READ_ONLY_OPERATOR)

"""Signing keys in any state, operators, and settings for the tests of federation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from federation.keys import ed25519
from federation.keys.encryption import decrypt_seed, encrypt_seed
from federation.keys.queries import signing_key
from federation.models import ServerKey
from scaiwave.config import Configuration
from scaiwave.core.operators import Operator, OperatorRole

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOST_OPERATOR = Operator("root", OperatorRole.HOST)
READ_ONLY_OPERATOR = Operator("monitor", OperatorRole.PLATFORM_READ)
TENANT_ADMIN = Operator("tom", OperatorRole.TENANT_ADMIN, tenant_id="tnt_acme")


def make_key(*, created_at: datetime = NOW, **fields: Any) -> ServerKey:
    """Store a key that signs from its creation on, with the given fields overridden."""
    seed = ed25519.generate_seed()
    public_key = ed25519.derive_public_key(seed)
    values = {
        "key_id": ed25519.compute_thumbprint(public_key),
        "public_key": ed25519.to_base64(public_key),
        "private_key_encrypted": encrypt_seed(seed),
        "created_at": created_at,
        "signs_from": created_at,
        **fields,
    }
    return ServerKey.objects.create(**values)


@dataclass(frozen=True)
class Signature:
    key_id: str
    value: bytes


def sign(data: bytes, *, now: datetime) -> Signature | None:
    """Sign with the key that signs at this time; None without one."""
    key = signing_key(now)
    return Signature(key.key_id, ed25519.sign(data, decrypt_seed(key))) if key else None


def configure(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Override settings until the test ends."""
    environment = {**settings.CONFIG.environment, **values}
    config = Configuration(environment, settings.CONFIG.home, settings.CONFIG.env_file)
    monkeypatch.setattr(settings, "CONFIG", config)

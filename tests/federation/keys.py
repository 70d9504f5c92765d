"""Keys for tests, in whatever state, and who asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from federation.models import ServerKey
from federation.queries.keys import signing_key
from federation.services import ed25519, public_keys
from federation.services.key_encryption import decrypt_seed, encrypt_seed
from scaiwave.auth.operators import Operator, Role
from scaiwave.config import Configuration

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOST = Operator("root", Role.HOST)
READER = Operator("monitor", Role.PLATFORM_READ)
TENANT_ADMIN = Operator("tom", Role.TENANT_ADMIN, tenant_id="tnt_acme")


def make_key(*, made: datetime = NOW, **fields: Any) -> ServerKey:
    """A key that signs since it was made, but for the fields."""
    seed = ed25519.new_seed()
    public_key = ed25519.public_key(seed)
    values = {
        "key_id": public_keys.thumbprint(public_key),
        "public_key": public_keys.to_base64(public_key),
        "private_key_encrypted": encrypt_seed(seed),
        "created_at": made,
        "signs_from": made,
        **fields,
    }
    return ServerKey.objects.create(**values)


@dataclass(frozen=True)
class Signed:
    key_id: str
    signature: bytes


def sign(data: bytes, *, now: datetime) -> Signed | None:
    """What the key that signs then makes of the data."""
    key = signing_key(now)
    return Signed(key.key_id, ed25519.sign(data, decrypt_seed(key))) if key else None


def configure(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Let settings have other values until the test ends."""
    known = {**settings.CONFIG.environment, **values}
    config = Configuration(known, settings.CONFIG.home, settings.CONFIG.env_file)
    monkeypatch.setattr(settings, "CONFIG", config)

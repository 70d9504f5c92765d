from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from federation.errors import KeyExists
from federation.models import ServerKey
from federation.queries.key_rows import Row, key_row
from federation.queries.keys import current_key
from federation.services.keys import lock_keys, new_key, save_key
from scaiwave.auth.operators import Operator, Permission
from tenants.services.audit import record_audit


@dataclass(frozen=True)
class GenerateKeyResult:
    """`key` is None in a dry run."""

    key: Row | None

    @property
    def sentence(self) -> str:
        if self.key is None:
            return "Would make a key that signs from now on."
        return f"Made key {self.key['key_id']}; it signs from now on."

    def document(self) -> Row:
        if self.key is None:
            return {"key": None, "generated": False, "dry_run": True}
        return {"key": self.key, "generated": True}


def generate_key(*, operator: Operator, now: datetime, dry_run: bool = False) -> GenerateKeyResult:
    """Make this server's first key, or the first after the last one was revoked.

    Raises KeyExists, SettingMissing, SettingInvalid.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    key = new_key(now)
    if dry_run:
        _check_that_none_signs()
        return GenerateKeyResult(None)
    with transaction.atomic():
        lock_keys()
        _check_that_none_signs()
        save_key(key)
        record_audit(
            operator=operator,
            action="federation key generate",
            subject=key,
            now=now,
            details={"public_key": key.public_key},
        )
    return GenerateKeyResult(key_row(key, key, now))


def _check_that_none_signs() -> None:
    standing: ServerKey | None = current_key()
    if standing is not None:
        raise KeyExists(f"This server has a signing key already: {standing.key_id}.")

"""Decide whether a manifest is of this server, or of one whose fingerprint the operator knows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import connection

from scaiwave.core.signatures import KnownKey
from scaiwave.core.signed_files import SignedFile, SignedFileError, UnknownSigner
from scaiwave.extensions import SERVER_SIGNER
from scaiwave.operations.backup.errors import BackupDamaged, BackupUntrusted
from scaiwave.storage.schema_version import is_migrated

_KEYS = "federation"
"""The app that has the keys: other apps may have an older schema."""


@dataclass(frozen=True)
class Trust:
    """What the operator knows from outside the backup.

    `fingerprint` is the ID of the key that must have signed it; else it is one of this server.
    """

    fingerprint: str | None = None
    accepts_unsigned: bool = False

    def require(self, document: SignedFile, kind: str, path: Path) -> None:
        """Raises BackupUntrusted, and BackupDamaged if it was changed after it was signed, or is of
        another kind."""
        if not document.is_signed:
            if self.accepts_unsigned:
                return
            raise BackupUntrusted(
                f"{path} is not signed, so anyone who could write there may have changed it.",
                fix="Pass --accept-unsigned if the backup is of a release before 0.4 or of a "
                "server without a key, and only you could write to it.",
            )
        trusted = {self.fingerprint} if self.fingerprint is not None else _load_own_ids()
        try:
            document.require_signer(kind, trusted, SERVER_SIGNER.load()())
        except UnknownSigner as error:
            if self.fingerprint is not None:
                raise BackupUntrusted(
                    f"{path} is not signed with the key {self.fingerprint!r} of --fingerprint.",
                    fix="Compare it with the fingerprint that you noted. If they are the same, do "
                    "not use this backup.",
                ) from None
            no_keys = " The database of this server can't be read, or has no key that it can use."
            raise BackupUntrusted(f"{path} {error}.{'' if trusted else no_keys}") from None
        except SignedFileError as error:
            raise BackupDamaged(f"{path} {error}.") from None


def find_signing_key(now: datetime) -> KnownKey | None:
    """Return None if there is no key, or an older schema, or the private key can't be used."""
    if not is_migrated(connection, _KEYS):
        return None
    key = SERVER_SIGNER.load()().find_signing_key(now)
    return key if key is not None and key.is_proven else None


def _load_own_ids() -> Collection[str]:
    """A host without a database of its own, as before the first restore, knows no keys."""
    if not is_migrated(connection, _KEYS):
        return ()
    return [key.key_id for key in SERVER_SIGNER.load()().load_keys().values() if key.is_proven]

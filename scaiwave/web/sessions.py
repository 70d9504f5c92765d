"""Sessions of the admin site: the database has a hash of each key, and the browser has the key.

A copy of the database therefore opens no session.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

_COLUMN_CHARS = 40


class SessionStore(db.SessionStore):
    """Django's store, which gets hashes of keys. `session_key` is the key itself."""

    # They call the methods below. The parent's queries look for the key itself.
    aload, aexists, asave, adelete = (
        SessionBase.aload,
        SessionBase.aexists,
        SessionBase.asave,
        SessionBase.adelete,
    )

    def load(self) -> dict[str, Any]:
        rows = self.model.objects.filter(
            session_key=hash_key(self.session_key or ""), expire_date__gt=timezone.now()
        )
        if (row := rows.first()) is not None:
            return self.decode(row.session_data)
        self._session_key = None
        return {}

    def exists(self, session_key: str) -> bool:
        return super().exists(hash_key(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        row.session_key = hash_key(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            super().delete(hash_key(key))


def hash_key(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:_COLUMN_CHARS]

"""Gives new participants the local half of their FQID: readable, unique, for good."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from identity_sync.services.sync.staging import BATCH, copy_rows, select

# The `+` sets a suffix apart: no wish contains one, so that no wish can take a suffixed name.
_FORBIDDEN = re.compile(r"[^a-z0-9._-]+")
LONGEST = 64
SUFFIX_LENGTH = 10

# The first of several who want the same name gets it, unless it is taken already.
EXPRESSION = """
    CASE WHEN row_number() OVER (PARTITION BY l.candidate ORDER BY s.scaikey_id) = 1
          AND NOT EXISTS (SELECT 1 FROM sw_participants o
                          WHERE o.local_id = l.candidate AND o.server_name = '')
         THEN l.candidate ELSE l.candidate || '+' || l.suffix END
"""
JOIN = "JOIN local_ids l ON l.n = d.n"


def preferred_local_id(email: str, display_name: str) -> str:
    """The name someone would like: the local part of the e-mail, else of the display name.

    >>> wish("Anna.Kovács+chat@acme.example", "")
    'anna.kov-cs-chat'
    """
    for source in (email.partition("@")[0], display_name):
        name = _FORBIDDEN.sub("-", source.lower()).strip("-._")[:LONGEST]
        if name:
            return name
    return "user"


def conflict_suffix(tenant_id: UUID, scaikey_id: str) -> str:
    """Fifty bits that are the same each time for the same person in the same tenant.

    Our own tenant, since ScaiKey's may be linked to another one of ours later.
    """
    digest = hashlib.sha256(f"{tenant_id} {scaikey_id}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:SUFFIX_LENGTH]


def assign_local_ids() -> None:
    """Work out a wish and a suffix for each participant that the plan adds."""
    last = 0
    while rows := select(_ADDED, [last, BATCH]):
        copy_rows("local_ids", _wishes(rows))
        last = rows[-1][0]


_ADDED = """
    SELECT s.n, s.email, s.display_name, d.tenant_id, s.scaikey_id
    FROM sync_plan d JOIN stage_participants s ON s.n = d.n
    WHERE d.kind = 'participants' AND d.action = 'add' AND s.n > %s ORDER BY s.n LIMIT %s
"""


def _wishes(rows: list[tuple[Any, ...]]) -> Iterator[tuple[int, str, str]]:
    for number, email, name, tenant_id, scaikey_id in rows:
        yield (
            number,
            preferred_local_id(email, name),
            conflict_suffix(UUID(str(tenant_id)), scaikey_id),
        )

"""Assign local ids to new participants: the part of the FQID before the server name.

They are readable and unique, and never change.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from identity_sync.services.sync.staging import BATCH, copy_rows
from scaiwave.sql import fetch

# A `+` separates the suffix. No preferred id contains one, so none can equal an id with a suffix.
_FORBIDDEN = re.compile(r"[^a-z0-9._-]+")
MAX_LOCAL_ID_CHARS = 64
SUFFIX_CHARS = 10

# The first of several people with the same preferred id gets it, unless it is in use.
EXPRESSION = """
    CASE WHEN row_number() OVER (PARTITION BY l.candidate ORDER BY s.scaikey_id) = 1
          AND NOT EXISTS (SELECT 1 FROM sw_participants o
                          WHERE o.local_id = l.candidate AND o.server_name = '')
         THEN l.candidate ELSE l.candidate || '+' || l.suffix END
"""
JOIN = "JOIN local_ids l ON l.n = d.n"


def preferred_local_id(email: str, display_name: str) -> str:
    """Return the local part of the e-mail address, or else the display name, as a local id.

    >>> preferred_local_id("Anna.Kovács+chat@acme.example", "")
    'anna.kov-cs-chat'
    """
    for source in (email.partition("@")[0], display_name):
        name = _FORBIDDEN.sub("-", source.lower()).strip("-._")[:MAX_LOCAL_ID_CHARS]
        if name:
            return name
    return "user"


def conflict_suffix(tenant_id: UUID, scaikey_id: str) -> str:
    """Return fifty bits that are always the same for the same person in the same tenant.

    The id of the tenant is ours, since a ScaiKey tenant may be linked to another one later.
    """
    digest = hashlib.sha256(f"{tenant_id} {scaikey_id}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:SUFFIX_CHARS]


def assign_local_ids() -> None:
    """Stage a preferred id and a suffix for each participant that the plan adds."""
    last = 0
    while rows := fetch(_ADDED_PEOPLE, [last, BATCH]):
        copy_rows("local_ids", _build_candidates(rows))
        last = rows[-1][0]


_ADDED_PEOPLE = """
    SELECT s.n, s.email, s.display_name, d.tenant_id, s.scaikey_id
    FROM sync_plan d JOIN stage_participants s ON s.n = d.n
    WHERE d.kind = 'participants' AND d.action = 'add' AND s.n > %s ORDER BY s.n LIMIT %s
"""


def _build_candidates(rows: list[tuple[Any, ...]]) -> Iterator[tuple[int, str, str]]:
    for number, email, name, tenant_id, scaikey_id in rows:
        yield (
            number,
            preferred_local_id(email, name),
            conflict_suffix(UUID(str(tenant_id)), scaikey_id),
        )

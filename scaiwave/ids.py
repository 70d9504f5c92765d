"""Generation of primary keys."""

from __future__ import annotations

from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a UUIDv7: unique without asking the database, and in order of time in its index."""
    return uuid7()


def new_id_hex() -> str:
    """Return a UUIDv7 as 32 hexadecimal digits, five times as fast, for hundreds of thousands."""
    return uuid_utils.uuid7().hex

"""What doctor wants to know of this server's keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from federation.errors import KeyUnreadable
from federation.queries.check_keys import key_problem
from federation.queries.key_rows import is_rotation_near, rotation_due_at
from federation.queries.keys import all_keys, find_signing_key


@dataclass(frozen=True)
class KeyHealth:
    """`signing_key_id` is None where nothing signs; the lists hold key ids.

    `rotation_is_near` from 335 days on, `rotation_due_at` is at 365.
    """

    signing_key_id: str | None
    rotation_due_at: datetime | None
    rotation_is_near: bool
    unreadable: list[str]
    damaged: list[str]


def key_health(now: datetime) -> KeyHealth:
    """Decrypts every stored private half; raises nothing that is wrong with one."""
    keys = all_keys()
    signing = find_signing_key(keys, now)
    problems = {key.key_id: key_problem(key) for key in keys if key.private_key_encrypted}
    found = {key_id: problem for key_id, problem in problems.items() if problem}
    unreadable = [key_id for key_id, why in found.items() if isinstance(why, KeyUnreadable)]
    return KeyHealth(
        signing_key_id=signing.key_id if signing else None,
        rotation_due_at=rotation_due_at(signing) if signing else None,
        rotation_is_near=signing is not None and is_rotation_near(signing, now),
        unreadable=unreadable,
        damaged=[key_id for key_id in found if key_id not in unreadable],
    )

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from federation.queries.key_rows import Row, is_rotation_near, key_row
from federation.queries.keys import all_keys, find_signing_key
from scaiwave.auth.operators import Operator, Permission

NO_KEY = (
    "This server has no signing key, so no peer can trust it; "
    "`scaiwave admin federation key generate` makes one."
)


@dataclass(frozen=True)
class ListKeysResult:
    """Newest first; `warnings` are sentences."""

    keys: list[Row]
    warnings: list[str]


def list_keys(*, operator: Operator, now: datetime) -> ListKeysResult:
    """Every key this server ever had, and what an operator should do about them."""
    operator.require(Permission.VIEW_PLATFORM)
    keys = all_keys()
    signing = find_signing_key(keys, now)
    rows = [key_row(key, signing, now) for key in keys]
    if signing is None:
        return ListKeysResult(rows, [NO_KEY])
    if is_rotation_near(signing, now):
        return ListKeysResult(rows, [_due(signing.key_id, (now - signing.signs_from).days)])
    return ListKeysResult(rows, [])


def _due(key_id: str, days: int) -> str:
    return (
        f"The yearly rotation is due: key {key_id} has signed for {days} days. "
        "`scaiwave admin federation key rotate` makes a new one."
    )

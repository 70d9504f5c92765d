"""Compare the removals of a reviewed plan with the plan that is made now.

Additions and updates may differ: other removals, or others who depend on them, are another plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from uuid import UUID

from identity_sync.encoding import RemovalRow, encode_removal, name_subject
from identity_sync.report import LOSSES
from identity_sync.sync.judge.limits import APPLIED
from identity_sync.sync.judge.removals import iter_removals
from identity_sync.sync.staging import BATCH, index_filled
from scaiwave.console.text import join_examples
from scaiwave.core.sql import fetch, to_uuid, uuid_param

MAX_NAMED = 5


def iter_planned_removals(condition: str = APPLIED) -> Iterator[RemovalRow]:
    """Yield the removals that the plan applies, encoded."""
    for removal, slug in iter_removals(condition):
        yield encode_removal(removal, slug)


def digest_removals() -> str:
    """Return what identifies the set of removals, and of the rows that depend on them."""
    digest = hashlib.sha256()
    for removal, _ in iter_removals(APPLIED):
        # As JSON, because ScaiKey decides what a destination contains.
        key = [removal.subject_id.hex, removal.loss, removal.cause, removal.destination]
        digest.update(json.dumps(key).encode() + b"\n")
    for kind in LOSSES:
        index_filled("losses", "kind", "row_id")
        _digest_rows(digest, kind, f"SELECT row_id AS id FROM losses WHERE kind = '{kind}'")
    _digest_rows(digest, "affected", "SELECT person_id AS id FROM affected_through_groups")
    return f"sha256:{digest.hexdigest()}"


def _digest_rows(digest: hashlib._Hash, kind: str, rows: str) -> None:
    last = uuid_param(UUID(int=0))
    sql = f"SELECT DISTINCT a.id FROM ({rows}) AS a WHERE a.id > %s ORDER BY a.id LIMIT %s"
    while found := fetch(sql, [last, BATCH]):
        for (key,) in found:
            digest.update(f"{kind}:{to_uuid(key).hex}\n".encode())
        last = uuid_param(to_uuid(found[-1][0]))


def describe_difference(reviewed: Iterable[RemovalRow]) -> str:
    """Return how the planned removals differ from the reviewed ones, with examples.

    The text is empty if they are the same, and only others depend on them.
    """
    gone = {_key(row): name_subject(row) for row in reviewed}
    planned = iter_planned_removals()
    new = [name_subject(row) for row in planned if gone.pop(_key(row), None) is None]
    parts = []
    if new:
        parts.append(f"{len(new):,} new ({join_examples(new[:MAX_NAMED], len(new))})")
    if gone:
        examples = join_examples(sorted(gone.values())[:MAX_NAMED], len(gone))
        parts.append(f"{len(gone):,} no longer among them ({examples})")
    return ", ".join(parts)


def _key(row: RemovalRow) -> tuple[str, ...]:
    return (str(row["subject_id"]), row["loss"], row["cause"], row["destination"] or "")

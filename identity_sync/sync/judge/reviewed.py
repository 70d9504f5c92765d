"""Compare the removals of a reviewed plan with the plan that is made now.

Additions and updates may differ: other removals, or others who depend on them, are another plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from identity_sync.encoding import encode_removal, name_subject
from identity_sync.report import LOSSES
from identity_sync.sync.judge.limits import APPLIED
from identity_sync.sync.judge.removals import iter_removals
from identity_sync.sync.staging import BATCH, analyze, copy_rows, index_filled
from scaiwave.console.text import join_examples
from scaiwave.core.sql import fetch, fetch_number, to_uuid, uuid_param

MAX_NAMED = 5

_SAME = (
    "v.subject_id = r.subject_id AND v.loss = r.loss AND v.cause = r.cause "
    "AND v.destination = r.destination"
)
_PLANNED = f"r.root_id IS NULL AND {APPLIED}"
_NEW = f"{APPLIED} AND NOT EXISTS (SELECT 1 FROM reviewed_removals v WHERE {_SAME})"
_GONE = f"NOT EXISTS (SELECT 1 FROM removals r WHERE {_SAME} AND {_PLANNED})"


def iter_planned_removals(condition: str = APPLIED) -> Iterator[dict[str, Any]]:
    """Yield the removals that the plan applies, encoded."""
    for removal, slug in iter_removals(condition):
        yield encode_removal(removal, slug)


def compute_digest() -> str:
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


def _digest_rows(digest: Any, kind: str, rows: str) -> None:
    last = uuid_param(UUID(int=0))
    sql = f"SELECT DISTINCT a.id FROM ({rows}) AS a WHERE a.id > %s ORDER BY a.id LIMIT %s"
    while found := fetch(sql, [last, BATCH]):
        for (key,) in found:
            digest.update(f"{kind}:{to_uuid(key).hex}\n".encode())
        last = uuid_param(to_uuid(found[-1][0]))


def describe_difference(reviewed: Iterable[Mapping[str, Any]]) -> str:
    """Return how the planned removals differ from the reviewed ones, with examples.

    The text is empty if they are the same, and only others depend on them.
    """
    copy_rows(
        "reviewed_removals",
        (
            (
                *(uuid_param(row["subject_id"]), row["loss"], row["cause"]),
                *(row["destination"] or "", name_subject(row)),
            )
            for row in reviewed
        ),
    )
    index_filled("reviewed_removals", "subject_id")
    analyze("reviewed_removals")
    parts = []
    if new := _count(f"removals r WHERE r.root_id IS NULL AND {_NEW}"):
        names = [name_subject(row) for row in islice(iter_planned_removals(_NEW), MAX_NAMED)]
        parts.append(f"{new:,} new ({join_examples(names, new)})")
    if gone := _count(f"reviewed_removals v WHERE {_GONE}"):
        rows = fetch(
            f"SELECT name FROM reviewed_removals v WHERE {_GONE} ORDER BY name LIMIT %s",
            [MAX_NAMED],
        )
        examples = join_examples([name for (name,) in rows], gone)
        parts.append(f"{gone:,} no longer among them ({examples})")
    return ", ".join(parts)


def _count(rows: str) -> int:
    return fetch_number(f"SELECT count(*) FROM {rows}")

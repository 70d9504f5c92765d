"""Read the removals of a plan, and compare them with the ones of a reviewed plan.

Additions and updates may differ from the reviewed plan. Other removals, or others who depend on
them, are another plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from uuid import UUID

from identity_sync.encoding import RemovalRow, encode_removal, name_subject
from identity_sync.models import Limit, PendingRemoval
from identity_sync.report import LOSSES
from identity_sync.sync.staging import BATCH, index_filled
from identity_sync.sync.states import APPLIED
from scaiwave.console.text import join_examples
from scaiwave.core.sql import fetch, fetch_column, fetch_number, to_uuid, uuid_param

MAX_NAMED = 5


def lock_open_rows() -> None:
    """Wait for decisions that are being written; later ones wait for this transaction."""
    list(PendingRemoval.objects.select_for_update().open().order_by("pk").values_list("pk"))


def count_pending() -> int:
    """Count the removals of the plan that wait, each with what depends on it."""
    sql = "SELECT count(*) FROM removals WHERE state = 'pending' AND root_id IS NULL"
    return fetch_number(sql)


def has_last_super_admin() -> bool:
    sql = f"SELECT 1 FROM removals WHERE limit_code = '{Limit.SUPER_ADMIN}' AND state = 'pending'"
    return bool(fetch(sql))


def list_pending_tenants() -> list[str]:
    """Return the slugs of the tenants with pending removals, sorted."""
    return fetch_column(
        "SELECT DISTINCT t.slug FROM removals r JOIN sw_tenants t ON t.id = r.tenant_id "
        "WHERE r.state = 'pending' AND r.root_id IS NULL ORDER BY t.slug"
    )


DEPENDENTS = {
    "people": "sw_participants WHERE absent_since IS NULL AND scaikey_id IS NOT NULL AND {}",
    "roles": "sw_role_grants WHERE {}",
    "memberships": "sw_group_memberships WHERE absent_since IS NULL AND {}",
}


def count_dependents(column: str, kind: str, key: str) -> str:
    """SQL for the number of rows that depend on a tenant, partner or group."""
    conditions = {
        "tenants": f"tenant_id = {key}",
        "partners": f"tenant_id IN (SELECT t.id FROM sw_tenants t WHERE t.partner_id = {key})",
    }
    if column != "people":
        conditions["groups"] = f"group_id = {key}"
    cases = " ".join(
        f"WHEN '{name}' THEN (SELECT count(*) FROM {DEPENDENTS[column].format(condition)})"
        for name, condition in conditions.items()
    )
    return f"CASE {kind} {cases} ELSE 0 END"


_COUNTS = ", ".join(count_dependents(name, "r.kind", "r.row_id") for name in DEPENDENTS)
_COLUMNS = (
    *("tenant_id", "kind", "subject_id", "subject_scaikey_id", "person_scaikey_id"),
    *("subject_name", "loss", "cause", "destination", "limit_code", *DEPENDENTS),
)
_KEY = "r.subject_id, r.loss, r.cause, r.destination"
_REMOVALS = f"""
    SELECT r.tenant_id, r.kind, r.subject_id, r.scaikey_id, r.person_scaikey_id, r.name, r.loss,
           r.cause, r.destination, r.limit_code, {_COUNTS}, t.slug
    FROM (SELECT * FROM removals r WHERE r.root_id IS NULL AND ({{condition}})
          AND ({_KEY}) > (%s, %s, %s, %s) ORDER BY {_KEY} LIMIT %s) AS r
    LEFT JOIN sw_tenants t ON t.id = r.tenant_id ORDER BY {_KEY}
"""


def iter_removals(condition: str) -> Iterator[tuple[PendingRemoval, str | None]]:
    """Yield the removals that meet a condition about `r` as rows that are not saved, each with the
    slug of its tenant; what follows from another removal is left out."""
    index_filled("removals", "subject_id")
    sql = _REMOVALS.format(condition=condition)
    last = (uuid_param(UUID(int=0)), "", "", "")
    while rows := fetch(sql, [*last, BATCH]):
        for *values, slug in rows:
            removal = PendingRemoval(**dict(zip(_COLUMNS, values, strict=True)))
            removal.subject_id = to_uuid(removal.subject_id)
            removal.tenant_id = removal.tenant_id and to_uuid(removal.tenant_id)
            yield removal, slug
            last = uuid_param(removal.subject_id), removal.loss, removal.cause, removal.destination


def iter_planned_removals() -> Iterator[RemovalRow]:
    """Yield the removals that the plan applies, encoded."""
    for removal, slug in iter_removals(APPLIED):
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

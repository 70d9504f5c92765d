"""Compare the losses of access of a plan that was reviewed with those of the plan that is made now.

Additions and updates may differ: a different set of losses is a different plan. A loss is a row of
the database that loses access, or whose access depends on one that does, whatever the reason.

In SQL: `l` is a planned loss, `r` a reviewed loss, `p` a person, `g` a group, `t` a tenant, `o` a
partner, `e` a membership, `a` a role grant, `x` its role, `m` a member group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec

from identity_sync.report import LOSSES
from identity_sync.sync.fetch import join_examples
from identity_sync.sync.staging import (
    BATCH,
    REVIEW_TABLES,
    analyze,
    copy_rows,
    create_review_tables,
    drop_review_tables,
)
from scaiwave.core.sql import execute, fetch, fetch_one, to_uuid, uuid_param

INDIRECT = "affected_people"
"""People who lose what a group gave them, because it is no longer a member of another one."""

LOSS_KINDS = (*LOSSES, INDIRECT)
MAX_NAMED = 5

_NOUNS = {
    "people": "person",
    "grants": "role grant",
    "memberships": "group membership",
    "groups": "group",
    "tenants": "tenant",
    "partners": "partner",
    INDIRECT: "person",
}


class ReviewedLoss(msgspec.Struct, frozen=True):
    """A row that loses access: its kind, ID and name, and the slug of its tenant."""

    kind: str
    id: UUID
    name: str
    tenant: str | None = None

    def document(self) -> dict[str, Any]:
        return {"kind": self.kind, "id": self.id, "name": self.name, "tenant": self.tenant}

    def describe(self) -> str:
        place = f" in {self.tenant}" if self.tenant and self.kind != "tenants" else ""
        return f"{_NOUNS[self.kind]} {self.name}{place}"


@contextmanager
def stage_losses() -> Iterator[None]:
    """Stage the losses of the plan while this context is open, for the functions of this module."""
    create_review_tables()
    execute(
        f"""
        INSERT INTO planned_losses (kind, row_id)
        SELECT DISTINCT kind, row_id FROM losses UNION
        SELECT DISTINCT '{INDIRECT}', person_id FROM affected_through_groups
        """
    )
    analyze(*REVIEW_TABLES)
    yield
    drop_review_tables()


def compute_digest() -> str:
    """Return what identifies the set of planned losses."""
    digest = hashlib.sha256()
    for kind in LOSS_KINDS:
        last = uuid_param(UUID(int=0))
        while rows := fetch(
            "SELECT row_id FROM planned_losses WHERE kind = %s AND row_id > %s "
            "ORDER BY row_id LIMIT %s",
            [kind, last, BATCH],
        ):
            for (row_id,) in rows:
                digest.update(f"{kind}:{to_uuid(row_id).hex}\n".encode())
            last = uuid_param(to_uuid(rows[-1][0]))
    return f"sha256:{digest.hexdigest()}"


def iter_losses() -> Iterator[ReviewedLoss]:
    """Yield the planned losses with their names, by kind."""
    for kind in LOSS_KINDS:
        last = UUID(int=0)
        while losses := _load_losses(kind, "l.row_id > %s", [uuid_param(last)], BATCH):
            yield from losses
            last = losses[-1].id


def describe_difference(reviewed: Iterable[ReviewedLoss]) -> str | None:
    """Return how the planned losses differ from the reviewed ones, with examples; None if not."""
    copy_rows(
        "reviewed_losses",
        ((loss.kind, uuid_param(loss.id), loss.name, loss.tenant) for loss in reviewed),
    )
    analyze("reviewed_losses")
    new = fetch_one(f"SELECT count(*) FROM planned_losses l WHERE NOT {_IS_REVIEWED}")[0]
    gone = fetch_one(f"SELECT count(*) FROM reviewed_losses r WHERE NOT {_IS_PLANNED}")[0]
    parts = []
    if new:
        parts.append(f"{new:,} new ({join_examples(_name_new_losses(), new)})")
    if gone:
        rows = fetch(
            f"SELECT kind, row_id, name, tenant FROM reviewed_losses r WHERE NOT {_IS_PLANNED} "
            "ORDER BY tenant, kind, name LIMIT %s",
            [MAX_NAMED],
        )
        names = [
            ReviewedLoss(kind, to_uuid(key), name, slug).describe()
            for kind, key, name, slug in rows
        ]
        parts.append(f"{gone:,} no longer among them ({join_examples(names, gone)})")
    return ", ".join(parts) or None


def _name_new_losses() -> list[str]:
    names: list[str] = []
    for kind in LOSS_KINDS:
        if len(names) < MAX_NAMED:
            losses = _load_losses(kind, f"NOT {_IS_REVIEWED}", [], MAX_NAMED - len(names))
            names += [loss.describe() for loss in losses]
    return names


_IS_REVIEWED = """
    EXISTS (SELECT 1 FROM reviewed_losses r WHERE r.kind = l.kind AND r.row_id = l.row_id)
"""
_IS_PLANNED = """
    EXISTS (SELECT 1 FROM planned_losses l WHERE l.kind = r.kind AND l.row_id = r.row_id)
"""

_PERSON = "COALESCE(NULLIF(p.display_name, ''), NULLIF(p.email, ''), p.local_id)"
_PEOPLE = (_PERSON, "JOIN sw_participants p ON p.id = l.row_id", "p.tenant_id")
# The name of a row, its joins and its tenant.
_SOURCES = {
    "people": _PEOPLE,
    INDIRECT: _PEOPLE,
    "groups": ("g.name", "JOIN sw_groups g ON g.id = l.row_id", "g.tenant_id"),
    "tenants": ("t.slug", "", "l.row_id"),
    "partners": (
        "COALESCE(NULLIF(o.slug, ''), o.name)",
        "JOIN sw_partners o ON o.id = l.row_id",
        "NULL",
    ),
    "memberships": (
        f"COALESCE({_PERSON}, m.name) || ' in ' || g.name",
        """
        JOIN sw_group_memberships e ON e.id = l.row_id JOIN sw_groups g ON g.id = e.group_id
        LEFT JOIN sw_participants p ON p.id = e.member_participant_id
        LEFT JOIN sw_groups m ON m.id = e.member_group_id
        """,
        "e.tenant_id",
    ),
    "grants": (
        f"x.slug || ' of ' || COALESCE({_PERSON}, m.name)",
        """
        JOIN sw_role_grants a ON a.id = l.row_id JOIN sw_roles x ON x.id = a.role_id
        LEFT JOIN sw_participants p ON p.id = a.participant_id
        LEFT JOIN sw_groups m ON m.id = a.group_id
        """,
        "a.tenant_id",
    ),
}


def _load_losses(kind: str, where: str, params: list[Any], limit: int) -> list[ReviewedLoss]:
    name, joins, tenant = _SOURCES[kind]
    tenant_join = f"LEFT JOIN sw_tenants t ON t.id = {tenant}" if kind != "partners" else ""
    slug = "t.slug" if kind != "partners" else "NULL"
    rows = fetch(
        f"SELECT l.row_id, {name}, {slug} FROM planned_losses l {joins} {tenant_join} "
        f"WHERE l.kind = %s AND {where} ORDER BY l.row_id LIMIT %s",
        [kind, *params, limit],
    )
    return [ReviewedLoss(kind, to_uuid(row_id), name, slug) for row_id, name, slug in rows]

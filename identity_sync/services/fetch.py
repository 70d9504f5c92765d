"""Fetch: walk what our credentials reach, and stage it. No decision is made here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from identity_sync.errors import SyncTruncated
from identity_sync.services.staging import execute, key, load, select, settle
from scaiwave.clients.scaikey import ScaiKeyClient
from scaiwave.clients.scaikey_rows import GroupRow, MemberRow, PartnerRow, TenantRow, UserRow
from scaiwave.clients.walk import Walk
from scaiwave.ids import new_id

Progress = Callable[[int, int | None], None]

COLLECTIONS = {
    "partners": "partners",
    "tenants": "tenants",
    "participants": "users",
    "groups": "groups",
}


@dataclass
class Fetched:
    """What the walks were like: which kinds were walked, and which of them can't be trusted to
    be whole although they ended where they should."""

    walked: list[str] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)
    vanished_groups: int = 0

    def warnings(self) -> list[str]:
        found = [
            f"ScaiKey's list of {COLLECTIONS[kind]} changed while it was read; what seems gone was "
            "asked for again before it counted as gone."
            for kind in self.inconsistent
        ]
        if self.vanished_groups:
            found.append(
                f"{self.vanished_groups} groups vanished while their members were read; the next "
                "run will see to them."
            )
        return found


def stage_walk(
    client: ScaiKeyClient,
    kind: str,
    *,
    fetched: Fetched,
    progress: Progress,
    params: dict[str, str] | None = None,
) -> None:
    """Walk one collection into its table. Raises `SyncTruncated` when it ends early twice."""
    table = f"stage_{kind}"
    for _ in range(2):
        execute(f"DELETE FROM {table}")
        walk: Walk[Any] = client.walk(COLLECTIONS[kind], params=params)  # type: ignore[call-overload]
        with closing(walk):
            load(table, _numbered(_watched(walk, progress), _STAGED[kind]))
        if not walk.truncated:
            break
    else:
        raise SyncTruncated(
            f"ScaiKey says there are {walk.reported_total} {COLLECTIONS[kind]} and handed out "
            f"{walk.rows}, twice.",
            fix="Nothing was changed. Run `scaiwave sync` again later; if it stays so, ask who "
            "runs ScaiKey.",
        )
    repeated = settle(table)
    fetched.walked.append(kind)
    if repeated or not walk.totals_agree:
        fetched.inconsistent.append(kind)


def stage_items(kind: str, rows: Iterable[Any]) -> None:
    """Stage rows that were fetched one by one."""
    load(f"stage_{kind}", _numbered([list(rows)], _STAGED[kind]))
    settle(f"stage_{kind}")


def stage_members(client: ScaiKeyClient, *, fetched: Fetched, progress: Progress) -> None:
    """Fetch the members of every staged group."""
    total = 0
    groups = [row[0] for row in select("SELECT scaikey_id FROM stage_groups ORDER BY n")]
    gone: set[str] = set()

    def rows() -> Iterator[tuple[Any, ...]]:
        nonlocal total
        with closing(client.members_of(groups)) as answers:
            for done, (group_id, members) in enumerate(answers, 1):
                progress(done, len(groups))
                if members is None:
                    gone.add(group_id)
                    continue
                for pair in _pairs(members):
                    total += 1
                    yield (total, key(new_id()), group_id, *pair)

    load("stage_memberships", rows())
    load("walked_groups", ((group_id,) for group_id in groups if group_id not in gone))
    settle("stage_memberships")
    fetched.vanished_groups = len(gone)
    fetched.walked.append("memberships")


def _pairs(members: list[MemberRow]) -> Iterator[tuple[str, int]]:
    """Direct members only: what follows from a nested group is worked out here when asked."""
    for member in members:
        if member.direct:
            yield (member.user_id, 0) if member.user_id else (member.member_group_id, 1)


def member_pairs(client: ScaiKeyClient, group_ids: list[str]) -> Iterator[tuple[str]]:
    """The members of some groups once more, as rows of `seen_again`."""
    with closing(client.members_of(group_ids)) as answers:
        for group_id, members in answers:
            for member_id, _ in _pairs(members or []):
                yield (f"{group_id} {member_id}",)


def _watched(walk: Walk[Any], progress: Progress) -> Iterator[list[Any]]:
    for page in walk:
        progress(walk.rows, walk.reported_total)
        yield page


def _numbered(
    pages: Iterable[list[Any]], staged: Callable[[Any], tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    number = 0
    for page in pages:
        for row in page:
            number += 1
            yield (number, key(new_id()), *staged(row))


def _partner(row: PartnerRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.name or row.slug or row.id,
        row.slug,
        row.status or None,
        row.contact_email,
        row.max_tenants,
        row.max_users_per_tenant,
        row.max_applications_per_tenant,
    )


def _tenant(row: TenantRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.name or row.slug or row.id,
        row.slug or row.id,
        row.status or None,
        row.contact_email,
        row.partner_id or None,
        None,
        0,
    )


def _user(row: UserRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.tenant_id,
        display_name(row),
        row.email,
        row.avatar_url,
        row.status or None,
    )


def _group(row: GroupRow) -> tuple[Any, ...]:
    return row.id, row.tenant_id, row.name or row.id, row.group_type


def display_name(row: UserRow) -> str:
    """What people call themselves, or the nearest thing that ScaiKey tells."""
    full = f"{row.first_name} {row.last_name}".strip()
    return (row.display_name or full or row.email.partition("@")[0])[:1000]


_STAGED: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "partners": _partner,
    "tenants": _tenant,
    "participants": _user,
    "groups": _group,
}

"""Fetch: walk what our credentials reach, and stage it. No decision is made here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from identity_sync.errors import IncompleteListing
from identity_sync.services.sync.staging import copy_rows, deduplicate, execute, select
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.pagination import PageIterator
from scaiwave.clients.scaikey.schemas import (
    BaseRecord,
    GroupRecord,
    MemberRecord,
    PartnerRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.console.progress import ProgressCallback
from scaiwave.errors import UpstreamInvalidResponse
from scaiwave.ids import new_id_hex
from tenants.models.directory import LONGEST_EMAIL, LONGEST_NAME

# What other columns hold, in characters; and the largest whole number of PostgreSQL's integer.
LONGEST_ID = 200
LONGEST_SLUG = 200
LONGEST_WORD = 200
LARGEST_LIMIT = 2**31 - 1
NAMED = 5
"""Odd things that a warning names one by one."""

COLLECTIONS = {
    "partners": "partners",
    "tenants": "tenants",
    "participants": "users",
    "groups": "groups",
}


@dataclass
class FetchResult:
    """What the walks were like: which kinds were walked, and which of them can't be trusted to
    be whole although they ended where they should; `odd_roles` can't be slugs."""

    walked: list[str] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)
    vanished_groups: int = 0
    odd_roles: list[str] = field(default_factory=list)

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
        if self.odd_roles:
            more = (
                f" and {len(self.odd_roles) - NAMED:,} more" if len(self.odd_roles) > NAMED else ""
            )
            found.append(
                "ScaiKey tells of roles whose names can't be slugs, so nobody holds them here: "
                f"{', '.join(map(repr, self.odd_roles[:NAMED]))}{more}."
            )
        return found


def stage_collection(
    client: ScaiKeyClient,
    kind: str,
    *,
    fetched: FetchResult,
    progress: ProgressCallback,
    params: dict[str, str] | None = None,
) -> None:
    """Walk one collection into its table. Raises `IncompleteListing` when it ends early twice."""
    table = f"stage_{kind}"
    walk = _walked(client, kind, progress, params)
    if walk.truncated:
        execute(f"DELETE FROM {table}")
        walk = _walked(client, kind, progress, params)
    if walk.truncated:
        raise truncated(walk, kind)
    repeated = deduplicate(table)
    fetched.walked.append(kind)
    if repeated or not walk.totals_agree:
        fetched.inconsistent.append(kind)


def _walked(
    client: ScaiKeyClient, kind: str, progress: ProgressCallback, params: dict[str, str] | None
) -> PageIterator[Any]:
    walk: PageIterator[Any] = client.walk(COLLECTIONS[kind], params=params)  # type: ignore[call-overload]
    with closing(walk):
        copy_rows(f"stage_{kind}", _numbered(_watched(walk, progress), _STAGED[kind]))
    return walk


def truncated(walk: PageIterator[Any], kind: str) -> IncompleteListing:
    return IncompleteListing(
        f"ScaiKey says there are {walk.reported_total:,} {COLLECTIONS[kind]} and handed out "
        f"{walk.rows:,}. Nothing was changed.",
        fix="Run the same command again later; if it stays so, ask who runs ScaiKey.",
    )


def stage_records(kind: str, rows: Iterable[Any]) -> None:
    """Stage rows that were fetched one by one."""
    copy_rows(f"stage_{kind}", _numbered([list(rows)], _STAGED[kind]))
    deduplicate(f"stage_{kind}")


def iter_members(
    client: ScaiKeyClient, group_ids: list[str]
) -> Generator[tuple[str, list[MemberRecord] | None]]:
    """What the client answers, in a form that can be closed: threads stand behind it."""
    yield from client.members_of(group_ids)


def stage_members(
    client: ScaiKeyClient, *, fetched: FetchResult, progress: ProgressCallback
) -> None:
    """Fetch the members of every staged group."""
    total = 0
    groups = [row[0] for row in select("SELECT scaikey_id FROM stage_groups ORDER BY n")]
    gone: set[str] = set()

    def rows() -> Iterator[tuple[Any, ...]]:
        nonlocal total
        with closing(iter_members(client, groups)) as answers:
            for done, (group_id, members) in enumerate(answers, 1):
                progress(done, len(groups))
                if members is None:
                    gone.add(group_id)
                    continue
                for pair in direct_memberships(members):
                    total += 1
                    yield (total, new_id_hex(), group_id, *pair)

    copy_rows("stage_memberships", rows())
    copy_rows("walked_groups", ((group_id,) for group_id in groups if group_id not in gone))
    deduplicate("stage_memberships")
    fetched.vanished_groups = len(gone)
    fetched.walked.append("memberships")


def direct_memberships(members: list[MemberRecord]) -> Iterator[tuple[str, int]]:
    """Direct members only: what follows from a nested group is worked out here when asked."""
    for member in members:
        if member.direct:
            member_id = _id(member.user_id or member.member_group_id)
            yield member_id, 0 if member.user_id else 1


def _watched(walk: PageIterator[Any], progress: ProgressCallback) -> Iterator[list[Any]]:
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
            yield (number, new_id_hex(), *staged(row))


def _id(text: str) -> str:
    """Raises `UpstreamInvalidResponse` for an id that no column can hold."""
    if len(text) > LONGEST_ID:
        raise UpstreamInvalidResponse(
            f"ScaiKey gives an id of {len(text)} characters, {text[:20]}…. Nothing was changed.",
            fix="Report this to who runs ScaiKey: its ids have had about 20 characters so far.",
        )
    return text


def _limit(number: int | None) -> int | None:
    """-1 and what is beyond the column are ways to write that there is no limit."""
    return number if number is not None and 0 <= number <= LARGEST_LIMIT else None


def _partner(row: PartnerRecord) -> tuple[Any, ...]:
    return (
        _id(row.id),
        row.name or row.slug or row.id,
        row.slug[:LONGEST_SLUG],
        _status(row),
        row.contact_email,
        _limit(row.max_tenants),
        _limit(row.max_users_per_tenant),
        _limit(row.max_applications_per_tenant),
    )


def _tenant(row: ScaiKeyTenantRecord) -> tuple[Any, ...]:
    return (
        _id(row.id),
        row.name or row.slug or row.id,
        (row.slug or row.id)[:LONGEST_SLUG],
        _status(row),
        row.contact_email,
        row.partner_id or None,
        None,
        0,
    )


def _user(row: UserRecord) -> tuple[Any, ...]:
    return (
        _id(row.id),
        row.tenant_id,
        display_name(row),
        row.email[:LONGEST_EMAIL],
        row.avatar_url,
        _status(row),
        None if row.roles is None else msgspec.json.encode(row.roles).decode(),
    )


def _group(row: GroupRecord) -> tuple[Any, ...]:
    return (
        _id(row.id),
        row.tenant_id,
        (row.name or row.id)[:LONGEST_NAME],
        row.group_type[:LONGEST_WORD],
    )


def _status(row: BaseRecord) -> str | None:
    """None if ScaiKey tells none; one that is cut is still no known one, and so not active."""
    return row.status[:LONGEST_WORD] or None


def display_name(row: UserRecord) -> str:
    """What people call themselves, or the nearest thing that ScaiKey tells."""
    full = f"{row.first_name} {row.last_name}".strip()
    return (row.display_name or full or row.email.partition("@")[0])[:LONGEST_NAME]


_STAGED: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "partners": _partner,
    "tenants": _tenant,
    "participants": _user,
    "groups": _group,
}

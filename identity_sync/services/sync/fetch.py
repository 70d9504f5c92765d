"""Fetch: read the lists that our credentials reach, and stage them. Nothing is decided here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from identity_sync.errors import IncompleteListing, UnusableRecords
from identity_sync.services.sync.scope import GONE_STATUSES, SyncScope
from identity_sync.services.sync.staging import copy_rows, deduplicate, execute, select, uuid_param
from scaiwave.clients.scaikey.client import MemberList, ScaiKeyClient
from scaiwave.clients.scaikey.decoding import UnusableRecord
from scaiwave.clients.scaikey.pagination import PageIterator
from scaiwave.clients.scaikey.schemas import (
    BaseRecord,
    GroupRecord,
    MemberRecord,
    PartnerRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.console.progress import ProgressCallback, ProgressFactory
from scaiwave.errors import UpstreamForbidden
from scaiwave.ids import new_id_hex
from tenants.models import Partner, Tenant
from tenants.models.directory import MAX_EMAIL_CHARS, MAX_NAME_CHARS

# What the other columns hold, in characters; and the largest value of PostgreSQL's integer.
MAX_LABEL_CHARS = 1000
MAX_WORD_CHARS = 200
MAX_INTEGER = 2**31 - 1

MAX_NAMED = 5
"""Things that a warning names one by one."""

MAX_UNUSABLE = 20
MAX_UNUSABLE_SHARE = 0.01
"""More unusable records of one list than both say that the answer is not what it should be."""

COLLECTIONS = {
    "partners": "partners",
    "tenants": "tenants",
    "participants": "users",
    "groups": "groups",
}


@dataclass
class FetchResult:
    """What reading the lists was like.

    `walked` are the kinds whose lists were read, `inconsistent` those whose list changed while it
    was read, `unusable` the records that can't be used, by kind. `repeated_members` and
    `partial_groups` are about the lists of members, `odd_roles` can't be slugs.
    """

    walked: list[str] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)
    unusable: dict[str, list[UnusableRecord]] = field(default_factory=dict)
    vanished_groups: int = 0
    repeated_members: int = 0
    odd_roles: list[str] = field(default_factory=list)

    def warnings(self) -> list[str]:
        warnings = [
            f"ScaiKey's list of {COLLECTIONS[kind]} changed while it was read."
            for kind in self.inconsistent
        ]
        for kind, records in self.unusable.items():
            examples = [f"{record.place} ({record.reason})" for record in records[:MAX_NAMED]]
            warnings.append(
                f"Skipped {len(records):,} unusable records of {kind}; what is here of them stays "
                f"as it is: {_join_examples(examples, len(records))}."
            )
        if self.vanished_groups:
            warnings.append(
                f"{self.vanished_groups:,} groups vanished while their members were read; the next "
                "run looks again."
            )
        if self.repeated_members:
            warnings.append(
                f"ScaiKey listed {self.repeated_members:,} group members more than once."
            )
        if self.odd_roles:
            roles = _join_examples(list(map(repr, self.odd_roles[:MAX_NAMED])), len(self.odd_roles))
            warnings.append(f"Roles whose names can't be slugs are not granted: {roles}.")
        return warnings


def stage_all(
    client: ScaiKeyClient, scope: SyncScope, *, fetched: FetchResult, bars: ProgressFactory
) -> None:
    """Read everything within the scope into the temporary tables.

    Raises what the client raises, `IncompleteListing`, `UnusableRecords` and, for the one tenant of
    a run, `TenantGone`.
    """
    _stage_scope(scope)
    if scope.tenant_only:
        stage_records("tenants", [scope.fetch_tenant(client)])
    else:
        _stage_partners(client, scope, fetched=fetched, bars=bars)
        with bars("Tenants") as progress:
            stage_collection(client, "tenants", fetched=fetched, progress=progress)
    for kind, title in (("participants", "People"), ("groups", "Groups")):
        with bars(title) as progress:
            stage_collection(client, kind, fetched=fetched, progress=progress, params=scope.params)
    with bars("Group members") as progress:
        stage_members(client, fetched=fetched, progress=progress)
    for kind, records in fetched.unusable.items():
        rows = ((kind, record.id, record.reason) for record in records if record.id)
        copy_rows("unusable_records", rows)


def _stage_scope(scope: SyncScope) -> None:
    """The linked tenants within reach: what is not in one of them is never called absent."""
    tenants = Tenant.objects.exclude(scaikey_tenant_id=None)
    if scope.tenant_only or scope.name == "TENANT":
        tenants = tenants.filter(scaikey_tenant_id=scope.tenant_id)
    elif scope.name == "PARTNER":
        tenants = tenants.filter(partner__scaikey_id=scope.partner_id)
    copy_rows("scope_tenants", ((uuid_param(pk),) for pk in tenants.values_list("pk", flat=True)))


def _stage_partners(
    client: ScaiKeyClient, scope: SyncScope, *, fetched: FetchResult, bars: ProgressFactory
) -> None:
    if scope.name == "GLOBAL":
        with bars("Partners") as progress:
            stage_collection(client, "partners", fetched=fetched, progress=progress)
    elif scope.partner_id:
        stage_records("partners", _fetch_own_partner(client, scope.partner_id))


def _fetch_own_partner(client: ScaiKeyClient, partner_id: str) -> list[PartnerRecord]:
    """Our one partner, which only a wider scope may list; its id is enough to hang tenants on."""
    try:
        record = client.get_partner(partner_id)
    except UpstreamForbidden:
        known = Partner.objects.filter(scaikey_id=partner_id).exists()
        record = None if known else PartnerRecord(id=partner_id)
    return [record] if record else []


def stage_collection(
    client: ScaiKeyClient,
    kind: str,
    *,
    fetched: FetchResult,
    progress: ProgressCallback,
    params: dict[str, str] | None = None,
) -> None:
    """Read one list into its table. Raises `IncompleteListing` when it ends early twice."""
    table = f"stage_{kind}"
    walk = _load_list(client, kind, progress, params)
    if walk.truncated:
        execute(f"DELETE FROM {table}")
        walk = _load_list(client, kind, progress, params)
    if walk.truncated:
        raise IncompleteListing(
            f"ScaiKey reports {walk.reported_total:,} {COLLECTIONS[kind]} and returned "
            f"{walk.rows:,}. No changes were made.",
            fix="Run the same command again later; if it fails again, ask ScaiKey's operators.",
        )
    _keep_unusable(fetched, kind, walk.unusable, walk.rows)
    repeated = deduplicate(table)
    fetched.walked.append(kind)
    if repeated or not walk.totals_agree:
        fetched.inconsistent.append(kind)


def _load_list(
    client: ScaiKeyClient, kind: str, progress: ProgressCallback, params: dict[str, str] | None
) -> PageIterator[Any]:
    walk = client.walk(COLLECTIONS[kind], params=params)

    def report_pages() -> Iterator[list[Any]]:
        for page in walk:
            progress(walk.rows, walk.reported_total)
            yield page

    with closing(walk):
        copy_rows(f"stage_{kind}", _number_rows(report_pages(), kind))
    return walk


def _keep_unusable(
    fetched: FetchResult, kind: str, records: list[UnusableRecord], total: int
) -> None:
    if not records:
        return
    if len(records) > MAX_UNUSABLE and len(records) > MAX_UNUSABLE_SHARE * total:
        first = records[0]
        raise UnusableRecords(
            f"{len(records):,} of ScaiKey's {total:,} {kind} can't be used, the first is "
            f"{first.place}: {first.reason}. No changes were made.",
            fix="Check that SCAIWAVE_SCAIKEY_URL is ScaiKey's address; if it is, report this "
            "to its operators.",
        )
    fetched.unusable[kind] = fetched.unusable.get(kind, []) + records


def stage_records(kind: str, records: Iterable[Any]) -> None:
    """Stage records that were fetched one by one."""
    copy_rows(f"stage_{kind}", _number_rows([list(records)], kind))
    deduplicate(f"stage_{kind}")


def restage_records(kind: str, records: list[BaseRecord]) -> int:
    """Put the answers of look-ups in the place of what a list said of the same ids; returns the
    number of the last row before them."""
    table = f"stage_{kind}"
    last = int(select(f"SELECT COALESCE(max(n), 0) FROM {table}")[0][0])
    copy_rows(table, _number_rows([records], kind, start=last))
    return last


def stage_members(
    client: ScaiKeyClient, *, fetched: FetchResult, progress: ProgressCallback
) -> None:
    """Read the members of every staged group: by SCIM, where the credentials allow that, since one
    document has a group with its members and so is one moment; else by the group's list."""
    reader = _MemberReader(client, fetched, progress)
    copy_rows("stage_memberships", reader.read_by_scim())
    if reader.documents and _are_members_unknown():
        # Ids that mean nothing here say that SCIM's are not those of the admin API.
        execute("DELETE FROM stage_memberships")
        reader.documents.clear()
    copy_rows("stage_memberships", reader.read_lists())
    copy_rows("walked_groups", reader.read_groups())
    _keep_unusable(fetched, "memberships", reader.unusable, reader.total + len(reader.unusable))
    deduplicate("stage_memberships")
    fetched.walked.append("memberships")


MIN_GROUPS_FOR_SCIM = 2
"""For a tenant with fewer, SCIM saves no request."""


class _MemberReader:
    """Reads the members of the staged groups, and keeps of which groups it has them."""

    def __init__(
        self, client: ScaiKeyClient, fetched: FetchResult, progress: ProgressCallback
    ) -> None:
        self.client, self.fetched, self.progress = client, fetched, progress
        rows = select("SELECT scaikey_id, tenant_scaikey_id FROM stage_groups ORDER BY n")
        self.tenants: dict[str, str] = dict(rows)
        self.documents: set[str] = set()
        self.lists: set[str] = set()
        self.unusable: list[UnusableRecord] = []
        self.total = 0

    def read_by_scim(self) -> Iterator[tuple[Any, ...]]:
        counts = Counter(self.tenants.values())
        tenants = [tenant for tenant, number in counts.items() if number >= MIN_GROUPS_FOR_SCIM]
        with closing(self.client.iter_scim_groups(tenants)) as answers:
            for tenant_id, groups in answers:
                for group in groups or ():
                    if group.members is None or self.tenants.get(group.id) != tenant_id:
                        continue
                    self.documents.add(group.id)
                    self.progress(len(self.documents), len(self.tenants))
                    yield from self._number(group.id, group.members)

    def read_lists(self) -> Iterator[tuple[Any, ...]]:
        remaining = [group_id for group_id in self.tenants if group_id not in self.documents]
        with closing(self.client.iter_members(remaining)) as answers:
            for done, (group_id, members) in enumerate(answers, len(self.documents) + 1):
                self.progress(done, len(self.tenants))
                if members is None:
                    self.fetched.vanished_groups += 1
                    continue
                self.lists.add(group_id)
                self.fetched.repeated_members += members.repeated
                self.unusable.extend(_unusable_members(group_id, members))
                yield from self._number(group_id, members.records)

    def read_groups(self) -> Iterator[tuple[str, str]]:
        """The groups whose members were read, with the tenant where that was by SCIM."""
        for group_id in self.lists:
            yield group_id, ""
        for group_id in self.documents:
            yield group_id, self.tenants[group_id]

    def _number(self, group_id: str, members: list[MemberRecord]) -> Iterator[tuple[Any, ...]]:
        for pair in direct_memberships(members):
            self.total += 1
            yield (self.total, new_id_hex(), group_id, *pair)


def _are_members_unknown() -> bool:
    """Whether most of the first people in the documents are not in ScaiKey's list of people."""
    known, total = select(
        "SELECT count(p.n), count(*) FROM stage_memberships s "
        "LEFT JOIN stage_participants p ON p.scaikey_id = s.member_scaikey_id "
        "WHERE s.n <= 1000 AND s.is_group = 0"
    )[0]
    return int(known) * 2 < int(total)


def _unusable_members(group_id: str, members: MemberList) -> list[UnusableRecord]:
    # Which members they are can't be read, so that there is no id to leave alone: a group with one
    # of them loses nobody (its list is not whole).
    return [
        UnusableRecord("", f"a member of group {group_id}", "it can't be read")
        for _ in range(members.unusable)
    ]


def direct_memberships(members: list[MemberRecord]) -> Iterator[tuple[str, int]]:
    """Direct members only: what follows from a nested group is worked out here when asked."""
    for member in members:
        if member.direct:
            yield member.user_id or member.member_group_id, 0 if member.user_id else 1


def _number_rows(
    pages: Iterable[list[Any]], kind: str, *, start: int = 0
) -> Iterator[tuple[Any, ...]]:
    """Rows for the temporary table; a record that ScaiKey shows as deleted is not one of them."""
    build_row = _ROW_BUILDERS[kind]
    number = start
    for page in pages:
        for record in page:
            if record.status in GONE_STATUSES:
                continue
            number += 1
            yield (number, new_id_hex(), *build_row(record))


def _limit(number: int | None) -> int | None:
    """-1 and what is beyond the column are ways to write that there is no limit."""
    return number if number is not None and 0 <= number <= MAX_INTEGER else None


def _partner_row(record: PartnerRecord) -> tuple[Any, ...]:
    return (
        record.id,
        (record.name or record.slug or record.id)[:MAX_LABEL_CHARS],
        record.slug[:MAX_WORD_CHARS] or None,
        _status(record),
        record.contact_email[:MAX_LABEL_CHARS],
        _limit(record.max_tenants),
        _limit(record.max_users_per_tenant),
        _limit(record.max_applications_per_tenant),
    )


def _tenant_row(record: ScaiKeyTenantRecord) -> tuple[Any, ...]:
    return (
        record.id,
        (record.name or record.slug or record.id)[:MAX_LABEL_CHARS],
        record.slug[:MAX_WORD_CHARS] or None,
        _status(record),
        record.contact_email[:MAX_LABEL_CHARS],
        record.partner_id or None,
        None,
        0,
    )


def _participant_row(record: UserRecord) -> tuple[Any, ...]:
    return (
        record.id,
        record.tenant_id,
        display_name(record),
        record.email[:MAX_EMAIL_CHARS],
        record.avatar_url[:MAX_LABEL_CHARS],
        _status(record),
        None if record.roles is None else msgspec.json.encode(record.roles).decode(),
    )


def _group_row(record: GroupRecord) -> tuple[Any, ...]:
    return (
        record.id,
        record.tenant_id,
        (record.name or record.id)[:MAX_NAME_CHARS],
        record.group_type[:MAX_WORD_CHARS],
    )


def _status(record: BaseRecord) -> str | None:
    """The status, or None if ScaiKey sent none. One that is cut matches no known status and counts
    as not active."""
    return record.status[:MAX_WORD_CHARS] or None


def display_name(record: UserRecord) -> str:
    """The person's own display name, or the nearest thing that ScaiKey sent."""
    full = f"{record.first_name} {record.last_name}".strip()
    return (record.display_name or full or record.email.partition("@")[0])[:MAX_NAME_CHARS]


def _join_examples(examples: list[str], total: int) -> str:
    more = f" and {total - len(examples):,} more" if total > len(examples) else ""
    return ", ".join(examples) + more


_ROW_BUILDERS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "partners": _partner_row,
    "tenants": _tenant_row,
    "participants": _participant_row,
    "groups": _group_row,
}

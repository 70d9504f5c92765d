"""Fetch the lists within the scope of this server's credentials, and stage them.

The scope is every row that the credentials can read, so that a sync may deactivate it. Nothing is
decided here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from django.conf import settings

from identity_sync.errors import IncompleteListing, ListsUnreadable, TenantErased, UnusableRecords
from identity_sync.reasons import Reason
from identity_sync.sync.fetch.kinds import count_present
from identity_sync.sync.fetch.records import number_rows
from identity_sync.sync.fetch.scope import ScaiKeySource, SyncScope
from identity_sync.sync.staging import StagedRow, analyze, copy_rows, deduplicate
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.decoding import UnusableRecord
from scaiwave.clients.scaikey.pagination import PageIterator
from scaiwave.clients.scaikey.results import UnreadableList
from scaiwave.clients.scaikey.schemas import BaseRecord, MemberRecord, PartnerRecord
from scaiwave.console.progress import ProgressCallback
from scaiwave.console.text import join_examples, pluralize
from scaiwave.core.errors import ScaiWaveError, UpstreamError, UpstreamForbidden
from scaiwave.core.sql import execute, fetch, fetch_column, fetch_number, uuid_param
from tenants.models import Partner, Tenant, TenantErasure
from tenants.models.erasure import hash_scaikey_id

MAX_DETAIL_CHARS = 255
"""The longest cause that is stored."""

MAX_NAMED = 5
"""Examples that a warning names."""

MAX_UNUSABLE = 20
MAX_UNUSABLE_SHARE = 0.01
"""More unusable records in a list than both of these mean that the response itself is wrong."""

MIN_PARTS = 2
"""With one part, it would be the whole list again."""
MIN_UNREADABLE = 3
MIN_GROUPS_FOR_SCIM = 2
"""For a tenant with fewer groups, SCIM saves no request."""

COLLECTIONS = {
    "partners": "partners",
    "tenants": "tenants",
    "participants": "users",
    "groups": "groups",
}

Record = tuple[str, str]
"""A kind (partners, tenants, participants, groups) and a ScaiKey ID."""


@dataclass
class Fetched:
    """What a run has read of ScaiKey, and the problems that occurred; the records are in tables.

    `kinds` were fetched; `present` counts the rows of each before the run. `inconsistent` has the
    kinds whose list changed while it was read, `unusable` the records that can't be used, by kind.
    `removed_groups` counts groups that ScaiKey lists, and does not know when their members are
    read, `repeated_members` the members that were listed more than once. `unreadable` has the
    errors of lists that can't be read, by kind and ScaiKey ID: the members of a group, the people
    or groups of a tenant, or the tenants of a partner. `read_in_parts` has the errors of whole
    lists that were read in parts, by kind. `erased` has the erasures of tenants that were left
    out. Of announced records: `new_tenants` were not present here before, and `undecided` has the
    reason for each record about which the look-up proved nothing.
    """

    scope: SyncScope
    kinds: list[str] = field(default_factory=list)
    present: dict[str, int] = field(default_factory=dict)
    inconsistent: list[str] = field(default_factory=list)
    unusable: dict[str, list[UnusableRecord]] = field(default_factory=dict)
    removed_groups: int = 0
    repeated_members: int = 0
    unreadable: dict[tuple[str, str], ScaiWaveError] = field(default_factory=dict)
    read_in_parts: dict[str, UpstreamError] = field(default_factory=dict)
    erased: list[TenantErasure] = field(default_factory=list)
    new_tenants: set[str] = field(default_factory=set)
    undecided: dict[Record, str] = field(default_factory=dict)

    def iter_warnings(self) -> Iterator[str]:
        for kind in self.inconsistent:
            yield f"ScaiKey's list of {COLLECTIONS[kind]} changed while it was read."
        yield from map(describe_erased, self.erased)
        for kind, error in self.read_in_parts.items():
            owner = "partner" if kind == "tenants" else "tenant"
            yield (
                f"ScaiKey does not return the whole list of {COLLECTIONS[kind]}, so it was read "
                f"{owner} by {owner}: {error.message.rstrip('.')}."
            )
        for kind, records in self.unusable.items():
            examples = [f"{record.place} ({record.reason})" for record in records[:MAX_NAMED]]
            yield (
                f"Skipped {pluralize(len(records), 'unusable record')} of {kind}; the local rows "
                f"are unchanged: {join_examples(examples, len(records))}."
            )
        if number := self.removed_groups:
            gone = f"{pluralize(number, 'group')} disappeared while the members were read"
            yield f"{gone}; the next run checks again."
        if number := self.repeated_members:
            yield f"ScaiKey listed {pluralize(number, 'group member')} more than once."


def fetch_lists(source: ScaiKeySource) -> Fetched:
    """Read everything within the scope into the temporary tables.

    Raises errors of the client, `IncompleteListing`, `UnusableRecords`, `ListsUnreadable` and, in
    a run for one tenant, `TenantGone`.
    """
    client, scope, fetched = source.client, source.scope, Fetched(source.scope)
    stage_off_tenants(removals=source.removals)
    max_unreadable_share = settings.CONFIG.get_fraction("SCAIWAVE_SYNC_UNREADABLE_SHARE")
    stage_scope(scope)
    kinds = ["participants", "groups"]
    if scope.tenant_only:
        stage_records("tenants", [scope.fetch_tenant(client)])
    elif scope.name == "GLOBAL":
        kinds = ["partners", "tenants", *kinds]
    else:
        kinds = ["tenants", *kinds]
        if scope.partner_id:
            stage_records("partners", fetch_own_partner(client, scope.partner_id))
    for kind in kinds:
        with source.progress("People" if kind == "participants" else kind.title()) as progress:
            _ListReader(source, fetched, kind, progress, max_unreadable_share).read()
    leave_out_erased(fetched, scope)
    with source.progress("Group members") as progress:
        stage_members(
            client, fetched=fetched, progress=progress, max_unreadable_share=max_unreadable_share
        )
    for kind, records in fetched.unusable.items():
        rows = ((kind, record.id, record.reason) for record in records if record.id)
        copy_rows("unusable_records", rows)
    fetched.present = count_present(fetched.kinds)
    return fetched


def stage_scope(scope: SyncScope) -> None:
    """Stage the linked tenants within the scope. Rows outside of them are never deactivated."""
    tenants = Tenant.objects.exclude(scaikey_tenant_id=None)
    if scope.tenant_only or scope.name == "TENANT":
        tenants = tenants.filter(scaikey_tenant_id=scope.tenant_id)
    elif scope.name == "PARTNER":
        tenants = tenants.filter(partner__scaikey_id=scope.partner_id)
    copy_rows("scope_tenants", ((uuid_param(pk),) for pk in tenants.values_list("pk", flat=True)))


def leave_out_erased(fetched: Fetched, scope: SyncScope) -> None:
    """Leave out tenants that were erased here, with their people and groups.

    One that was linked again since is not left out. Raises `TenantErased` if there is no other.
    """
    rows = list(TenantErasure.objects.all())
    if not rows:
        return
    erased = {row.scaikey_hash: row for row in rows}
    certified = [row for row in rows if not row.scaikey_hash]
    linked = set(Tenant.objects.values_list("scaikey_tenant_id", flat=True))
    staged = fetch_column("SELECT scaikey_id FROM stage_tenants")
    for key in staged:
        row = erased.get(hash_scaikey_id(key)) or next(
            (row for row in certified if row.is_certified_for(key)), None
        )
        if row is None or (row.finished_at is not None and key in linked):
            continue
        if scope.tenant_only or scope.name == "TENANT":
            raise TenantErased(describe_erased(row))
        fetched.erased.append(row)
        execute("DELETE FROM stage_tenants WHERE scaikey_id = %s", [key])
        for kind in ("participants", "groups"):
            execute(f"DELETE FROM stage_{kind} WHERE tenant_scaikey_id = %s", [key])


def describe_erased(row: TenantErasure) -> str:
    """Name no tenant: nothing of it is to be stored again."""
    ended = f"was erased on {row.finished_at:%Y-%m-%d}" if row.finished_at else "is being erased"
    return f"ScaiKey still has a tenant that {ended} (erasure {row.pk}). It is left out."


def fetch_own_partner(client: ScaiKeyClient, partner_id: str) -> list[PartnerRecord]:
    """Fetch this server's own partner, which only GLOBAL credentials may read in full.

    Its id is enough to add its tenants.
    """
    try:
        record = client.get_partner(partner_id)
    except UpstreamForbidden:
        exists = Partner.objects.filter(scaikey_id=partner_id).exists()
        record = None if exists else PartnerRecord(id=partner_id)
    return [record] if record else []


@dataclass
class _ListReader:
    """Reads a list into its table, or its parts if it can't be read as a whole.

    At most `max_share` of the parts may be unreadable, or fewer than MIN_UNREADABLE.
    """

    source: ScaiKeySource
    fetched: Fetched
    kind: str
    progress: ProgressCallback
    max_share: float

    def read(self) -> None:
        """Raises `IncompleteListing` if the list ends early twice."""
        kind, table = self.kind, f"stage_{self.kind}"
        try:
            pages = self._load()
            if pages.is_truncated:
                execute(f"DELETE FROM {table}")
                pages = self._load()
            self._ensure_complete(pages, outcome=" No changes were made.")
            read = [pages]
        except IncompleteListing:
            raise  # Records that a server omits may be missing from the parts too.
        except UpstreamError as error:
            # The tenants of each partner, or the rest of each tenant.
            owner = "partner" if kind == "tenants" else "tenant"
            keys = fetch_column(f"SELECT scaikey_id FROM stage_{owner}s ORDER BY n")
            if kind == "partners" or self.source.scope.tenant_only or len(keys) < MIN_PARTS:
                raise
            execute(f"DELETE FROM {table}")
            read = self._load_parts(f"{owner}_id", keys, error)
        unusable = [record for pages in read for record in pages.unusable]
        _add_unusable(self.fetched, kind, unusable, sum(pages.row_count for pages in read))
        repeated = deduplicate(table)
        self.fetched.kinds.append(kind)
        if repeated or not all(pages.totals_agree for pages in read):
            self.fetched.inconsistent.append(kind)

    def _load(self) -> PageIterator[BaseRecord]:
        source = self.source
        pages = source.client.iter_pages(COLLECTIONS[self.kind], params=source.scope.params)

        def iter_with_progress() -> Iterator[list[BaseRecord]]:
            for page in pages:
                self.progress(pages.row_count, pages.reported_total)
                yield page

        with closing(pages):
            copy_rows(f"stage_{self.kind}", number_rows(iter_with_progress(), self.kind))
        return pages

    def _ensure_complete(self, pages: PageIterator[BaseRecord], outcome: str = "") -> None:
        if pages.is_truncated:
            raise IncompleteListing(
                f"Incomplete list: ScaiKey reports {pages.reported_total:,} "
                f"{COLLECTIONS[self.kind]} but returned {pages.row_count:,}.{outcome}",
                fix=IncompleteListing.remedy,
            )

    def _load_parts(
        self, parameter: str, keys: list[str], error: UpstreamError
    ) -> list[PageIterator[BaseRecord]]:
        """Read the list in parts, selected by a query parameter with each of these IDs.

        No one in an unreadable part loses access. Raises the error of the whole list as soon as too
        many parts, or all, are unreadable.
        """
        kind = self.kind
        read: list[PageIterator[BaseRecord]] = []
        unreadable: dict[tuple[str, str], ScaiWaveError] = {}
        limit = min(max(MIN_UNREADABLE - 1, self.max_share * len(keys)), len(keys) - 1)

        def iter_records() -> Iterator[list[BaseRecord]]:
            parts = self.source.client.iter_parts(COLLECTIONS[kind], parameter, keys)
            with closing(parts):
                for number, (key, part) in enumerate(parts, 1):
                    self.progress(number, len(keys))
                    try:
                        if isinstance(part, UnreadableList):
                            raise part.error
                        self._ensure_complete(part.pages)
                    except ScaiWaveError as problem:
                        unreadable[kind, key] = problem
                        if len(unreadable) > limit:
                            raise error from None
                    else:
                        read.append(part.pages)
                        yield part.records

        copy_rows(f"stage_{kind}", number_rows(iter_records(), kind))
        self.fetched.read_in_parts[kind] = error
        stage_unreadable_tenants(kind, [key for _, key in unreadable])
        self.fetched.unreadable.update(unreadable)
        return read


def stage_unreadable_tenants(kind: str, keys: list[str]) -> None:
    """Keep all access in the tenants whose people, groups or own record can't be read.

    A tenant without a partner is in no part of the list of tenants.
    """
    owned = "t.scaikey_tenant_id = %s"
    if kind == "tenants":
        owned = "t.partner_id IN (SELECT pr.id FROM sw_partners pr WHERE pr.scaikey_id = %s)"
        is_unowned = "t.partner_id IS NULL AND t.scaikey_tenant_id IS NOT NULL"
        _turn_off(Reason.UNREADABLE_LIST, is_unowned)
    for key in keys:
        _turn_off(Reason.UNREADABLE_LIST, owned, key)


def _turn_off(reason: Reason, where: str, *params: str) -> None:
    execute(
        "INSERT INTO off_tenants (tenant_id, note) "
        f"SELECT t.id, %s FROM sw_tenants t WHERE {where}",
        [reason, *params],
    )


def _add_unusable(fetched: Fetched, kind: str, records: list[UnusableRecord], total: int) -> None:
    if not records:
        return
    if len(records) > MAX_UNUSABLE and len(records) > MAX_UNUSABLE_SHARE * total:
        first = records[0]
        raise UnusableRecords(
            f"Unusable records: {len(records):,} of ScaiKey's {total:,} {kind}, the first is "
            f"{first.place}: {first.reason}. No changes were made.",
            fix="Check that SCAIWAVE_SCAIKEY_URL is the address of ScaiKey; if it is, report the "
            "record to the operators of ScaiKey.",
        )
    fetched.unusable[kind] = fetched.unusable.get(kind, []) + records


def stage_records(kind: str, records: Iterable[BaseRecord]) -> None:
    """Stage records that were fetched one by one."""
    copy_rows(f"stage_{kind}", number_rows([records], kind))
    deduplicate(f"stage_{kind}")


def restage_records(kind: str, records: list[BaseRecord]) -> int:
    """Stage records that were looked up; return the number of the last row before them."""
    table = f"stage_{kind}"
    last = fetch_number(f"SELECT max(n) FROM {table}")
    copy_rows(table, number_rows([records], kind, start=last))
    return last


def stage_members(
    client: ScaiKeyClient,
    *,
    fetched: Fetched,
    progress: ProgressCallback,
    use_scim: bool = True,
    max_unreadable_share: float = 1.0,
) -> None:
    """Read the members of every staged group, by SCIM or else from the group's list of members.

    SCIM is preferred, if the credentials allow it: a document has all members of a group as of one
    moment. It reads all groups of a tenant, so a run for a few groups does without it.

    A group whose members can't be read is left out. Raises `ListsUnreadable` as soon as these are
    at least MIN_UNREADABLE, and more than this share of the groups.
    """
    reader = _MemberReader(client, fetched, progress, max_unreadable_share)
    if use_scim:
        copy_rows("stage_memberships", reader.read_by_scim())
    if reader.documents and _are_members_unknown():
        # SCIM then has other ids than the admin API.
        execute("DELETE FROM stage_memberships")
        reader.documents.clear()
    copy_rows("stage_memberships", reader.read_lists())
    copy_rows("fetched_groups", reader.list_groups())
    unreadable = fetched.unreadable.items()
    copy_rows(
        "unreadable_lists", ((*key, error.message[:MAX_DETAIL_CHARS]) for key, error in unreadable)
    )
    _add_unusable(fetched, "memberships", reader.unusable, reader.total + len(reader.unusable))
    deduplicate("stage_memberships")
    _map_fetched_groups()
    fetched.kinds.append("memberships")


def _map_fetched_groups() -> None:
    """Map the groups whose members were fetched to their rows.

    Deactivated groups are included, since they may return with their old edges. Rows in a tenant
    that the group has left are not.
    """
    analyze("fetched_groups")
    execute(
        """
        INSERT INTO fetched_group_rows (group_id, scaikey_id)
        SELECT g.id, fg.scaikey_id
        FROM fetched_groups fg JOIN stage_groups s_g ON s_g.scaikey_id = fg.scaikey_id
        JOIN sw_tenants t ON t.scaikey_tenant_id = s_g.tenant_scaikey_id
        JOIN sw_groups g ON g.scaikey_id = fg.scaikey_id AND g.tenant_id = t.id
        """
    )
    analyze("fetched_group_rows")


class _MemberReader:
    """Reads the members of the staged groups; `documents` and `lists` are groups read so far."""

    def __init__(
        self,
        client: ScaiKeyClient,
        fetched: Fetched,
        progress: ProgressCallback,
        max_unreadable_share: float,
    ) -> None:
        self.client, self.fetched, self.progress = client, fetched, progress
        rows = fetch("SELECT scaikey_id, tenant_scaikey_id FROM stage_groups ORDER BY n")
        self.tenants: dict[str, str] = dict(rows)
        self.max_unreadable = max(MIN_UNREADABLE - 1, max_unreadable_share * len(self.tenants))
        self.documents: set[str] = set()
        self.lists: set[str] = set()
        self.unreadable: dict[str, ScaiWaveError] = {}
        self.unusable: list[UnusableRecord] = []
        self.total = 0

    def read_by_scim(self) -> Iterator[StagedRow]:
        counts = Counter(self.tenants.values())
        tenants = [tenant for tenant, number in counts.items() if number >= MIN_GROUPS_FOR_SCIM]
        with closing(self.client.iter_scim_groups(tenants)) as responses:
            for tenant_id, groups in responses:
                for group in groups or ():
                    if group.people is None or self.tenants.get(group.id) != tenant_id:
                        continue
                    self.documents.add(group.id)
                    self.progress(len(self.documents), len(self.tenants))
                    yield from self._number(group.id, group.iter_memberships())

    def read_lists(self) -> Iterator[StagedRow]:
        remaining = [group_id for group_id in self.tenants if group_id not in self.documents]
        with closing(self.client.iter_members(remaining)) as responses:
            for number, (group_id, members) in enumerate(responses, len(self.documents) + 1):
                self.progress(number, len(self.tenants))
                if isinstance(members, UnreadableList):
                    self._leave_out(group_id, members.error)
                    continue
                if members is None:
                    self.fetched.removed_groups += 1
                    continue
                self.lists.add(group_id)
                self.fetched.repeated_members += members.repeated
                # Their IDs are unknown, so no row can be excluded. The group loses no one, because
                # its list is not complete.
                unusable = UnusableRecord("", f"a member of group {group_id}", "it can't be read")
                self.unusable += [unusable] * members.unusable
                yield from self._number(group_id, direct_memberships(members.records))

    def _leave_out(self, group_id: str, error: ScaiWaveError) -> None:
        unreadable = self.unreadable
        unreadable[group_id] = self.fetched.unreadable["memberships", group_id] = error
        if len(unreadable) <= self.max_unreadable:
            return
        if all(isinstance(each, UpstreamForbidden) for each in unreadable.values()):
            raise next(iter(unreadable.values()))  # The credentials lack a scope.
        raise ListsUnreadable(
            f"Groups whose members can't be read: {len(unreadable):,} of {len(self.tenants):,}. No "
            f"changes were made. The first error: {next(iter(unreadable.values())).message}"
        )

    def list_groups(self) -> Iterator[tuple[str, str]]:
        """Yield the groups whose members were read, with the tenant if that was by SCIM."""
        for group_id in self.lists:
            yield group_id, ""
        for group_id in self.documents:
            yield group_id, self.tenants[group_id]

    def _number(self, group_id: str, members: Iterator[tuple[str, int]]) -> Iterator[StagedRow]:
        for pair in members:
            self.total += 1
            yield (self.total, group_id, *pair)


def _are_members_unknown() -> bool:
    """Return whether most of the first people in the documents are not in the list of people."""
    known_count, total = fetch(
        "SELECT count(s_p.n), count(*) FROM stage_memberships s_e "
        "LEFT JOIN stage_participants s_p ON s_p.scaikey_id = s_e.member_scaikey_id "
        "WHERE s_e.n <= 1000 AND s_e.is_group = 0"
    )[0]
    return int(known_count) * 2 < int(total)


def direct_memberships(members: list[MemberRecord]) -> Iterator[tuple[str, int]]:
    """Yield the direct members as (ScaiKey id, 1 for a group); others follow from groups."""
    for member in members:
        if member.is_direct:
            yield member.user_id or member.member_group_id, 0 if member.user_id else 1


def stage_off_tenants(*, removals: bool) -> None:
    """Stage the tenants whose access is kept: those with that setting, or all without `removals`.

    A row without an ID stands for everything. Tenants with an unreadable list are added later.
    """
    if removals:
        _turn_off(Reason.OFF_FOR_TENANT, "NOT t.sync_removals")
    else:
        copy_rows("off_tenants", [(None, Reason.OFF_FOR_RUN)])
        _turn_off(Reason.OFF_FOR_RUN, "0 = 0")

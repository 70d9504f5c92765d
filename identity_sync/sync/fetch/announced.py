"""Stage single records, for a run that reads nothing else: what webhooks announce.

Each is looked up by its ID and staged as if it had been listed; the rest of the run is the
same as in a full sync. Records that a full sync would find in its lists are looked up as well: the
tenants of people and groups, the partners of tenants, tenants whose slug now belongs to another
one, and members of a group that are not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Self

from django.db.models import Q, QuerySet

from identity_sync.sync.fetch.kinds import count_present
from identity_sync.sync.fetch.lists import (
    COLLECTIONS,
    Fetched,
    Record,
    fetch_own_partner,
    leave_out_erased,
    restage_records,
    stage_members,
    stage_off_tenants,
    stage_records,
    stage_scope,
)
from identity_sync.sync.fetch.records import DELETED_STATUSES
from identity_sync.sync.fetch.scope import ScaiKeySource
from identity_sync.sync.rules import LookupBudget
from identity_sync.sync.staging import copy_rows
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.schemas import BaseRecord
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.sql import fetch_column
from tenants.models import Group, GroupMembership, Participant, Partner, Tenant

MAX_UNKNOWN_MEMBERS = 1000
"""Look-ups of unknown members in one run; the next full sync reads the rest."""


@dataclass(frozen=True)
class AnnouncedRecords:
    """Records that webhooks have announced, in order of arrival: a run looks up nothing else.

    `deleted` are the ones whose deletion was announced: they may exist again, without the groups
    that they had.
    """

    named: tuple[Record, ...]
    deleted: frozenset[Record] = frozenset()

    @classmethod
    def from_pairs(cls, pairs: Iterable[Record], deleted: Iterable[Record] = ()) -> Self:
        return cls(tuple(dict.fromkeys(pairs)), frozenset(deleted))

    def list_ids(self, kind: str) -> list[str]:
        return [scaikey_id for each, scaikey_id in self.named if each == kind]


def fetch_announced(source: ScaiKeySource, announced: AnnouncedRecords) -> Fetched:
    """Look up the announced records, and stage the existing ones.

    Raises `UpstreamUnauthorized`, and the errors of `stage_members`.
    """
    scope = replace(source.scope, announced_only=True)
    client, fetched = source.client, Fetched(scope)
    stage_off_tenants(removals=source.removals)
    stage_scope(scope)
    reader = _AnnouncedReader(client, announced, fetched)
    reader.read()
    for kind, records in reader.records.items():
        stage_records(kind, records.values())
        if kind != "partners" or scope.name == "GLOBAL":
            fetched.kinds.append(kind)
    leave_out_erased(fetched, scope)
    positions = {record: position for position, record in enumerate(announced.named)}
    looked_up = ((kind, key) for kind, keys in reader.looked_up.items() for key in keys)
    copy_rows("announced", ((*record, positions.get(record)) for record in looked_up))
    with null_progress_factory("Group members") as progress:
        stage_members(client, fetched=fetched, progress=progress, use_scim=False)
    for (_, group_id), error in fetched.unreadable.items():
        fetched.undecided["groups", group_id] = error.message
    _stage_unknown_members(client)
    fetched.present = count_present(fetched.kinds)
    return fetched


class _AnnouncedReader:
    """Looks up announced records and the ones on which they depend, each once."""

    def __init__(
        self, client: ScaiKeyClient, announced: AnnouncedRecords, fetched: Fetched
    ) -> None:
        self.client, self.announced, self.fetched = client, announced, fetched
        self.records: dict[str, dict[str, Any]] = {kind: {} for kind in COLLECTIONS}
        self.looked_up: dict[str, set[str]] = {kind: set() for kind in COLLECTIONS}

    def read(self) -> None:
        ids = self.announced.list_ids
        self._look_up("participants", ids("participants"))
        self._look_up("groups", ids("groups"))
        self._look_up("groups", self._find_former_groups())
        self._look_up("tenants", ids("tenants"))
        self._look_up_partners(ids("partners"))
        while self._read_dependencies():
            pass
        fetched = set(self.records["tenants"])
        known = Tenant.objects.filter(absent_since=None, scaikey_tenant_id__in=fetched)
        self.fetched.new_tenants |= fetched - _list_tenant_ids(known)
        # People and groups are unproven if the look-up of their tenant proved nothing.
        for kind in ("participants", "groups"):
            for key, record in self.records[kind].items():
                if reason := self.fetched.undecided.get(("tenants", record.tenant_id)):
                    self.fetched.undecided[kind, key] = reason

    def _look_up(self, kind: str, ids: Iterable[str]) -> int:
        """Look up the IDs that were not looked up before, and return their number."""
        new = sorted({key for key in ids if key} - self.looked_up[kind])
        self.looked_up[kind].update(new)
        with closing(self.client.look_up_all(COLLECTIONS[kind], new)) as lookups:
            for key, lookup in lookups:
                if lookup.record is not None:
                    if lookup.record.status not in DELETED_STATUSES:
                        self.records[kind][key] = lookup.record
                elif not lookup.is_missing:
                    self.fetched.undecided[kind, key] = lookup.reason
        return len(new)

    def _look_up_partners(self, ids: Iterable[str]) -> int:
        """Look up partners; credentials with a narrower scope can read at most their own."""
        scope = self.fetched.scope
        if scope.name == "GLOBAL":
            return self._look_up("partners", ids)
        new = {scope.partner_id}.intersection(ids) - self.looked_up["partners"] - {""}
        self.looked_up["partners"] |= new
        for key in new:
            for record in fetch_own_partner(self.client, key):
                self.records["partners"][record.id] = record
        return len(new)

    def _read_dependencies(self) -> int:
        """Look up the records on which those read so far depend; return how many were new."""
        dependents = (*self.records["participants"].values(), *self.records["groups"].values())
        tenants = self.records["tenants"]
        partner_ids = {tenant.partner_id for tenant in tenants.values()} - {""}
        known = Partner.objects.filter(scaikey_id__in=partner_ids, absent_since=None)
        partner_ids -= set(known.values_list("scaikey_id", flat=True))
        count = self._look_up("tenants", {record.tenant_id for record in dependents})
        # Both may have changed: a tenant, and a local one whose slug it has in ScaiKey.
        slugs = {tenant.slug for tenant in self.records["tenants"].values()} - {""}
        local = Tenant.objects.filter(slug__in=slugs)
        count += self._look_up("tenants", _list_tenant_ids(local))
        missing = self.looked_up["partners"] - self.records["partners"].keys()
        missing -= {key for kind, key in self.fetched.undecided if kind == "partners"}
        orphans = Tenant.objects.filter(partner__scaikey_id__in=missing, absent_since=None)
        count += self._look_up("tenants", _list_tenant_ids(orphans))
        return count + self._look_up_partners(partner_ids)

    def _find_former_groups(self) -> set[str]:
        """Return the groups of returning people and groups: they may be members, or no longer."""
        deleted = {key for _, key in self.announced.deleted}
        is_back = Q(absent_since__isnull=False) | Q(scaikey_id__in=deleted)
        people = Participant.objects.filter(
            is_back, scaikey_id__in=self.records["participants"].keys()
        )
        children = Group.objects.filter(is_back, scaikey_id__in=self.records["groups"].keys())
        edges = GroupMembership.objects.filter(
            Q(member_participant__in=people) | Q(member_group__in=children),
            group__absent_since=None,
        )
        keys = edges.exclude(group__scaikey_id=None).values_list("group__scaikey_id", flat=True)
        return {str(key) for key in keys}


def _list_tenant_ids(tenants: QuerySet[Tenant]) -> set[str]:
    linked = tenants.exclude(scaikey_tenant_id=None)
    return {str(key) for key in linked.values_list("scaikey_tenant_id", flat=True)}


_UNKNOWN_MEMBERS = """
    SELECT DISTINCT s_e.member_scaikey_id FROM stage_memberships s_e
    WHERE s_e.is_group = %s AND NOT EXISTS (
        SELECT 1 FROM {local} p
        WHERE p.scaikey_id = s_e.member_scaikey_id AND p.absent_since IS NULL)
      AND NOT EXISTS (SELECT 1 FROM {staged} s WHERE s.scaikey_id = s_e.member_scaikey_id)
"""


def _stage_unknown_members(client: ScaiKeyClient) -> None:
    """Stage members that are not present here, if their tenant is staged.

    Their own event may be late, or lost.
    """
    tenants = set(fetch_column("SELECT scaikey_id FROM stage_tenants"))
    budget = LookupBudget(MAX_UNKNOWN_MEMBERS)
    for is_group, kind in ((0, "participants"), (1, "groups")):
        sql = _UNKNOWN_MEMBERS.format(local=f"sw_{kind}", staged=f"stage_{kind}")
        ids = fetch_column(sql, [is_group])
        records: list[BaseRecord] = []
        with closing(client.look_up_all(COLLECTIONS[kind], budget.limit(ids))) as lookups:
            for _, lookup in lookups:
                if lookup.record is not None and lookup.record.tenant_id in tenants:
                    records.append(lookup.record)
        restage_records(kind, records)

"""Confirm losses of access: a list alone is never enough to take access away.

Records move between pages while a list is read, replicas disagree, and ScaiKey documents no order.
So a record that a list omits, or shows with less access, is only a claim. One look-up by id decides
it, and the record that is found is staged as if it had been listed. ScaiKey's own 404 with a JSON
body, or a status that means deleted, confirms the removal. Any other response without a record
(another 404, a redirect, a 403, an unreadable body) proves nothing: the local row stays unchanged
and the loss is postponed.

The removal limit is applied to the claims first. Over the limit a sample is looked up. If part of
the sample exists, the list is inconsistent and removals of this kind stop. If all of it is lost,
the rest is assumed to be lost as well, without look-ups: these removals wait for a decision. Claims
with a pending removal are assumed too; approved ones are looked up before all others.

`claims` reads and writes the claims, `decisions` the ones that an operator has decided.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from identity_sync.reasons import Reason
from identity_sync.sync.confirm import claims
from identity_sync.sync.confirm.claims import Claim
from identity_sync.sync.confirm.decisions import match_claims, match_role_claims
from identity_sync.sync.fetch.kinds import (
    ENTITIES,
    ENTITY_OF_KIND,
    MEMBERSHIPS,
    PARTICIPANTS,
    count_rows,
)
from identity_sync.sync.fetch.lists import COLLECTIONS, MAX_DETAIL_CHARS, MAX_NAMED, Fetched
from identity_sync.sync.fetch.records import DELETED_STATUSES, has_role_data, stage_roles
from identity_sync.sync.fetch.scope import ScaiKeySource
from identity_sync.sync.rules import LookupBudget, RemovalLimit
from identity_sync.sync.staging import BATCH, copy_rows
from identity_sync.sync.states import ClaimState
from scaiwave.clients.scaikey.results import Lookup
from scaiwave.clients.scaikey.schemas import BaseRecord, TenantScopedRecord
from scaiwave.console.text import join_examples, pluralize
from scaiwave.core.sql import batched, execute, fetch, fetch_number
from tenants.models import Tenant

SAMPLE_SIZE = 30
"""Claims that are looked up when there are more than the removal limit. If a tenth of them is
wrong, such a sample shows it 19 times in 20."""

MAX_CONTROLS = 8
"""Records that are tried before 404s count as a server without look-ups."""


@dataclass
class Confirmer:
    """Decides the claims of one run. `limit` is the removal limit; `budget` limits the look-ups.

    `now` is the time at which approvals and keeps must be valid, and `unproven` the reason for
    claims about which a sample proves nothing. `inconsistent` gets the kinds whose removals stop.
    `controls` records by kind whether ScaiKey returns records by their ID, `tenants` by ScaiKey ID
    whether a tenant exists here or there.
    """

    source: ScaiKeySource
    limit: RemovalLimit
    budget: LookupBudget
    now: datetime
    inconsistent: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    roles_are_staged: bool = False
    controls: dict[str, bool] = field(default_factory=dict)
    tenants: dict[str, bool] = field(default_factory=dict)
    unproven: ClassVar[Reason] = Reason.NOTHING_PROVEN
    label: ClassVar[str] = "Looking up {}"
    batch_size: ClassVar[int] = BATCH

    def confirm(self, fetched: Fetched) -> None:
        """Decide every claim of the kinds that were fetched. Raises `UpstreamUnauthorized`."""
        only_kept = self.limit.allowed is not None
        for entity in ENTITIES:
            if entity.kind in fetched.kinds:
                claims.find_claims(entity, self.source.scope)
                claims.settle_lost_tenants(entity)
                if claims.measure_open(entity.kind):
                    match_claims(entity.kind, now=self.now, only_kept=only_kept)
                    self._decide(entity.kind, fetched.present[entity.kind])
                self._warn(entity.kind)
        if not has_role_data():
            return
        if invalid := stage_roles():
            roles = join_examples(list(map(repr, invalid[:MAX_NAMED])), len(invalid))
            self.warnings.insert(
                0,
                "Roles whose names can't be slugs, or look like a built-in role, were not granted: "
                f"{roles}.",
            )
        self.roles_are_staged = True
        claims.unstage_undecided_roles()
        claims.find_role_claims()
        if claims.measure_open(PARTICIPANTS.kind):
            # Claims about roles are counted in grants, not in people.
            match_role_claims(now=self.now, only_kept=only_kept)
            sql = "SELECT count(*) FROM sw_role_grants WHERE source = 'scaikey'"
            self._decide(PARTICIPANTS.kind, fetch_number(sql), measure="sum(role_losses)")
            claims.unstage_undecided_roles()
            self._warn(PARTICIPANTS.kind)

    def _decide(self, kind: str, present: int, *, measure: str = "count(*)") -> None:
        """Decide the open claims of a kind. A run for single records looks up each record."""
        for ids in batched(claims.list_approved(kind, self.now), self.batch_size):
            self._look_up(kind, ids, LookupBudget())
        if kind == MEMBERSHIPS or not self.source.scope.announced_only:
            self._apply_limit(kind, present, measure=measure)
        total = claims.measure_open(kind, "count(DISTINCT scaikey_id)")
        decided = 0
        with self.source.progress(self.label.format(kind)) as progress:
            for ids in claims.iter_open(kind, self.batch_size):
                if not self._look_up(kind, ids):
                    break
                decided += len(ids)
                progress(min(decided, total), total)
        claims.close_open(kind, ClaimState.POSTPONED, Reason.BUDGET_SPENT)

    def _apply_limit(self, kind: str, present: int, *, measure: str = "count(*)") -> None:
        """Look up a sample where the claims exceed the removal limit, in total or in one tenant."""
        claimed = claims.measure_open(kind, measure)
        # Who is suspended manually has lost access before.
        if self.limit.allows(claimed - claims.count_suspended_manually(kind)):
            return
        if self.limit.is_exceeded(claimed, present):
            if self._is_confirmed_by_sample(kind, ""):
                claims.let_wait(kind, "")
            return
        if self.source.scope.tenant_only or self.limit.allowed is not None:
            # --allow-removals lifts the budget, so that every claim is looked up.
            return
        for tenant_id, number in claims.measure_open_by_tenant(
            kind, measure, more_than=self.limit.limit
        ):
            if self.limit.is_exceeded(number, count_rows(kind, tenant_id)):
                if not self._is_confirmed_by_sample(kind, tenant_id):
                    return
                claims.let_wait(kind, tenant_id)

    def _is_confirmed_by_sample(self, kind: str, tenant_id: str) -> bool:
        """Look up a sample of the claims, and return whether only removals were confirmed.

        Otherwise all open claims are decided: as inconsistent if a record still exists, and as
        postponed if nothing is proven.
        """
        ids = claims.draw_sample(kind, limit=SAMPLE_SIZE, tenant_id=tenant_id)
        self._look_up(kind, ids)
        states = claims.count_states(kind, ids)
        if states.get(ClaimState.CONFIRMED) and not states.get(ClaimState.REFUTED):
            return True
        if not states.get(ClaimState.REFUTED):
            claims.close_open(kind, ClaimState.POSTPONED, self.unproven)
        elif claims.close_open(kind, ClaimState.INCONSISTENT, Reason.INCONSISTENT):
            self.inconsistent.append(kind)
        return False

    def _look_up(self, kind: str, ids: list[str], budget: LookupBudget | None = None) -> bool:
        """Look up ids and decide their claims; return False if the budget did not suffice."""
        records: list[BaseRecord] = []
        results: list[tuple[str, str, str, str, str]] = []
        by_id = claims.load_claims(kind, ids)
        lookups = self.source.client.look_up_all(
            COLLECTIONS[kind], (budget or self.budget).limit(ids)
        )
        with closing(lookups):
            for record_id, lookup in lookups:
                state, code = self._assess(kind, lookup, by_id[record_id])
                if state is ClaimState.REFUTED:
                    records.append(lookup.record)
                detail = lookup.reason
                if code == Reason.MOVED and isinstance(lookup.record, TenantScopedRecord):
                    detail = lookup.record.tenant_id
                results.append((kind, record_id, state, code, detail[:MAX_DETAIL_CHARS]))
        execute("DELETE FROM lookups")
        copy_rows("lookups", results)
        claims.apply_lookups(kind, records, with_roles=self.roles_are_staged)
        return len(results) == len(ids)

    def _assess(self, kind: str, lookup: Lookup, claim: Claim) -> tuple[ClaimState, str]:
        """Return what a response proves about a claim, and the reason."""
        is_outside = (
            lookup.is_forbidden and kind == "tenants" and self.source.scope.name != "GLOBAL"
        )
        if not lookup.is_missing:
            if lookup.record is not None:
                return self._assess_record(lookup.record, claim)
            if not is_outside:
                return ClaimState.POSTPONED, Reason.LOOKUP_FAILED
        if not claim.is_absent:
            return ClaimState.POSTPONED, Reason.LISTED
        if claim.has_lost_parent or self._has_control(kind):
            return (
                ClaimState.CONFIRMED,
                Reason.REMOVED if lookup.is_missing else Reason.OUT_OF_SCOPE,
            )
        return ClaimState.POSTPONED, Reason.NO_CONTROL

    def _assess_record(self, record: BaseRecord, claim: Claim) -> tuple[ClaimState, str]:
        if record.status in DELETED_STATUSES:
            return ClaimState.CONFIRMED, Reason.REMOVED
        if isinstance(record, TenantScopedRecord):
            _complete_tenant(record, claim.tenant_scaikey_id)
            if not self._is_known_tenant(record.tenant_id):
                return ClaimState.POSTPONED, Reason.UNKNOWN_TENANT
            if self.source.scope.tenant_only and record.tenant_id != self.source.scope.tenant_id:
                return ClaimState.CONFIRMED, Reason.MOVED
        return ClaimState.REFUTED, ""

    def _has_control(self, kind: str) -> bool:
        """Return whether ScaiKey returns records by their ID at all.

        A server or gateway without that route responds to every ID as if the record were missing.
        One record of the same kind that exists is enough to know. Without one to try, the
        operator decides with --allow-removals.
        """
        if kind not in self.controls:
            # A list without a record and without a part that can't be read.
            is_empty = not fetch(
                f"SELECT 1 FROM stage_{kind} "
                "UNION ALL SELECT 1 FROM unreadable_lists WHERE kind = %s LIMIT 1",
                [kind],
            )
            self.controls[kind] = any(
                self.source.client.look_up(COLLECTIONS[kind], record_id).record is not None
                for record_id in _find_controls(kind)
            ) or (self.limit.allowed is not None and is_empty)
        return self.controls[kind]

    def _is_known_tenant(self, scaikey_id: str) -> bool:
        """Return whether a tenant is known here, or else to ScaiKey."""
        if scaikey_id not in self.tenants:
            is_known = _is_local_tenant(scaikey_id) or bool(
                fetch("SELECT 1 FROM stage_tenants WHERE scaikey_id = %s", [scaikey_id])
            )
            if not is_known:
                lookup = self.source.client.look_up("tenants", scaikey_id)
                is_foreign = lookup.is_forbidden and self.source.scope.name != "GLOBAL"
                is_known = lookup.record is not None or is_foreign
            self.tenants[scaikey_id] = is_known
        return self.tenants[scaikey_id]

    def _warn(self, kind: str) -> None:
        states = claims.count_states(kind)
        if number := states.get(ClaimState.REFUTED):
            self.warnings.append(
                f"ScaiKey's list would take access from {number:,} of the {kind}, but look-ups by "
                "ID show that they still have it. Their access is unchanged."
            )
        if number := states.get(ClaimState.POSTPONED):
            self.warnings.append(
                f"Postponed {pluralize(number, 'removal')} of {kind} until look-ups by ID confirm "
                f"them ({claims.format_postponed_cause(kind)})."
            )


def _complete_tenant(record: TenantScopedRecord, known: str) -> None:
    """Give a record without a tenant the known one, even if only the spelling differs."""
    if record.tenant_id == known:
        return
    if not record.tenant_id or (
        record.tenant_id.strip().casefold() == known.casefold()
        and not _is_local_tenant(record.tenant_id)
    ):
        record.tenant_id = known


def _is_local_tenant(scaikey_id: str) -> bool:
    return Tenant.objects.filter(scaikey_tenant_id=scaikey_id).exists()


def _find_controls(kind: str) -> list[str]:
    """Return the ids of a few records of this kind that should exist: listed ones, if there are.

    Any row of the database may be removed from ScaiKey too, so these are drawn at random.
    """
    entity = ENTITY_OF_KIND[kind]
    claimed = "SELECT 1 FROM loss_claims c WHERE c.kind = %s AND c.scaikey_id = {}"
    listed = fetch(
        f"""
        SELECT s.scaikey_id FROM {entity.staging_table} s
        ORDER BY CASE WHEN EXISTS ({claimed.format("s.scaikey_id")}) THEN 1 ELSE 0 END LIMIT %s
        """,
        [kind, MAX_CONTROLS],
    )
    present = fetch(
        f"""
        SELECT p.{entity.identity} FROM {entity.table} p
        WHERE {entity.owned_condition} AND NOT EXISTS ({claimed.format(f"p.{entity.identity}")})
        ORDER BY random() LIMIT %s
        """,
        [kind, MAX_CONTROLS],
    )
    return [row[0] for row in listed or present]

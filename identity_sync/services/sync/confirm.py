"""Confirm losses of access: a list alone is never enough to take access away.

Records move between pages while a list is read, replicas disagree, and ScaiKey documents no order.
So a record that a list omits, or shows with less access, is only a claim. One look-up by id decides
it, and the record that is found is staged as if it had been listed. ScaiKey's own 404 with a JSON
body, or a status that means deleted, confirms the removal. Any other response without a record
(another 404, a redirect, a 403, an unreadable body) proves nothing: the local row stays unchanged
and the loss is postponed.

The removal limit is applied to the claims first. Over the limit a sample is looked up. If part of
the sample exists, the list is inconsistent and removals of this kind stop. If all of it is lost,
the rest is assumed to be lost as well, without look-ups: the plan is refused anyway.

In SQL: `c` is a claim, `l` a look-up, `s` a staged record, `p` a row of the database, `t` a tenant,
`g` a role grant, `r` its role, `x` a staged role, `u` an unusable record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from identity_sync.services.sync import roles
from identity_sync.services.sync.entities import ENTITIES, PARTICIPANTS, TENANTS, EntitySync
from identity_sync.services.sync.fetch import COLLECTIONS, FetchResult, restage_records
from identity_sync.services.sync.removal_limit import RemovalLimit
from identity_sync.services.sync.scope import DELETED_STATUSES, SyncScope
from identity_sync.services.sync.staging import BATCH, copy_rows
from scaiwave.clients.scaikey.client import Lookup, ScaiKeyClient
from scaiwave.clients.scaikey.schemas import BaseRecord, TenantScopedRecord
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.sql import batched, execute, fetch, fetch_one, is_distinct
from tenants.models.directory import ACTIVE_STATUSES

SAMPLE_SIZE = 30
"""Claims that are looked up when there are more than the removal limit. If a tenth of them is
wrong, such a sample shows it 19 times in 20."""

ACTIVE_SQL = ", ".join(f"'{status}'" for status in ACTIVE_STATUSES)

REMOVED = "removed from ScaiKey"
MOVED = "moved to another tenant"
NO_CONTROL = "postponed: ScaiKey does not return records by ID that exist, so a 404 proves nothing"
LISTED = "postponed: ScaiKey lists it, but does not return it by its ID"
UNKNOWN_TENANT = "postponed: ScaiKey returns it with a tenant that does not exist"
OUT_OF_SCOPE = "no longer within the scope of this server's credentials"
TENANT_LOST = "its tenant was removed from ScaiKey"
BUDGET_SPENT = "postponed: the look-up limit of this run is reached"
MAX_CONTROLS = 8
"""Records that are tried before 404s are taken for those of a server without look-ups."""

INCONSISTENT = "postponed: ScaiKey's list is inconsistent"
NOTHING_PROVEN = "postponed: the look-ups proved nothing"


@dataclass
class LookupBudget:
    """How many look-ups one run may make, and for how long; None is unlimited."""

    lookups: int | None
    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    started: float | None = None
    used: int = 0

    def spend(self) -> bool:
        """Take one look-up out of the budget; return False if none is left."""
        if self.started is None:
            self.started = self.clock()
        if self.lookups is not None and self.used >= self.lookups:
            return False
        if self.seconds is not None and self.clock() - self.started >= self.seconds:
            return False
        self.used += 1
        return True

    def limit(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys until the budget is spent."""
        for key in keys:
            if not self.spend():
                return
            yield key


@dataclass
class Confirmation:
    """The result of the look-ups.

    `inconsistent` has the kinds whose removals stop. `is_assumed` is true if claims over the
    removal limit were not looked up one by one; the plan must then be refused. `assumed_tenants`
    has the ids of tenants that exceed the limit on their own; their losses must be skipped.
    `controls` records by kind whether ScaiKey returns records by their ID, `tenants` by ScaiKey ID
    whether a tenant exists here or there.
    """

    inconsistent: list[str] = field(default_factory=list)
    is_assumed: bool = False
    assumed_tenants: set[str] = field(default_factory=set)
    roles_are_staged: bool = False
    warnings: list[str] = field(default_factory=list)
    controls: dict[str, bool] = field(default_factory=dict)
    tenants: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Confirmer:
    """Decides the claims of one run. `limit` is the removal limit; `budget` limits the look-ups."""

    client: ScaiKeyClient
    scope: SyncScope
    limit: RemovalLimit
    budget: LookupBudget
    progress_factory: ProgressFactory
    result: Confirmation = field(default_factory=Confirmation)

    def confirm(self, fetched: FetchResult, present: dict[str, int]) -> None:
        """Decide every claim of the kinds that were fetched. Raises `UpstreamUnauthorized`."""
        for entity in ENTITIES:
            if entity.kind in fetched.kinds:
                self._confirm_kind(entity, present[entity.kind])
                self._warn(entity.kind)
        if roles.has_role_data():
            fetched.invalid_roles = roles.stage_roles()
            self.result.roles_are_staged = True
            self._confirm_roles()

    def _confirm_kind(self, entity: EntitySync, present: int) -> None:
        find_claims(entity, self.scope)
        _settle_lost_tenants(entity)
        if not _count_open(entity.kind):
            return
        self._apply_limit(entity.kind, present)
        self._look_up_open(entity.kind)

    def _confirm_roles(self) -> None:
        """Decide claims about roles, which are counted in grants, not in people."""
        execute(
            "UPDATE stage_participants SET roles = NULL WHERE scaikey_id IN (SELECT scaikey_id "
            "FROM loss_claims WHERE kind = 'participants' "
            "AND state IN ('postponed', 'inconsistent'))"
        )
        find_role_claims()
        if not _count_open(PARTICIPANTS.kind):
            return
        grants = int(fetch_one("SELECT count(*) FROM sw_role_grants WHERE source = 'scaikey'")[0])
        self._apply_limit(PARTICIPANTS.kind, grants, measure="sum(role_losses)")
        self._look_up_open(PARTICIPANTS.kind)
        execute(
            "UPDATE stage_participants SET roles = NULL WHERE scaikey_id IN (SELECT scaikey_id "
            "FROM loss_claims WHERE kind = 'participants' AND role_losses > 0 "
            "AND state IN ('postponed', 'inconsistent'))"
        )
        self._warn(PARTICIPANTS.kind)

    def _apply_limit(self, kind: str, present: int, *, measure: str = "count(*)") -> None:
        """Look up a sample where the claims exceed the removal limit, in total or in one tenant."""
        claimed = _measure_open(kind, measure)
        if self.limit.allowed is not None and claimed <= self.limit.allowed:
            return
        if self.limit.is_exceeded(claimed, present):
            if self._is_confirmed_by_sample(kind, ""):
                self.result.is_assumed |= _assume(kind, "") > 0
            return
        if self.scope.tenant_only or self.limit.allowed is not None:
            # --allow-removals lifts the budget, so that every claim is looked up.
            return
        for tenant_id, number in _measure_open_by_tenant(kind, measure, self.limit.limit):
            if not self.limit.is_exceeded(number, _count_present(kind, tenant_id)):
                continue
            if not self._is_confirmed_by_sample(kind, tenant_id):
                return
            _assume(kind, tenant_id)
            self.result.assumed_tenants.add(tenant_id)

    def _is_confirmed_by_sample(self, kind: str, tenant_id: str) -> bool:
        """Look up a sample of the claims, and return whether only removals were confirmed.

        Otherwise all open claims are decided: as inconsistent if a record still exists, and as
        postponed if nothing is proven.
        """
        where, params = _open_claims(kind, tenant_id)
        rows = fetch(
            f"SELECT scaikey_id FROM loss_claims WHERE {where} ORDER BY random() LIMIT %s",
            [*params, SAMPLE_SIZE],
        )
        ids = [row[0] for row in rows]
        self._look_up(kind, ids)
        states = dict(
            fetch(
                "SELECT state, count(*) FROM loss_claims WHERE kind = %s AND scaikey_id IN "
                f"({', '.join(['%s'] * len(ids))}) GROUP BY state",
                [kind, *ids],
            )
        )
        if states.get("lost") and not states.get("exists"):
            return True
        state, note = "postponed", NOTHING_PROVEN
        if states.get("exists"):
            state, note = "inconsistent", INCONSISTENT
        where, params = _open_claims(kind, "")
        stopped_count = execute(
            f"UPDATE loss_claims SET state = %s, note = %s WHERE {where}", [state, note, *params]
        )
        if stopped_count and state == "inconsistent":
            self.result.inconsistent.append(kind)
        unstage_undecided(kind)
        return False

    def _look_up_open(self, kind: str) -> None:
        where, params = _open_claims(kind, "")
        total = _count_open(kind)
        decided = 0
        with self.progress_factory(f"Looking up {kind}") as progress:
            while rows := fetch(
                # In random order: else the same claims would spend the budget of each run.
                f"SELECT scaikey_id FROM loss_claims WHERE {where} ORDER BY random() LIMIT %s",
                [*params, BATCH],
            ):
                if not self._look_up(kind, [row[0] for row in rows]):
                    break
                decided += len(rows)
                progress(min(decided, total), total)
        execute(
            f"UPDATE loss_claims SET state = 'postponed', note = %s WHERE {where}",
            [BUDGET_SPENT, *params],
        )
        unstage_undecided(kind)

    def _look_up(self, kind: str, ids: list[str]) -> bool:
        """Look up ids and decide their claims; return False if the budget did not suffice."""
        records: list[BaseRecord] = []
        results: list[tuple[str, str, str, str]] = []
        claims = _load_claims(kind, ids)
        lookups = self.client.look_up_all(COLLECTIONS[kind], self.budget.limit(ids))
        with closing(lookups):
            for record_id, lookup in lookups:
                result, note = self._judge(kind, lookup, claims[record_id])
                if result == "found":
                    records.append(lookup.record)
                results.append((kind, record_id, result, note))
        execute("DELETE FROM lookups")
        copy_rows("lookups", results)
        _decide_claims(kind, records, with_roles=self.result.roles_are_staged)
        return len(results) == len(ids)

    def _judge(self, kind: str, lookup: Lookup, claim: _Claim) -> tuple[str, str]:
        """Return what a response proves (`found`, `removed` or `unknown`), and the reason."""
        if lookup.is_missing:
            return self._judge_absence(kind, claim, REMOVED)
        if lookup.record is not None:
            return self._judge_record(lookup.record, claim)
        if lookup.is_forbidden and kind == "tenants" and self.scope.name != "GLOBAL":
            return self._judge_absence(kind, claim, OUT_OF_SCOPE)
        return "unknown", f"postponed: {lookup.reason}"[:255]

    def _judge_absence(self, kind: str, claim: _Claim, reason: str) -> tuple[str, str]:
        if not claim.is_absent:
            return "unknown", LISTED
        if claim.has_lost_parent or self._has_control(kind):
            return "removed", reason
        return "unknown", NO_CONTROL

    def _judge_record(self, record: BaseRecord, claim: _Claim) -> tuple[str, str]:
        if record.status in DELETED_STATUSES:
            return "removed", REMOVED
        if isinstance(record, TenantScopedRecord):
            _complete_tenant(record, claim.tenant_scaikey_id)
            if not self._is_known_tenant(record.tenant_id):
                return "unknown", UNKNOWN_TENANT
            if self.scope.tenant_only and record.tenant_id != self.scope.tenant_id:
                return "removed", MOVED
        return "found", ""

    def _has_control(self, kind: str) -> bool:
        """Return whether ScaiKey returns records by their ID at all.

        A server or gateway without that route responds to every ID as if the record were missing.
        One record of the same kind that exists is enough to know. Without one to try, the
        operator decides with --allow-removals.
        """
        if kind not in self.result.controls:
            controls = _find_controls(kind)
            self.result.controls[kind] = any(
                self.client.look_up(COLLECTIONS[kind], record_id).record is not None
                for record_id in controls
            ) or (self.limit.allowed is not None and _is_empty(kind))
        return self.result.controls[kind]

    def _is_known_tenant(self, scaikey_id: str) -> bool:
        """Return whether a tenant is known here, or else to ScaiKey."""
        if scaikey_id not in self.result.tenants:
            is_here = fetch_one(
                "SELECT EXISTS (SELECT 1 FROM sw_tenants WHERE scaikey_tenant_id = %s) "
                "OR EXISTS (SELECT 1 FROM stage_tenants WHERE scaikey_id = %s)",
                [scaikey_id, scaikey_id],
            )[0]
            is_known = bool(is_here)
            if not is_known:
                lookup = self.client.look_up("tenants", scaikey_id)
                is_foreign = lookup.is_forbidden and self.scope.name != "GLOBAL"
                is_known = lookup.record is not None or is_foreign
            self.result.tenants[scaikey_id] = is_known
        return self.result.tenants[scaikey_id]

    def _warn(self, kind: str) -> None:
        states = dict(
            fetch("SELECT state, count(*) FROM loss_claims WHERE kind = %s GROUP BY state", [kind])
        )
        if number := states.get("exists"):
            self.result.warnings.append(
                f"ScaiKey's list would take access from {number:,} of the {kind}, but look-ups by "
                "ID show that they still have it. Their access is unchanged."
            )
        if number := states.get("postponed"):
            (note,) = fetch(
                "SELECT note FROM loss_claims WHERE kind = %s AND state = 'postponed' LIMIT 1",
                [kind],
            )[0]
            self.result.warnings.append(
                f"Postponed {pluralize(number, 'removal')} of {kind} until look-ups by ID confirm "
                f"them ({note.removeprefix('postponed: ')})."
            )


def find_claims(entity: EntitySync, scope: SyncScope) -> None:
    """Stage a claim for each row that the lists omit, or show as moved or as not active.

    A record that is listed but can't be used makes no claim. In a run for single records only a
    target can be omitted, and what is in a tenant that is confirmed as removed. A tenant counts as
    moved if its new partner is not active. Rows outside of the scope can only be claimed to have
    moved into it.
    """
    joins, moved = _find_moves(entity)
    inactive = "false"
    if entity.has_status:
        inactive = (
            f"(s.scaikey_status NOT IN ({ACTIVE_SQL}) AND p.scaikey_status IN ({ACTIVE_SQL}))"
        )
    columns = f"""
        INSERT INTO loss_claims (kind, scaikey_id, row_id, tenant_id, is_absent, is_moved,
                                 is_inactive, role_losses, state, note)
        SELECT %s, p.{entity.identity}, p.id, {entity.tenant_expression},
               CASE WHEN s.n IS NULL THEN 1 ELSE 0 END, CASE WHEN {moved} THEN 1 ELSE 0 END,
               CASE WHEN {inactive} THEN 1 ELSE 0 END, 0, 'open', ''
    """
    condition = f"""
        {entity.owned_condition} AND NOT EXISTS (
            SELECT 1 FROM unusable_records u
            WHERE u.kind = %s AND u.scaikey_id = p.{entity.identity})
        {_target_condition(entity) if scope.targets_only else ""}
    """
    execute(
        f"""
        {columns} FROM {entity.table} p {entity.scope_join}
        LEFT JOIN {entity.staging_table} s ON s.scaikey_id = p.{entity.identity} {joins}
        WHERE (s.n IS NULL OR {moved} OR {inactive}) AND {condition}
        """,
        [entity.kind, entity.kind],
    )
    if entity.in_tenant and (scope.name != "GLOBAL" or scope.tenant_only):
        execute(
            f"""
            {columns}
            FROM {entity.staging_table} s CROSS JOIN {entity.table} p CROSS JOIN sw_tenants own
            WHERE p.scaikey_id = s.scaikey_id AND own.id = p.tenant_id
              AND own.id NOT IN (SELECT tenant_id FROM scope_tenants)
              AND own.scaikey_tenant_id IS NOT NULL AND {moved} AND {condition}
            """,
            [entity.kind, entity.kind],
        )


def _find_moves(entity: EntitySync) -> tuple[str, str]:
    """Return joins, and the condition that the list shows a row in another tenant.

    For a tenant it is that the list shows it with another partner, which is not active.
    """
    if entity.in_tenant:
        is_elsewhere = is_distinct("s.tenant_scaikey_id", "own.scaikey_tenant_id")
        return (
            "JOIN sw_tenants own ON own.id = p.tenant_id",
            f"(s.tenant_scaikey_id <> '' AND {is_elsewhere})",
        )
    if entity is not TENANTS:
        return "", "(0 = 1)"
    return (
        """
        LEFT JOIN sw_partners own ON own.id = p.partner_id
        LEFT JOIN sw_partners other ON other.scaikey_id = s.partner_scaikey_id
        LEFT JOIN stage_partners new ON new.scaikey_id = s.partner_scaikey_id
        """,
        f"""
        (s.partner_scaikey_id IS NOT NULL
         AND {is_distinct("s.partner_scaikey_id", "own.scaikey_id")}
         AND (other.id IS NOT NULL OR new.n IS NOT NULL)
         AND (other.suspended_by_hand_at IS NOT NULL
              OR COALESCE(new.scaikey_status, other.scaikey_status, '') NOT IN ({ACTIVE_SQL})
              OR (new.n IS NULL AND other.absent_since IS NOT NULL)
              OR EXISTS (SELECT 1 FROM confirmed_removals r WHERE r.kind = 'partners'
                         AND r.scaikey_id = s.partner_scaikey_id)))
        """,
    )


def _target_condition(entity: EntitySync) -> str:
    in_lost_tenant = ""
    if entity.in_tenant:
        in_lost_tenant = (
            "OR p.tenant_id IN (SELECT t.id FROM confirmed_removals x JOIN sw_tenants t "
            "ON t.scaikey_tenant_id = x.scaikey_id WHERE x.kind = 'tenants')"
        )
    return (
        f"AND (EXISTS (SELECT 1 FROM targets w WHERE w.kind = '{entity.kind}' "
        f"AND w.scaikey_id = p.{entity.identity}) {in_lost_tenant})"
    )


def find_role_claims() -> None:
    """Stage a claim for each person from whom the list would take a role that ScaiKey granted."""
    execute(
        """
        INSERT INTO loss_claims (kind, scaikey_id, row_id, tenant_id, is_absent, is_moved,
                                 is_inactive, role_losses, state, note)
        SELECT 'participants', p.scaikey_id, p.id, p.tenant_id, 0, 0, 0, l.number, 'open', ''
        FROM (SELECT p.id AS participant_id, count(*) AS number
              FROM stage_participants s
              JOIN sw_tenants t ON t.scaikey_tenant_id = s.tenant_scaikey_id
              JOIN sw_participants p ON p.scaikey_id = s.scaikey_id AND p.tenant_id = t.id
              JOIN sw_role_grants g ON g.participant_id = p.id
              JOIN sw_roles r ON r.id = g.role_id
              WHERE s.roles IS NOT NULL AND g.source = 'scaikey'
                AND p.participant_type = 'human' AND NOT EXISTS (
                    SELECT 1 FROM stage_roles x WHERE x.person_n = s.n AND x.slug = r.slug)
              GROUP BY p.id) AS l
        JOIN sw_participants p ON p.id = l.participant_id
        WHERE NOT EXISTS (SELECT 1 FROM loss_claims c
                          WHERE c.kind = 'participants' AND c.scaikey_id = p.scaikey_id)
        """
    )


_LOST_ROLE = """EXISTS (
    SELECT 1 FROM sw_role_grants g JOIN sw_roles r ON r.id = g.role_id
    WHERE g.participant_id = c.row_id AND g.source = 'scaikey' AND NOT EXISTS (
        SELECT 1 FROM stage_roles x WHERE x.person_n = s.n AND x.slug = r.slug))
"""


def _settle_lost_tenants(entity: EntitySync) -> None:
    """Decide the claims about people and groups whose tenant is confirmed as removed.

    They need no look-up of their own, unless they are listed in another tenant.
    """
    if not entity.in_tenant:
        return
    lost = (
        "tenant_id IN (SELECT t.id FROM confirmed_removals r JOIN sw_tenants t "
        "ON t.scaikey_tenant_id = r.scaikey_id WHERE r.kind = 'tenants')"
    )
    execute(
        "INSERT INTO confirmed_removals (kind, scaikey_id, reason) "
        "SELECT kind, scaikey_id, %s FROM loss_claims "
        f"WHERE kind = %s AND is_absent = 1 AND state = 'open' AND {lost}",
        [TENANT_LOST, entity.kind],
    )
    execute(
        "UPDATE loss_claims SET state = 'lost' "
        f"WHERE kind = %s AND is_absent = 1 AND state = 'open' AND {lost}",
        [entity.kind],
    )


@dataclass(frozen=True)
class _Claim:
    """What is claimed about one record; `tenant_scaikey_id` is the tenant of its row.

    `has_lost_parent` is true for a tenant whose partner is confirmed as removed.
    """

    is_absent: bool
    tenant_scaikey_id: str
    has_lost_parent: bool


def _load_claims(kind: str, ids: list[str]) -> dict[str, _Claim]:
    claims = {}
    for batch in batched(ids):
        rows = fetch(
            "SELECT c.scaikey_id, c.is_absent, t.scaikey_tenant_id, "
            "c.kind = 'tenants' AND EXISTS (SELECT 1 FROM confirmed_removals r "
            "JOIN sw_partners p ON p.scaikey_id = r.scaikey_id "
            "WHERE r.kind = 'partners' AND p.id = t.partner_id) FROM loss_claims c "
            "LEFT JOIN sw_tenants t ON t.id = c.tenant_id WHERE c.kind = %s "
            f"AND c.scaikey_id IN ({', '.join(['%s'] * len(batch))})",
            [kind, *batch],
        )
        for key, is_absent, tenant, has_lost_parent in rows:
            claims[key] = _Claim(bool(is_absent), tenant or "", bool(has_lost_parent))
    return claims


def _complete_tenant(record: TenantScopedRecord, known: str) -> None:
    """Give a record without a tenant the known one; also where only the spelling differs."""
    if not record.tenant_id or (
        record.tenant_id.strip().casefold() == known.casefold()
        and not fetch_one(
            "SELECT EXISTS (SELECT 1 FROM sw_tenants WHERE scaikey_tenant_id = %s)",
            [record.tenant_id],
        )[0]
    ):
        record.tenant_id = known


def _find_controls(kind: str) -> list[str]:
    """Return the ids of a few records of this kind that should exist: listed ones, if there are.

    Of the rows of the database any may be removed from ScaiKey too, so these are drawn at random.
    """
    entity = next(entity for entity in ENTITIES if entity.kind == kind)
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


def _is_empty(kind: str) -> bool:
    """Return whether the list of this kind has no record."""
    entity = next(entity for entity in ENTITIES if entity.kind == kind)
    return not fetch(f"SELECT 1 FROM {entity.staging_table} LIMIT 1")


def _decide_claims(kind: str, records: list[BaseRecord], *, with_roles: bool) -> None:
    """Set the state of each claim, and stage the records found instead of the listed ones."""
    _unstage(kind, "scaikey_id IN (SELECT scaikey_id FROM lookups WHERE result <> 'unknown')")
    last = restage_records(kind, records)
    if with_roles:
        roles.stage_roles(after=last)
    execute(
        "INSERT INTO confirmed_removals (kind, scaikey_id, reason) "
        "SELECT kind, scaikey_id, note FROM lookups WHERE result = 'removed'"
    )
    execute(
        """
        UPDATE loss_claims SET
            state = CASE l.result WHEN 'removed' THEN 'lost' WHEN 'found' THEN 'exists'
                    ELSE 'postponed' END,
            note = l.note
        FROM lookups l
        WHERE l.kind = loss_claims.kind AND l.scaikey_id = loss_claims.scaikey_id
        """
    )
    _compare_records(kind)


def _compare_records(kind: str) -> None:
    """Set claims to lost where the record itself, once found, shows the loss of access."""
    table = f"stage_{kind}"
    loss_conditions = []
    if kind != "groups":
        loss_conditions.append(
            f"s.scaikey_status NOT IN ({ACTIVE_SQL}) AND EXISTS (SELECT 1 FROM sw_{kind} p "
            f"WHERE p.id = c.row_id AND p.scaikey_status IN ({ACTIVE_SQL}))"
        )
    if kind == "tenants":
        own_partner = (
            "(SELECT o.scaikey_id FROM sw_tenants t JOIN sw_partners o ON o.id = t.partner_id "
            "WHERE t.id = c.row_id)"
        )
        loss_conditions.append(
            f"c.is_moved = 1 AND {is_distinct('s.partner_scaikey_id', own_partner)}"
        )
    if kind in ("participants", "groups"):
        loss_conditions.append(
            is_distinct(
                "s.tenant_scaikey_id",
                "(SELECT t.scaikey_tenant_id FROM sw_tenants t WHERE t.id = c.tenant_id)",
            )
        )
    if kind == "participants":
        loss_conditions.append(f"c.role_losses > 0 AND s.roles IS NOT NULL AND {_LOST_ROLE}")
    for condition in loss_conditions:
        execute(
            f"""
            UPDATE loss_claims SET state = 'lost' WHERE kind = %s AND state = 'exists'
            AND scaikey_id IN (SELECT c.scaikey_id FROM loss_claims c
                               JOIN {table} s ON s.scaikey_id = c.scaikey_id
                               WHERE c.kind = %s AND {condition})
            """,
            [kind, kind],
        )


def unstage_undecided(kind: str) -> None:
    """Leave the local row unchanged where nothing is proven: unstage a new status or tenant."""
    table = f"stage_{kind}"
    undecided = (
        "scaikey_id IN (SELECT scaikey_id FROM loss_claims WHERE kind = %s AND {} = 1 "
        "AND state IN ('postponed', 'inconsistent'))"
    )
    if kind != "groups":
        where = undecided.format("is_inactive")
        execute(f"UPDATE {table} SET scaikey_status = NULL WHERE {where}", [kind])
    if kind == "tenants":
        where = undecided.format("is_moved")
        execute(f"UPDATE {table} SET partner_scaikey_id = NULL WHERE {where}", [kind])
    if kind in ("participants", "groups"):
        _unstage(kind, undecided.format("is_moved"), [kind])


def _unstage(kind: str, where: str, params: Sequence[str] = ()) -> None:
    """Delete staged records with their roles.

    The next record that is staged may get the number of one of them.
    """
    if kind == PARTICIPANTS.kind:
        execute(
            f"DELETE FROM stage_roles WHERE person_n IN (SELECT n FROM stage_{kind} WHERE {where})",
            params,
        )
    execute(f"DELETE FROM stage_{kind} WHERE {where}", params)


def _assume(kind: str, tenant_id: str) -> int:
    """Set the open claims to assumed, and return how many there were.

    The caller must make sure that such losses are never applied.
    """
    where, params = _open_claims(kind, tenant_id)
    execute(
        "INSERT INTO confirmed_removals (kind, scaikey_id, reason) "
        "SELECT kind, scaikey_id, %s FROM loss_claims "
        f"WHERE is_absent = 1 AND {where}",
        [REMOVED, *params],
    )
    return execute(f"UPDATE loss_claims SET state = 'assumed' WHERE {where}", params)


def _open_claims(kind: str, tenant_id: str) -> tuple[str, list[str]]:
    if tenant_id:
        return "kind = %s AND state = 'open' AND tenant_id = %s", [kind, tenant_id]
    return "kind = %s AND state = 'open'", [kind]


def _count_open(kind: str) -> int:
    return _measure_open(kind, "count(*)")


def _measure_open(kind: str, measure: str) -> int:
    where, params = _open_claims(kind, "")
    return int(fetch_one(f"SELECT {measure} FROM loss_claims WHERE {where}", params)[0] or 0)


def _measure_open_by_tenant(kind: str, measure: str, more_than: int) -> list[tuple[str, int]]:
    where, params = _open_claims(kind, "")
    rows = fetch(
        f"SELECT tenant_id, {measure} FROM loss_claims WHERE {where} AND tenant_id IS NOT NULL "
        f"GROUP BY tenant_id HAVING {measure} > %s",
        [*params, more_than],
    )
    return [(str(tenant_id), int(number)) for tenant_id, number in rows]


def _count_present(kind: str, tenant_id: str) -> int:
    sql = f"SELECT count(*) FROM sw_{kind} WHERE tenant_id = %s AND absent_since IS NULL"
    if kind == "tenants":
        return 1
    return int(fetch_one(f"{sql} AND scaikey_id IS NOT NULL", [tenant_id])[0])

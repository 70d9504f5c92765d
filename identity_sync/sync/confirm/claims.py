"""Claims: the rows that would lose access by the lists, and the decision about each.

A claim is a row of the temporary table `loss_claims`; `states` names its states.
Its `note` is the code of the reason (`identity_sync.reasons`), and `detail` the answer of a
look-up: the cause of a failure, or the other tenant.

Where removals are turned off, access is left: a claim gets the state `off`, is not looked up, does
not count for the removal limit, and is reported as skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from identity_sync.reasons import Reason, format_cause
from identity_sync.sync.confirm.decisions import APPROVED
from identity_sync.sync.fetch.kinds import (
    ACTIVE,
    MEMBERSHIPS,
    PARTICIPANTS,
    TENANTS,
    EntitySync,
)
from identity_sync.sync.fetch.lists import restage_records
from identity_sync.sync.fetch.records import stage_roles
from identity_sync.sync.fetch.scope import SyncScope
from identity_sync.sync.staging import analyze, find_off_reason, index_filled, index_numbers
from identity_sync.sync.states import UNDECIDED, ClaimState
from scaiwave.clients.scaikey.schemas import BaseRecord
from scaiwave.core.sql import (
    batched,
    datetime_param,
    execute,
    fetch,
    fetch_column,
    fetch_number,
    fetch_one,
    is_distinct,
)

_IN_LOST_TENANT = (
    "tenant_id IN (SELECT t.id FROM confirmed_removals cr JOIN sw_tenants t "
    "ON t.scaikey_tenant_id = cr.scaikey_id WHERE cr.kind = 'tenants')"
)


def find_claims(entity: EntitySync, scope: SyncScope) -> None:
    """Stage a claim for each row that the lists omit, or show as moved or as not active.

    A record that is listed but can't be used makes no claim. In a run for single records only an
    announced one can be omitted, and rows of a tenant that is confirmed as removed. A tenant counts
    as moved if its new partner is not active. Rows outside of the scope can only be claimed to have
    moved into it.
    """
    joins, moved = _find_moves(entity)
    announced, inactive = "", "(0 = 1)"
    if scope.announced_only:
        in_lost_tenant = f"OR p.{_IN_LOST_TENANT}" if entity.in_tenant else ""
        announced = (
            f"AND (EXISTS (SELECT 1 FROM announced w WHERE w.kind = '{entity.kind}' "
            f"AND w.scaikey_id = p.{entity.identity}) {in_lost_tenant})"
        )
    if entity.has_status:
        inactive = f"(s.scaikey_status NOT IN {ACTIVE} AND p.scaikey_status IN {ACTIVE})"

    def stage(source: str, where: str) -> int:
        return execute(
            f"""
            INSERT INTO loss_claims (kind, scaikey_id, row_id, tenant_id, is_absent, is_moved,
                                     is_inactive, role_losses, state, note)
            SELECT %s, p.{entity.identity}, p.id, {entity.tenant_expression},
                   CASE WHEN s.n IS NULL THEN 1 ELSE 0 END, CASE WHEN {moved} THEN 1 ELSE 0 END,
                   CASE WHEN {inactive} THEN 1 ELSE 0 END, 0, 'open', ''
            FROM {source} WHERE {where} AND {entity.owned_condition} AND NOT EXISTS (
                SELECT 1 FROM unusable_records u
                WHERE u.kind = %s AND u.scaikey_id = p.{entity.identity})
            {announced}
            """,
            [entity.kind, entity.kind],
        )

    found = stage(
        f"{entity.table} p {entity.scope_join} LEFT JOIN {entity.staging_table} s "
        f"ON s.scaikey_id = p.{entity.identity} {joins}",
        f"(s.n IS NULL OR {moved} OR {inactive})",
    )
    if entity.in_tenant and (scope.name != "GLOBAL" or scope.tenant_only):
        found += stage(
            f"{entity.staging_table} s CROSS JOIN {entity.table} p CROSS JOIN sw_tenants t",
            "p.scaikey_id = s.scaikey_id AND t.id = p.tenant_id "
            "AND t.id NOT IN (SELECT tenant_id FROM scope_tenants) "
            f"AND t.scaikey_tenant_id IS NOT NULL AND {moved}",
        )
    if found:
        analyze("loss_claims")
    if turn_off_claims(entity.kind):
        unstage_undecided(entity.kind)


def turn_off_claims(kind: str) -> int:
    """Leave what open claims of this kind would take, where removals are off; return the number.

    A partner is left if one of its tenants is. A tenant or partner that ScaiKey suspends is
    suspended even if a list of its people can't be read.
    """
    condition = "tenant_id IN (SELECT ot.tenant_id FROM off_tenants ot WHERE {0})"
    if kind == "partners":
        condition = """
            (EXISTS (SELECT 1 FROM off_tenants ot WHERE ot.tenant_id IS NULL)
             OR row_id IN (SELECT t.partner_id FROM sw_tenants t
                           JOIN off_tenants ot ON ot.tenant_id = t.id AND {0}))
        """
    is_suspension = "is_inactive = 1 AND is_absent = 0 AND is_moved = 0"
    is_kept = f"(ot.note <> '{Reason.UNREADABLE_LIST}' OR NOT ({is_suspension}))"
    condition = condition.format(is_kept if kind in ("partners", "tenants") else "0 = 0")
    return execute(
        f"UPDATE loss_claims SET state = 'off', note = {find_off_reason('loss_claims')} "
        f"WHERE kind = %s AND state IN ('open', 'implied') AND {condition}",
        [kind],
    )


def count_off() -> int:
    """Count the losses that were left out because removals are turned off."""
    is_off = f"state = 'off' AND note <> '{Reason.UNREADABLE_LIST}'"
    return fetch_number(f"SELECT count(*) FROM loss_claims WHERE {is_off}")


def _find_moves(entity: EntitySync) -> tuple[str, str]:
    """Return joins, and the condition that the list shows a row in another tenant.

    For a tenant it is that the list shows it with another partner, which is not active.
    """
    if entity.in_tenant:
        is_elsewhere = is_distinct("s.tenant_scaikey_id", "t.scaikey_tenant_id")
        return (
            "JOIN sw_tenants t ON t.id = p.tenant_id",
            f"(s.tenant_scaikey_id <> '' AND {is_elsewhere})",
        )
    if entity is not TENANTS:
        return "", "(0 = 1)"
    return (
        """
        LEFT JOIN sw_partners own_pr ON own_pr.id = p.partner_id
        LEFT JOIN sw_partners other_pr ON other_pr.scaikey_id = s.partner_scaikey_id
        LEFT JOIN stage_partners new_s_pr ON new_s_pr.scaikey_id = s.partner_scaikey_id
        """,
        f"""
        (s.partner_scaikey_id IS NOT NULL
         AND {is_distinct("s.partner_scaikey_id", "own_pr.scaikey_id")}
         AND (other_pr.id IS NOT NULL OR new_s_pr.n IS NOT NULL)
         AND (other_pr.suspended_by_hand_at IS NOT NULL
              OR COALESCE(new_s_pr.scaikey_status, other_pr.scaikey_status, '')
                  NOT IN {ACTIVE}
              OR (new_s_pr.n IS NULL AND other_pr.absent_since IS NOT NULL)
              OR EXISTS (SELECT 1 FROM confirmed_removals cr WHERE cr.kind = 'partners'
                         AND cr.scaikey_id = s.partner_scaikey_id)))
        """,
    )


LOST_GRANTS = """
    stage_participants s_p
    JOIN sw_tenants t ON t.scaikey_tenant_id = s_p.tenant_scaikey_id
    JOIN sw_participants p ON p.scaikey_id = s_p.scaikey_id AND p.tenant_id = t.id
    JOIN sw_role_grants gr ON gr.participant_id = p.id
    JOIN sw_roles ro ON ro.id = gr.role_id
    WHERE s_p.roles IS NOT NULL AND gr.source = 'scaikey' AND p.participant_type = 'human'
      AND NOT EXISTS (SELECT 1 FROM stage_roles s_ro
                      WHERE s_ro.person_n = s_p.n AND s_ro.slug = ro.slug)
"""
"""The grants from ScaiKey `gr` that it no longer reports with a person, as SQL after FROM."""


def find_role_claims() -> None:
    """Stage a claim for each person from whom the list would take a role that ScaiKey granted."""
    found = execute(
        f"""
        INSERT INTO loss_claims (kind, scaikey_id, row_id, tenant_id, is_absent, is_moved,
                                 is_inactive, role_losses, state, note)
        SELECT 'participants', p.scaikey_id, p.id, p.tenant_id, 0, 0, 0, lost.number, 'open', ''
        FROM (SELECT p.id AS participant_id, count(*) AS number
              FROM {LOST_GRANTS} GROUP BY p.id) AS lost
        JOIN sw_participants p ON p.id = lost.participant_id
        WHERE NOT EXISTS (SELECT 1 FROM loss_claims c
                          WHERE c.kind = 'participants' AND c.scaikey_id = p.scaikey_id)
        """
    )
    if found:
        analyze("loss_claims")
    turn_off_claims(PARTICIPANTS.kind)


_LOST_ROLE = """EXISTS (
    SELECT 1 FROM sw_role_grants gr JOIN sw_roles ro ON ro.id = gr.role_id
    WHERE gr.participant_id = c.row_id AND gr.source = 'scaikey' AND NOT EXISTS (
        SELECT 1 FROM stage_roles s_ro WHERE s_ro.person_n = s.n AND s_ro.slug = ro.slug))
"""


def settle_lost_tenants(entity: EntitySync) -> None:
    """Decide the claims about people and groups whose tenant is confirmed as removed.

    They need no look-up of their own, unless they are listed in another tenant.
    """
    if entity.in_tenant:
        where = f"kind = %s AND is_absent = 1 AND state = 'open' AND {_IN_LOST_TENANT}"
        _settle(ClaimState.CONFIRMED, Reason.TENANT_REMOVED, where, [entity.kind])


def _settle(state: ClaimState, reason: Reason, where: str, params: list[str]) -> None:
    """Give claims a state, and let the records that the list omits be removed."""
    execute(
        "INSERT INTO confirmed_removals (kind, scaikey_id, reason) "
        f"SELECT kind, scaikey_id, %s FROM loss_claims WHERE is_absent = 1 AND {where}",
        [reason, *params],
    )
    execute(f"UPDATE loss_claims SET state = %s WHERE {where}", [state, *params])


@dataclass(frozen=True)
class Claim:
    """What is claimed about one record; `tenant_scaikey_id` is the tenant of its row.

    `has_lost_parent` is true for a tenant whose partner is confirmed as removed.
    """

    is_absent: bool
    tenant_scaikey_id: str
    has_lost_parent: bool


def load_claims(kind: str, ids: list[str]) -> dict[str, Claim]:
    """Return the claims with these ids, by id."""
    claims = {}
    for batch in batched(ids):
        rows = fetch(
            "SELECT c.scaikey_id, c.is_absent, t.scaikey_tenant_id, "
            "c.kind = 'tenants' AND EXISTS (SELECT 1 FROM confirmed_removals cr "
            "JOIN sw_partners pr ON pr.scaikey_id = cr.scaikey_id "
            "WHERE cr.kind = 'partners' AND pr.id = t.partner_id) FROM loss_claims c "
            "LEFT JOIN sw_tenants t ON t.id = c.tenant_id WHERE c.kind = %s "
            f"AND c.scaikey_id IN ({', '.join(['%s'] * len(batch))})",
            [kind, *batch],
        )
        for key, is_absent, tenant, has_lost_parent in rows:
            claims[key] = Claim(bool(is_absent), tenant or "", bool(has_lost_parent))
    return claims


def apply_lookups(kind: str, records: list[BaseRecord], *, with_roles: bool) -> None:
    """Set the states of the claims in `lookups`, and stage the records that were found."""
    analyze("lookups")
    _unstage(kind, "scaikey_id IN (SELECT scaikey_id FROM lookups WHERE state <> 'postponed')")
    last = restage_records(kind, records)
    if with_roles:
        stage_roles(after=last)
    execute(
        "INSERT INTO confirmed_removals (kind, scaikey_id, reason, detail) "
        "SELECT kind, scaikey_id, note, detail FROM lookups WHERE state = 'confirmed'"
    )
    decide_open()
    _compare_records(kind)


def decide_open() -> None:
    """Give the open claims in `lookups` the state that their look-up has."""
    execute(
        """
        UPDATE loss_claims SET state = l.state, note = l.note, detail = l.detail FROM lookups l
        WHERE l.kind = loss_claims.kind AND l.scaikey_id = loss_claims.scaikey_id
          AND loss_claims.state = 'open'
        """
    )


def _compare_records(kind: str) -> None:
    """Confirm the claims in `lookups` where the record that was found shows the loss of access."""
    loss_conditions = []
    if kind != "groups":
        loss_conditions.append(
            f"s.scaikey_status NOT IN {ACTIVE} AND EXISTS (SELECT 1 FROM sw_{kind} p "
            f"WHERE p.id = c.row_id AND p.scaikey_status IN {ACTIVE})"
        )
    if kind == "tenants":
        own_partner = (
            "(SELECT pr.scaikey_id FROM sw_tenants t JOIN sw_partners pr ON pr.id = t.partner_id "
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
            UPDATE loss_claims SET state = 'confirmed' WHERE kind = %s AND state = 'refuted'
            AND scaikey_id IN (SELECT c.scaikey_id
                               FROM lookups l CROSS JOIN loss_claims c CROSS JOIN stage_{kind} s
                               WHERE l.kind = %s AND c.kind = l.kind
                                 AND c.scaikey_id = l.scaikey_id AND s.scaikey_id = c.scaikey_id
                                 AND {condition})
            """,
            [kind, kind],
        )


def unstage_undecided(kind: str) -> None:
    """Leave the local row unchanged where nothing is proven, or access is kept: unstage a new
    status or tenant."""
    table = f"stage_{kind}"
    undecided = (
        "scaikey_id IN (SELECT scaikey_id FROM loss_claims WHERE kind = %s AND {} = 1 "
        f"AND state IN {UNDECIDED})"
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


def unstage_undecided_roles() -> None:
    """Leave the roles of people unchanged about whom nothing is proven."""
    execute(
        "UPDATE stage_participants SET roles = NULL WHERE scaikey_id IN (SELECT scaikey_id "
        "FROM loss_claims WHERE kind = 'participants' "
        "AND state IN ('postponed', 'inconsistent'))"
    )


def let_wait(kind: str, tenant_id: str) -> None:
    """Set the open claims to waiting: such losses are not applied, and become pending removals."""
    _settle(ClaimState.WAITING, Reason.REMOVED, *_open_claims(kind, tenant_id))


def list_approved(kind: str, now: datetime) -> list[str]:
    """Return the IDs of open claims that someone approved, of group memberships their groups."""
    where, params = _open_claims(kind)
    return fetch_column(
        f"SELECT DISTINCT scaikey_id FROM loss_claims WHERE {where} AND row_id IN ("
        f"SELECT q.subject_id FROM sw_pending_removals q WHERE {APPROVED}) ORDER BY 1",
        [*params, datetime_param(now)],
    )


def draw_sample(kind: str, *, limit: int, tenant_id: str) -> list[str]:
    """Return the IDs of some open claims, of group memberships their groups.

    They are drawn at random: else the same claims would spend the budget of each run.
    """
    where, params = _open_claims(kind, tenant_id)
    distinct = f"SELECT DISTINCT scaikey_id AS id FROM loss_claims WHERE {where}"
    sql = f"SELECT id FROM ({distinct}) AS open_claims ORDER BY random() LIMIT %s"
    return fetch_column(sql, [*params, limit])


def iter_open(kind: str, batch_size: int) -> Iterator[list[str]]:
    """Yield the IDs of all open claims of a kind in batches, drawn at random like the sample."""
    where, params = _open_claims(kind)
    execute("DELETE FROM claim_order")
    total = execute(
        "INSERT INTO claim_order (n, scaikey_id) "
        "SELECT row_number() OVER (ORDER BY random()), scaikey_id "
        f"FROM (SELECT DISTINCT scaikey_id FROM loss_claims WHERE {where}) AS open_claims",
        params,
    )
    index_numbers("claim_order")
    for last in range(0, total, batch_size):
        sql = "SELECT scaikey_id FROM claim_order WHERE n > %s AND n <= %s"
        yield fetch_column(sql, [last, last + batch_size])


def close_open(kind: str, state: ClaimState, note: str) -> int:
    """Give all open claims of a kind this state, and return how many there were."""
    where, params = _open_claims(kind)
    sql = f"UPDATE loss_claims SET state = %s, note = %s WHERE {where}"
    number = execute(sql, [state, note, *params])
    if kind != MEMBERSHIPS:
        unstage_undecided(kind)
    return number


def count_states(kind: str, ids: Sequence[str] | None = None) -> dict[str, int]:
    """Count the claims of a kind by state: all of them, or those with these IDs."""
    sampled = "" if ids is None else f"AND scaikey_id IN ({', '.join(['%s'] * len(ids))})"
    sql = f"SELECT state, count(*) FROM loss_claims WHERE kind = %s {sampled} GROUP BY state"
    return dict(fetch(sql, [kind, *(ids or ())]))


def format_postponed_cause(kind: str) -> str:
    """Return the cause of a postponed claim. There must be one."""
    sql = "SELECT note, detail FROM loss_claims WHERE kind = %s AND state = 'postponed' LIMIT 1"
    note, detail = fetch_one(sql, [kind])
    return format_cause(note, detail or "")


def _open_claims(kind: str, tenant_id: str = "") -> tuple[str, list[str]]:
    """Return the condition of open claims, of one tenant or of all, and its parameters."""
    if tenant_id:
        return "kind = %s AND state = 'open' AND tenant_id = %s", [kind, tenant_id]
    return "kind = %s AND state = 'open'", [kind]


def count_suspended_manually(kind: str) -> int:
    """Count the open claims about rows that are suspended manually, and would not be removed."""
    if kind in ("groups", MEMBERSHIPS):
        return 0
    sql = (
        f"SELECT count(*) FROM loss_claims c JOIN sw_{kind} p ON p.id = c.row_id WHERE c.kind = %s "
        "AND c.state = 'open' AND c.is_absent = 0 AND c.is_moved = 0 "
        "AND p.suspended_by_hand_at IS NOT NULL"
    )
    return fetch_number(sql, [kind])


def measure_open(kind: str, measure: str = "count(*)") -> int:
    """Aggregate the open claims of a kind: `measure` is `count(*)` or a sum in SQL."""
    where, params = _open_claims(kind)
    return fetch_number(f"SELECT {measure} FROM loss_claims WHERE {where}", params)


def measure_open_by_tenant(kind: str, measure: str, *, more_than: int) -> list[tuple[str, int]]:
    """Return the tenants whose measure exceeds a number, with that measure."""
    where, params = _open_claims(kind)
    rows = fetch(
        f"SELECT tenant_id, {measure} FROM loss_claims WHERE {where} AND tenant_id IS NOT NULL "
        f"GROUP BY tenant_id HAVING {measure} > %s",
        [*params, more_than],
    )
    if rows:
        index_filled("loss_claims", "tenant_id")
    return [(str(tenant_id), int(number)) for tenant_id, number in rows]

"""Decisions of operators about claims: a claim with a pending removal is not looked up again."""

from __future__ import annotations

from datetime import datetime

from identity_sync.models import OPEN_STATES, RemovalState
from identity_sync.reasons import SUSPENSIONS, Loss
from identity_sync.sync.fetch.kinds import MEMBERSHIPS
from scaiwave.core.sql import datetime_param, execute, fetch, sql_list

OPEN = sql_list(OPEN_STATES)

APPROVED = f"(q.state = '{RemovalState.APPROVED}' AND q.expires_at > %s)"
KEPT = f"(q.state = '{RemovalState.KEPT}' AND q.expires_at > %s)"
_NOT_APPROVED = f"(q.state IN {OPEN} AND NOT {APPROVED})"

_REMOVED = sql_list((Loss.REMOVED, Loss.GROUP_REMOVED, Loss.TENANT_REMOVED, Loss.PARTNER_REMOVED))
_MOVED = sql_list((Loss.MOVED, Loss.GROUP_REMOVED, Loss.TENANT_SUSPENDED))
_SUSPENDED = sql_list(SUSPENSIONS.values())


def _is_same_claim(kind: str) -> str:
    """SQL for whether a row is about the claim of the list."""
    if kind == MEMBERSHIPS:
        return "q.subject_id = loss_claims.row_id AND q.kind = 'memberships'"
    staged = f"(SELECT s.{{}} FROM stage_{kind} s WHERE s.scaikey_id = loss_claims.scaikey_id)"
    conditions = [f"loss_claims.is_absent = 1 AND q.loss IN {_REMOVED} AND q.destination = ''"]
    if kind != "partners":
        place = "partner_scaikey_id" if kind == "tenants" else "tenant_scaikey_id"
        conditions.append(
            f"loss_claims.is_absent = 0 AND loss_claims.is_moved = 1 AND q.loss IN {_MOVED} "
            f"AND q.destination = {staged.format(place)}"
        )
    if kind != "groups":
        conditions.append(
            "loss_claims.is_absent = 0 AND loss_claims.is_moved = 0 "
            f"AND loss_claims.is_inactive = 1 AND q.loss IN {_SUSPENDED} "
            f"AND q.destination = {staged.format('scaikey_status')}"
        )
    return f"q.subject_id = loss_claims.row_id AND ({' OR '.join(conditions)})"


def match_claims(kind: str, *, now: datetime, only_kept: bool) -> None:
    """Let the open claims wait that have an open row; with `only_kept` a row that is kept.

    What a webhook names was looked up already.
    """
    if not has_open_rows():
        return
    state = KEPT if only_kept else _NOT_APPROVED
    row = f"FROM sw_pending_removals q WHERE {state} AND {_is_same_claim(kind)}"
    matched = execute(
        f"""
        UPDATE loss_claims SET state = 'waiting', note = (SELECT q.cause {row} LIMIT 1)
        WHERE kind = %s AND state = 'open' AND EXISTS (SELECT 1 {row}) AND row_id NOT IN (
            SELECT q.subject_id FROM sw_pending_removals q WHERE {APPROVED}) AND NOT EXISTS (
            SELECT 1 FROM announced w WHERE w.kind = 'participants' AND w.position >= 0
            AND w.kind = loss_claims.kind AND w.scaikey_id = loss_claims.scaikey_id)
        """,
        [datetime_param(now), kind, *[datetime_param(now)] * 2],
    )
    if matched:
        execute(
            "INSERT INTO confirmed_removals (kind, scaikey_id, reason) SELECT kind, scaikey_id, "
            "note FROM loss_claims WHERE kind = %s AND state = 'waiting' AND is_absent = 1",
            [kind],
        )


def match_role_claims(*, now: datetime, only_kept: bool) -> None:
    """Let the open claims wait about people of whom each lost role has a row."""
    state = KEPT if only_kept else _NOT_APPROVED
    execute(
        f"""
        UPDATE loss_claims SET state = 'waiting'
        WHERE kind = 'participants' AND state = 'open' AND role_losses > 0 AND role_losses = (
            SELECT count(*) FROM sw_pending_removals q WHERE {state}
            AND q.subject_id = loss_claims.row_id AND q.loss = '{Loss.ROLE_TAKEN}'
            AND q.destination NOT IN (
                SELECT s_ro.slug FROM stage_participants s_p
                JOIN stage_roles s_ro ON s_ro.person_n = s_p.n
                WHERE s_p.scaikey_id = loss_claims.scaikey_id))
        """,
        [datetime_param(now)],
    )


def has_open_rows() -> bool:
    return bool(fetch(f"SELECT 1 FROM sw_pending_removals q WHERE q.state IN {OPEN} LIMIT 1"))

"""Write a plan, kind by kind, unless it would leave no one with the role super_admin."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from identity_sync.errors import LastSuperAdminLost
from identity_sync.report import KindCounts
from identity_sync.sync.fetch.kinds import (
    ENTITIES,
    MEMBER_TYPES,
    MEMBERSHIPS,
    PARTICIPANTS,
    TENANTS,
    EntitySync,
)
from identity_sync.sync.judge.limits import Verdict
from identity_sync.sync.plan.slugs import FREED_SLUG
from identity_sync.sync.staging import BATCH, analyze, copy_rows, index_numbers, index_plan_records
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.core.sql import datetime_param, execute, fetch, fetch_number, to_uuid
from tenants.roles.queries.super_admins import GRANT_COMMAND, count_super_admins


def apply_unless_last_super_admin(
    verdict: Verdict, *, is_allowed: bool, command: str, now: datetime, progress: ProgressCallback
) -> list[str]:
    """Write the plan in the caller's transaction, and return warnings.

    `is_allowed` permits that no super_admin remains. Raises `LastSuperAdminLost`; the caller rolls
    the transaction back then.
    """
    kinds = verdict.plan.kinds
    # Not only where losses are counted: the database itself shows who is left.
    may_lose = any(counts.updated + counts.deactivated for counts in kinds.values())
    before = count_super_admins() if may_lose or any(verdict.losses.values()) else None
    apply_plan(now, kinds, progress)
    if before is None or not (loss := before.describe_loss(count_super_admins())):
        return []
    if is_allowed:
        return [f"This sync leaves {loss}. Grant the role to someone: {GRANT_COMMAND}."]
    raise LastSuperAdminLost(
        f"This sync would leave {loss}. No changes were made.",
        fix=f"Grant the role to someone who remains: {GRANT_COMMAND}. To accept it instead: "
        f"`{command} --allow-no-super-admin`.",
    )


def apply_plan(
    now: datetime, counts: Mapping[str, KindCounts], progress: ProgressCallback = null_progress
) -> None:
    """Write the plan, kind by kind, in the transaction of the caller.

    Deactivations come first: a person who moved may be active in one tenant only. `counts` are the
    counts of the plan, by kind.
    """
    done, total = 0, sum(each.change_count for each in counts.values())
    progress(done, total)
    for entity in ENTITIES:
        deactivate_rows(entity.kind, entity.table, now)
    deactivate_rows(MEMBERSHIPS, "sw_group_memberships", now)
    # In this order: each kind refers to those before it.
    for entity in ENTITIES:
        if entity is TENANTS:
            free_slugs()
        update_rows(entity, now)
        if entity is PARTICIPANTS:
            stage_local_ids()
        insert_rows(entity, now)
        if entity is PARTICIPANTS:
            keep_suspensions()
        done += counts[entity.kind].change_count
        progress(done, total)
    write_memberships(now)
    progress(total, total)
    write_grants(now)


def deactivate_rows(kind: str, table: str, now: datetime) -> None:
    """Write the deactivations of a kind; people and groups leave a tenant by them too."""
    execute(
        f"""
        UPDATE {table} AS p SET absent_since = %s, updated_at = %s FROM sync_plan d
        WHERE d.kind = %s AND d.action IN ('deactivate', 'move') AND p.id = d.row_id
        """,
        [datetime_param(now), datetime_param(now), kind],
    )


def stage_local_ids() -> None:
    """Stage a suffix for each participant that the plan adds, and whose preferred ID is taken.

    The first of several people with the same preferred ID gets it, unless it is in use.
    """
    execute(_STAGE_TAKEN_IDS)
    index_numbers("taken_local_ids")
    last = 0
    while rows := fetch(_TAKEN_IDS, [last, BATCH]):
        copy_rows(
            "local_id_suffixes",
            ((n, _build_suffix(to_uuid(tenant), person)) for n, tenant, person in rows),
        )
        last = rows[-1][0]
    index_numbers("local_id_suffixes")


def keep_suspensions() -> None:
    """Suspend people who were added or restored in one tenant as they were in the one they left.

    A manual suspension is about the person. The row that was removed last shows it, unless it came
    as removed, by the import of a tenant (`DECIDED_HERE`).
    """
    if not fetch_number(_HAS_SUSPENDED):
        return  # The join would read all people who are added.
    if fetch_number(_IS_ANYONE_SUSPENDED_ELSEWHERE):
        index_plan_records()
        execute(_COPY_SUSPENSIONS)


_HAS_SUSPENDED = """
    SELECT EXISTS (SELECT 1 FROM sw_participants
                   WHERE suspended_by_hand_at IS NOT NULL AND absent_since IS NOT NULL)
"""
_IS_ANYONE_SUSPENDED_ELSEWHERE = """
    SELECT EXISTS (
        SELECT 1 FROM sync_plan d CROSS JOIN sw_participants p
        WHERE d.kind = 'participants' AND d.action IN ('add', 'restore')
          AND p.scaikey_id = d.scaikey_id
          AND p.suspended_by_hand_at IS NOT NULL AND p.absent_since IS NOT NULL)
"""
# No index finds the removed rows of a person, so that all people are read, but only once.
_COPY_SUSPENSIONS = """
    UPDATE sw_participants AS p SET suspended_by_hand_at = last.suspended_by_hand_at
    FROM (SELECT d.row_id, old_p.suspended_by_hand_at,
                 row_number() OVER (PARTITION BY d.row_id ORDER BY old_p.absent_since DESC) AS place
          FROM sw_participants old_p CROSS JOIN sync_plan d
          WHERE old_p.absent_since IS NOT NULL AND old_p.participant_type = 'human'
            AND (old_p.absent_since > old_p.created_at
                 OR old_p.suspended_by_hand_at > old_p.created_at)
            AND d.scaikey_id = old_p.scaikey_id AND d.kind = 'participants'
            AND d.action IN ('add', 'restore')) AS last
    WHERE last.place = 1 AND last.suspended_by_hand_at IS NOT NULL
      AND p.id = last.row_id AND p.suspended_by_hand_at IS NULL
"""

SUFFIX_CHARS = 10


def _build_suffix(tenant_id: UUID, scaikey_id: str) -> str:
    """Return fifty bits that are always the same for the same person in the same tenant.

    The id of the tenant is ours, since a ScaiKey tenant may be linked to another one later.
    """
    digest = hashlib.sha256(f"{tenant_id} {scaikey_id}".encode()).digest()
    return base64.b32encode(digest[:SUFFIX_CHARS]).decode().lower()[:SUFFIX_CHARS]


# Before rows are inserted: in the same statement they would be sorted as a whole, and written in
# another order than their keys.
_STAGE_TAKEN_IDS = """
    INSERT INTO taken_local_ids (n, tenant_id, scaikey_id)
    SELECT i.n, i.tenant_id, i.scaikey_id FROM (
        SELECT d.n, d.tenant_id, s_p.scaikey_id, s_p.local_id,
               row_number() OVER (PARTITION BY s_p.local_id ORDER BY s_p.scaikey_id) AS place
        FROM sync_plan d JOIN stage_participants s_p ON s_p.n = d.n
        WHERE d.kind = 'participants' AND d.action = 'add') AS i
    WHERE i.place > 1 OR EXISTS (
        SELECT 1 FROM sw_participants p WHERE p.local_id = i.local_id AND p.server_name = '')
"""
_TAKEN_IDS = """
    SELECT n, tenant_id, scaikey_id FROM taken_local_ids WHERE n > %s ORDER BY n LIMIT %s
"""


def update_rows(entity: EntitySync, now: datetime) -> None:
    """Write updates and restorations; preserved columns keep what ScaiKey did not send."""
    assignments = ", ".join(
        f"{column} = COALESCE(s.{column}, p.{column})"
        if column in entity.preserved_columns
        else f"{column} = s.{column}"
        for column in entity.columns
    )
    cleared = "".join(f"{column} = NULL, " for column in entity.cleared_columns)
    execute(
        f"""
        UPDATE {entity.table} AS p
        SET {assignments}, {cleared} absent_since = NULL, updated_at = %s
        FROM sync_plan d JOIN {entity.staging_table} s ON s.n = d.n
        WHERE d.kind = %s AND d.action IN ('update', 'restore') AND p.id = d.row_id
        """,
        [datetime_param(now), entity.kind],
    )


# The columns of new rows that don't come from ScaiKey, in SQL. A tenant has no settings of its own.
_OWN_COLUMNS = {
    "tenants": {"features": "'{}'"},
    "participants": {
        "participant_type": "'human'",
        "server_name": "''",
        "local_id": "s.local_id || COALESCE('+' || su.suffix, '')",
    },
}


def insert_rows(entity: EntitySync, now: datetime) -> None:
    """Write additions. The rows that they refer to must be written before."""
    joins = "LEFT JOIN local_id_suffixes su ON su.n = d.n" if entity is PARTICIPANTS else ""
    values = {column: f"s.{column}" for column in entity.synced_columns}
    values |= {column: f"COALESCE(s.{column}, '')" for column in entity.preserved_columns}
    if "partner_id" in values:
        values["partner_id"] = "s.partner_id"
    if entity.in_tenant:
        values["tenant_id"] = "d.tenant_id"
    values |= _OWN_COLUMNS.get(entity.kind, {})
    execute(
        f"""
        INSERT INTO {entity.table}
            (id, {entity.identity}, {", ".join(values)}, created_at, updated_at)
        SELECT d.row_id, s.scaikey_id, {", ".join(values.values())}, %s, %s
        FROM sync_plan d JOIN {entity.staging_table} s ON s.n = d.n {joins}
        WHERE d.kind = %s AND d.action = 'add'
        """,
        [datetime_param(now), datetime_param(now), entity.kind],
    )


GRANTED_BY = "ScaiKey"


def write_grants(now: datetime) -> None:
    """Write the planned grants. The people and tenants of this run must be written before.

    A grant or role that an operator creates at the same time wins.
    """
    if not fetch_number("SELECT EXISTS (SELECT 1 FROM role_plan)"):
        return
    execute(
        """
        DELETE FROM sw_role_grants WHERE source = 'scaikey'
        AND id IN (SELECT grant_id FROM role_plan WHERE action = 'revoke')
        """
    )
    _insert_roles(now)
    execute(
        """
        INSERT INTO sw_role_grants
            (id, tenant_id, role_id, participant_id, source, granted_by, created_at)
        SELECT s_ro.grant_id, rp.tenant_id, ro.id, rp.participant_id, 'scaikey', %s, %s
        FROM role_plan rp JOIN stage_roles s_ro ON s_ro.n = rp.n
        JOIN sw_roles ro ON ro.tenant_id = rp.tenant_id AND ro.slug = s_ro.slug
        WHERE rp.action = 'grant'
        ON CONFLICT DO NOTHING
        """,
        [GRANTED_BY, datetime_param(now)],
    )


def _insert_roles(now: datetime) -> None:
    """Create each role that a tenant lacks, once."""
    execute(
        """
        INSERT INTO sw_roles (id, tenant_id, slug, name, is_built_in, created_at)
        SELECT s_ro.role_id, f.tenant_id, s_ro.slug, s_ro.name, s_ro.is_built_in = 1, %s
        FROM (SELECT min(rp.n) AS n, rp.tenant_id
              FROM role_plan rp JOIN stage_roles s_ro ON s_ro.n = rp.n
              WHERE rp.action = 'grant' AND NOT EXISTS (
                  SELECT 1 FROM sw_roles ro
                  WHERE ro.tenant_id = rp.tenant_id AND ro.slug = s_ro.slug)
              GROUP BY rp.tenant_id, s_ro.slug) AS f
        JOIN stage_roles s_ro ON s_ro.n = f.n WHERE true
        ON CONFLICT DO NOTHING
        """,
        [datetime_param(now)],
    )


def free_slugs() -> None:
    """Rename the old slugs of tenants that change theirs, and of removed tenants as planned.

    Call it before slugs are written: two tenants may swap slugs in one run, which no order of
    updates allows.
    """
    execute(
        """
        UPDATE sw_tenants SET slug = '~' || CAST(id AS text) WHERE id IN (
            SELECT d.row_id FROM sync_plan d JOIN stage_tenants s_t ON s_t.n = d.n
            JOIN sw_tenants t ON t.id = d.row_id
            WHERE d.kind = 'tenants' AND d.action IN ('update', 'restore') AND t.slug <> s_t.slug)
        """
    )
    execute(
        f"""
        UPDATE sw_tenants SET slug = {FREED_SLUG.format("sw_tenants")}
        WHERE id IN (SELECT row_id FROM sync_plan
                     WHERE kind = 'tenants' AND action = 'update' AND n IS NULL)
        """
    )


def write_memberships(now: datetime) -> None:
    """Write restored and new edges. The members and groups of this run must be written before."""
    execute(
        """
        UPDATE sw_group_memberships AS e SET absent_since = NULL, updated_at = %s FROM sync_plan d
        WHERE d.kind = %s AND d.action = 'restore' AND e.id = d.row_id
        """,
        [datetime_param(now), MEMBERSHIPS],
    )
    for is_group, _, _, column, _ in MEMBER_TYPES:
        execute(
            f"""
            INSERT INTO sw_group_memberships
                (id, tenant_id, group_id, {column}, created_at, updated_at)
            SELECT ne.row_id, ne.tenant_id, ne.group_id, ne.member_id, %s, %s
            FROM new_edges ne WHERE ne.is_group = {is_group}
            """,
            [datetime_param(now), datetime_param(now)],
        )


def refresh_statistics(changed: int) -> None:
    """Update PostgreSQL's statistics after a large change, which the next run's query plans need.

    PostgreSQL would do so itself, but some minutes later. A change is large from one batch of
    staged records on; `changed` is the number of rows.
    """
    if changed >= BATCH:
        analyze(
            "sw_tenants", "sw_participants", "sw_groups", "sw_group_memberships", "sw_role_grants"
        )

"""The removal limit: how many losses of access one run may apply.

A count alone would stop large servers for no reason, and a share alone small ones, so a run is
refused only if it exceeds both. Every loss of access in the plan counts, whatever the reason:
people who are deactivated, suspended, moved or get an unknown status, or whose tenant or partner is
lost; role grants that are revoked; group memberships that end. Each of these is a measure, and so
are the people affected by any of them, each counted once. For kinds with few rows (tenants,
partners, groups) the dependent people, grants and memberships count instead.

In SQL: `d` is a row of the plan, `s` a staged record, `p` a row of the database, `t` a tenant, `l`
a loss, `b` a membership or grant of a lost group, `k` a tenant whose access is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from identity_sync.errors import RemovalLimitExceeded, SyncCollectionEmpty
from identity_sync.reasons import Reason
from identity_sync.report import LOSSES, SyncReport
from identity_sync.sync.staging import (
    analyze,
    copy_rows,
    index_filled,
    index_plan_records,
    index_plan_rows,
)
from scaiwave.core.sql import execute, fetch, fetch_one
from tenants.models import Tenant
from tenants.models.directory import ACTIVE_STATUSES

if TYPE_CHECKING:
    from identity_sync.sync.planned import Plan

FEW_ROWS = 200
"""Below this number of rows of a kind, only what depends on them counts."""

_ACTIVE = ", ".join(f"'{status}'" for status in ACTIVE_STATUSES)
AFFECTED = "affected_people"
"""The measure of people who lose a status, a role or a group membership."""

_LABELS = {
    AFFECTED: "people would lose access, a role or a group membership",
    "people": "people would lose access",
    "grants": "role grants would be revoked",
    "memberships": "group memberships would end",
    "groups": "groups would be deactivated",
    "tenants": "tenants would be lost",
    "partners": "partners would be lost",
}


@dataclass(frozen=True)
class RemovalLimit:
    """The limit is exceeded by more than `limit` losses and more than `share` (0 to 1) of the rows.

    `allowed`, if set, permits a plan with at most that many losses in total. `spent` has the losses
    of earlier runs, by measure and tenant, which count too: a series of small runs must not remove
    what a single run may not.
    """

    limit: int
    share: float
    allowed: int | None = None
    spent: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def is_exceeded(self, removals: int, present: int) -> bool:
        return removals > self.limit and removals > present * self.share

    def allows(self, total: int) -> bool:
        return self.allowed is not None and total <= self.allowed

    def count_spent(self, measure: str, tenant_id: str | None = None) -> int:
        """Count the losses of earlier runs, of one tenant or of all."""
        if tenant_id is not None:
            return self.spent.get((measure, tenant_id), 0)
        return sum(number for (kind, _), number in self.spent.items() if kind == measure)


def enforce_removal_limit(
    plan: Plan, limit: RemovalLimit, report: SyncReport, *, assumed_tenants: set[str]
) -> list[str]:
    """Permit the plan, or part of it; return the slugs of tenants whose losses are skipped.

    Raises `SyncCollectionEmpty` or `RemovalLimitExceeded` if no part of the plan may be applied. A
    run for one tenant is permitted or refused as a whole.
    """
    find_losses()
    _skip_kept_tenants(plan)
    report.losses = count_losses()
    total = sum(report.losses.values())
    allowance = max(total, plan.claimed) if plan.is_assumed else total
    if limit.allows(total) and not (plan.is_assumed or assumed_tenants):
        return []
    present = _count_present(plan)
    _ensure_within_limit(plan, limit, report, present, allowance)
    if plan.is_assumed:
        measure = max(LOSSES, key=lambda name: report.losses[name])
        exceeded = measure, report.losses[measure], present[measure]
        raise _build_error(plan, limit, report, exceeded, allowance)
    if plan.tenant is not None:
        return []
    skipped = _find_exceeding_tenants(limit) | assumed_tenants
    if not skipped:
        return []
    slugs = _skip_tenants(skipped, Reason.OVER_LIMIT)
    _skip_consequences(Reason.OVER_LIMIT)
    find_losses()
    report.losses = count_losses()
    plan.skipped_losses = total - sum(report.losses.values())
    return slugs


def _skip_kept_tenants(plan: Plan) -> None:
    """Skip the losses that remain where removals are turned off, whatever caused them."""
    tenants = fetch(
        "SELECT DISTINCT l.tenant_id, k.note FROM losses l "
        "JOIN kept_tenants k ON k.tenant_id = l.tenant_id"
    )
    if tenants:
        reason = Reason(tenants[0][1])  # one for all: that of the run, or of each tenant
        _skip_tenants((str(row[0]) for row in tenants), reason)
        _skip_consequences(reason)
        find_losses()
        plan.must_be_counted = True


def check_removal_limit(plan: Plan, limit: RemovalLimit, report: SyncReport) -> None:
    """Check the staged losses of a plan that has all of them, also those that a sync would skip.

    Raises `SyncCollectionEmpty` or `RemovalLimitExceeded`.
    """
    total = sum(report.losses.values())
    if limit.allows(total):
        return
    _ensure_within_limit(plan, limit, report, _count_present(plan), total)
    exceeding = _find_exceeding_tenants(limit) if plan.tenant is None else set()
    if exceeding:
        tenants = Tenant.objects.filter(pk__in=exceeding).order_by("slug")
        slugs = ", ".join(tenants.values_list("slug", flat=True))
        raise RemovalLimitExceeded(
            f"This plan has losses of access over the removal limit of a tenant: {slugs}. "
            "No changes were made.",
            report=report,
            **build_allowance(plan, total).explain("If this is correct, "),
        )


def _ensure_within_limit(
    plan: Plan,
    limit: RemovalLimit,
    report: SyncReport,
    present: dict[str, int],
    allowance: int,
) -> None:
    for kind in plan.present:
        _ensure_not_empty(plan, kind, report, allowance)
    for measure, number in [*report.losses.items(), (AFFECTED, _count_affected())]:
        spent = limit.count_spent(measure) if number else 0
        is_exceeded = limit.is_exceeded(number + spent, present[measure] + spent)
        if is_exceeded and not _has_few_rows(measure, present):
            raise _build_error(plan, limit, report, (measure, number, present[measure]), allowance)


def find_losses() -> None:
    """Stage every loss of access in the plan."""
    execute("DELETE FROM losses")
    _insert_lost_rows("partners", "partners")
    _insert_lost_rows("tenants", "tenants")
    _insert_lost_rows("people", "participants")
    _find_tenant_access()
    execute(_PEOPLE_OF_LOST_TENANTS)
    execute(
        "INSERT INTO losses (kind, tenant_id, row_id) SELECT 'groups', tenant_id, row_id "
        "FROM sync_plan WHERE kind = 'groups' AND action IN ('deactivate', 'move')"
    )
    execute(
        "INSERT INTO losses (kind, tenant_id, row_id) SELECT 'memberships', tenant_id, row_id "
        "FROM sync_plan WHERE kind = 'memberships' AND action = 'deactivate' AND reason <> %s",
        [Reason.NOT_RETURNED],
    )
    execute(
        "INSERT INTO losses (kind, tenant_id, row_id) SELECT 'grants', tenant_id, grant_id "
        "FROM role_plan WHERE action = 'revoke'"
    )
    for kind, table, column in _GROUP_DEPENDENTS:
        execute(
            f"""
            INSERT INTO losses (kind, tenant_id, row_id)
            SELECT '{kind}', b.tenant_id, b.id
            FROM losses l JOIN {table} b ON b.{column} = l.row_id
            WHERE l.kind = 'groups' {"AND b.absent_since IS NULL" if kind == "memberships" else ""}
              AND NOT EXISTS (SELECT 1 FROM losses o WHERE o.row_id = b.id AND o.kind = '{kind}')
            """
        )
    # In a tenant that is not linked no one can sign in, so that nothing can be lost there.
    execute(
        "DELETE FROM losses WHERE tenant_id IN "
        "(SELECT id FROM sw_tenants WHERE scaikey_tenant_id IS NULL)"
    )
    execute("DELETE FROM affected_through_groups")
    execute(_AFFECTED_THROUGH_GROUPS)


def _insert_lost_rows(measure: str, kind: str) -> None:
    """Stage the rows that are deactivated, or active ones whose new status is not active."""
    execute(
        f"""
        INSERT INTO losses (kind, tenant_id, row_id)
        SELECT %s, d.tenant_id, d.row_id FROM sync_plan d
        JOIN sw_{kind} p ON p.id = d.row_id LEFT JOIN stage_{kind} s ON s.n = d.n
        WHERE d.kind = %s AND d.action IN ('deactivate', 'move', 'update') AND (
            d.action <> 'update' OR (s.scaikey_status NOT IN ({_ACTIVE})
            AND p.scaikey_status IN ({_ACTIVE}) AND p.suspended_by_hand_at IS NULL))
        """,
        [measure, kind],
    )


def _find_tenant_access() -> None:
    """Stage which tenants give their people access, before and after the plan.

    That takes a tenant and a partner that are active, and each may change or be changed for
    another in the same run.
    """
    execute("DELETE FROM partner_access")
    execute("DELETE FROM tenant_access")
    if fetch(
        "SELECT 1 FROM sync_plan WHERE kind IN ('partners', 'tenants') "
        "AND action IN ('update', 'restore', 'deactivate') LIMIT 1"
    ):
        index_plan_rows()
        execute(_PARTNER_ACCESS)
        execute(_TENANT_ACCESS)


def _is_active(row: str, staged: str, plan: str) -> str:
    """SQL for whether a row will be active after the plan."""
    status = f"COALESCE({staged}.scaikey_status, {row}.scaikey_status)"
    return (
        f"({row}.suspended_by_hand_at IS NULL AND COALESCE({plan}.action, '') <> 'deactivate' "
        f"AND ({row}.absent_since IS NULL OR {plan}.action = 'restore') "
        f"AND {status} IN ({_ACTIVE}))"
    )


def _was_active(row: str) -> str:
    return (
        f"({row}.suspended_by_hand_at IS NULL AND {row}.absent_since IS NULL "
        f"AND {row}.scaikey_status IN ({_ACTIVE}))"
    )


_PLANNED = "d.action IN ('update', 'restore', 'deactivate')"

_PARTNER_ACCESS = f"""
    INSERT INTO partner_access (partner_id, was_active, is_active)
    SELECT p.id, CASE WHEN {_was_active("p")} THEN 1 ELSE 0 END,
           CASE WHEN {_is_active("p", "s", "d")} THEN 1 ELSE 0 END
    FROM sw_partners p
    LEFT JOIN sync_plan d ON d.kind = 'partners' AND d.row_id = p.id AND {_PLANNED}
    LEFT JOIN stage_partners s ON s.n = d.n
    UNION ALL
    SELECT d.row_id, 0, CASE WHEN COALESCE(s.scaikey_status, '') IN ({_ACTIVE}) THEN 1 ELSE 0 END
    FROM sync_plan d JOIN stage_partners s ON s.n = d.n
    WHERE d.kind = 'partners' AND d.action = 'add'
"""

_TENANT_ACCESS = f"""
    INSERT INTO tenant_access (tenant_id, was_active, is_active)
    SELECT t.id,
           CASE WHEN {_was_active("t")} AND COALESCE(o.was_active, 1) = 1 THEN 1 ELSE 0 END,
           CASE WHEN {_is_active("t", "s", "d")} AND COALESCE(a.is_active, 1) = 1
                THEN 1 ELSE 0 END
    FROM sw_tenants t
    LEFT JOIN sync_plan d ON d.kind = 'tenants' AND d.row_id = t.id AND {_PLANNED}
    LEFT JOIN stage_tenants s ON s.n = d.n
    LEFT JOIN partner_access o ON o.partner_id = t.partner_id
    LEFT JOIN partner_access a ON a.partner_id = COALESCE(s.partner_id, t.partner_id)
"""

_LOST_TENANTS = "SELECT tenant_id FROM tenant_access WHERE was_active = 1 AND is_active = 0"

_PEOPLE_OF_LOST_TENANTS = f"""
    INSERT INTO losses (kind, tenant_id, row_id)
    SELECT 'people', p.tenant_id, p.id FROM sw_participants p
    WHERE p.tenant_id IN ({_LOST_TENANTS}) AND p.participant_type = 'human'
      AND {_was_active("p")}
      AND NOT EXISTS (SELECT 1 FROM losses x WHERE x.row_id = p.id AND x.kind = 'people')
"""

_GROUP_DEPENDENTS = (
    ("memberships", "sw_group_memberships", "group_id"),
    ("memberships", "sw_group_memberships", "member_group_id"),
    ("grants", "sw_role_grants", "group_id"),
)


def count_losses() -> dict[str, int]:
    counts = dict.fromkeys(LOSSES, 0)
    counts |= {
        kind: int(number)
        for kind, number in fetch("SELECT kind, count(*) FROM losses GROUP BY kind")
    }
    return counts


_AFFECTED = """
    SELECT tenant_id, row_id AS person_id FROM losses WHERE kind = 'people'
    UNION
    SELECT l.tenant_id, g.participant_id FROM losses l JOIN sw_role_grants g ON g.id = l.row_id
    WHERE l.kind = 'grants' AND g.participant_id IS NOT NULL
    UNION
    SELECT l.tenant_id, m.member_participant_id
    FROM losses l JOIN sw_group_memberships m ON m.id = l.row_id
    WHERE l.kind = 'memberships' AND m.member_participant_id IS NOT NULL
    UNION
    SELECT tenant_id, person_id FROM affected_through_groups
"""

_AFFECTED_THROUGH_GROUPS = """
    WITH RECURSIVE lost (tenant_id, group_id) AS (
        SELECT l.tenant_id, m.member_group_id
        FROM losses l JOIN sw_group_memberships m ON m.id = l.row_id
        WHERE l.kind = 'memberships' AND m.member_group_id IS NOT NULL
        UNION
        SELECT l.tenant_id, m.member_group_id
        FROM lost l JOIN sw_group_memberships m ON m.group_id = l.group_id
        WHERE m.member_group_id IS NOT NULL AND m.absent_since IS NULL
    )
    INSERT INTO affected_through_groups (tenant_id, person_id)
    SELECT DISTINCT l.tenant_id, m.member_participant_id
    FROM lost l JOIN sw_group_memberships m ON m.group_id = l.group_id
    WHERE m.member_participant_id IS NOT NULL AND m.absent_since IS NULL
"""
"""The people in a group that is no longer a member of another, and so may lose its roles."""


def _count_affected() -> int:
    return int(
        fetch_one(f"SELECT count(*) FROM (SELECT DISTINCT person_id FROM ({_AFFECTED}) AS a) AS p")[
            0
        ]
    )


def count_losses_by_tenant() -> dict[tuple[str, str], int]:
    """Count the losses by measure and tenant; those of a partner have no tenant."""
    rows = fetch(
        "SELECT kind, tenant_id, count(*) FROM losses GROUP BY kind, tenant_id UNION ALL "
        f"SELECT '{AFFECTED}', tenant_id, count(*) FROM ({_AFFECTED}) AS a GROUP BY tenant_id"
    )
    return {(kind, str(tenant_id or "")): int(number) for kind, tenant_id, number in rows}


def _count_present(plan: Plan) -> dict[str, int]:
    """Count what the losses are a share of: rows within the scope before the run."""
    grants = fetch_one(
        "SELECT count(*) FROM sw_role_grants g "
        "WHERE g.tenant_id IN (SELECT tenant_id FROM scope_tenants)"
    )
    people = plan.present.get("participants", 0)
    present = {"people": people, AFFECTED: people, "grants": int(grants[0])} | {
        kind: plan.present.get(kind, 0) for kind in ("memberships", "groups", "tenants", "partners")
    }
    if plan.targets_only:
        present["memberships"] = plan.edges_in_scope
    return present


def _has_few_rows(measure: str, present: dict[str, int]) -> bool:
    return measure in ("groups", "tenants", "partners") and present[measure] < FEW_ROWS


def _ensure_not_empty(plan: Plan, kind: str, report: SyncReport, total: int) -> None:
    counts = plan.kinds[kind]
    # Without any record in the list a postponed removal has nothing to be compared with.
    removals = counts.deactivated + (counts.skipped if kind != "memberships" else 0)
    if plan.targets_only or plan.staged[kind] or not removals or not plan.present[kind]:
        return
    name = {"participants": "users", "memberships": "group members"}.get(kind, kind)
    raise SyncCollectionEmpty(
        f"ScaiKey returned no {name}, but this server has {plan.present[kind]:,}. No changes were "
        "made.",
        report=report,
        **build_allowance(plan, total or plan.claimed).explain(
            "Check the scopes of this server's application in ScaiKey. If ScaiKey really has none, "
        ),
    )


def _build_error(
    plan: Plan, limit: RemovalLimit, report: SyncReport, exceeded: tuple[str, int, int], total: int
) -> RemovalLimitExceeded:
    """Return the error for a measure that is exceeded: its name, its number, and the number it is a
    share of."""
    measure, number, present = exceeded
    return RemovalLimitExceeded(
        f"This sync would exceed the removal limit: {number:,} of {present:,} "
        f"{_LABELS[measure]} (more than {limit.limit:,} and more than {limit.share:.0%}). "
        "No changes were made.",
        report=report,
        **build_allowance(plan, total).explain("If this is correct, "),
    )


@dataclass(frozen=True)
class Allowance:
    """How to allow a plan and no larger one: the end of a fix, its command, and the number of
    `--allow-removals` if that is what it takes."""

    text: str
    command: str
    number: int | None = None

    def explain(self, condition: str) -> dict[str, Any]:
        """Return the arguments of a `SyncStopped`."""
        return {"fix": condition + self.text, "command": self.command, "allowance": self.number}


def build_allowance(plan: Plan, total: int) -> Allowance:
    review = f"{plan.plan_command} --dry-run -v 2"
    if plan.targets_only:
        return Allowance(f"let a full sync decide: `{review}` shows its plan.", review)
    if plan.apply_command:
        text = f"review the plan, then apply exactly its losses of access: `{plan.apply_command}`."
        return Allowance(text, plan.apply_command)
    command = f"{plan.plan_command} --allow-removals {total}"
    text = f"allow exactly this plan: `{command}`. To review it first: `{review}`."
    return Allowance(text, command, total)


def _find_exceeding_tenants(limit: RemovalLimit) -> set[str]:
    rows = fetch(
        "SELECT kind, tenant_id, count(*) FROM losses "
        "WHERE kind IN ('people', 'grants', 'memberships', 'groups') "
        "GROUP BY kind, tenant_id HAVING count(*) > %s",
        [0 if limit.spent else limit.limit],
    )
    rows += fetch(
        f"SELECT '{AFFECTED}', tenant_id, count(*) FROM ({_AFFECTED}) AS a "
        "GROUP BY tenant_id HAVING count(*) > %s",
        [0 if limit.spent else limit.limit],
    )
    exceeding = set()
    for kind, tenant_id, number in rows:
        spent = limit.count_spent(kind, str(tenant_id))
        present = _count_in_tenant(kind, str(tenant_id)) + spent
        if kind == "groups" and present < FEW_ROWS:
            continue
        if limit.is_exceeded(int(number) + spent, present):
            exceeding.add(str(tenant_id))
    return exceeding


def _count_in_tenant(kind: str, tenant_id: str) -> int:
    sql = {
        AFFECTED: "sw_participants WHERE scaikey_id IS NOT NULL AND absent_since IS NULL AND",
        "people": "sw_participants WHERE scaikey_id IS NOT NULL AND absent_since IS NULL AND",
        "groups": "sw_groups WHERE scaikey_id IS NOT NULL AND absent_since IS NULL AND",
        "memberships": "sw_group_memberships WHERE absent_since IS NULL AND",
        "grants": "sw_role_grants WHERE",
    }[kind]
    return int(fetch_one(f"SELECT count(*) FROM {sql} tenant_id = %s", [tenant_id])[0])


def _skip_tenants(tenants: Iterable[str], reason: str) -> list[str]:
    """Skip the losses of tenants, also those of their own rows and of their partners.

    Returns the slugs of the tenants, sorted.
    """
    execute("DELETE FROM skipped_tenants")
    copy_rows("skipped_tenants", ((tenant_id,) for tenant_id in tenants))
    analyze("skipped_tenants", "sync_plan")
    execute(
        "UPDATE sync_plan SET action = 'skipped', reason = %s "
        f"WHERE tenant_id IN ({_SKIPPED_TENANTS}) AND action IN ('deactivate', 'move') "
        "AND reason <> %s",  # That takes no access from anyone.
        [reason, Reason.NOT_RETURNED],
    )
    execute(
        "UPDATE sync_plan SET action = 'skipped', reason = %s WHERE kind = 'participants' "
        f"AND action = 'update' AND tenant_id IN ({_SKIPPED_TENANTS}) AND row_id IN "
        "(SELECT row_id FROM losses WHERE kind = 'people') AND n IN "
        f"(SELECT n FROM stage_participants WHERE scaikey_status NOT IN ({_ACTIVE}))",
        [reason],
    )
    execute(
        "UPDATE sync_plan SET action = 'skipped', reason = %s WHERE action IN ('update', "
        f"'deactivate') AND ((kind = 'tenants' AND row_id IN ({_SKIPPED_TENANTS}) "
        "AND row_id IN (SELECT row_id FROM losses WHERE kind = 'tenants' "
        f"UNION {_LOST_TENANTS})) "
        "OR (kind = 'partners' AND row_id IN (SELECT row_id FROM losses WHERE kind = 'partners') "
        "AND row_id IN (SELECT t.partner_id FROM sw_tenants t "
        "JOIN skipped_tenants k ON k.tenant_id = t.id)))",
        [reason],
    )
    execute(f"DELETE FROM role_plan WHERE action = 'revoke' AND tenant_id IN ({_SKIPPED_TENANTS})")
    return sorted(
        slug for (slug,) in fetch(f"SELECT slug FROM sw_tenants WHERE id IN ({_SKIPPED_TENANTS})")
    )


_SKIPPED_TENANTS = "SELECT tenant_id FROM skipped_tenants"


def _skip_consequences(reason: Reason) -> None:
    """Skip the changes that only make sense together with a skipped loss."""
    index_plan_rows()
    index_plan_records()
    analyze("sync_plan")
    # A person or group that stays in one tenant can't be added to another.
    execute(
        """
        UPDATE sync_plan SET action = 'skipped', reason = %s
        WHERE action IN ('add', 'restore') AND kind IN ('participants', 'groups') AND EXISTS (
            SELECT 1 FROM sync_plan o WHERE o.kind = sync_plan.kind AND o.action = 'skipped'
            AND o.scaikey_id = sync_plan.scaikey_id AND o.tenant_id <> sync_plan.tenant_id)
        """,
        [reason],
    )
    never_added = (
        "SELECT d.row_id FROM sync_plan d WHERE d.action = 'skipped' AND d.n IS NOT NULL "
        "AND d.kind IN ('participants', 'groups') AND NOT EXISTS (SELECT 1 FROM sw_participants p "
        "WHERE p.id = d.row_id AND p.absent_since IS NULL) AND NOT EXISTS (SELECT 1 FROM sw_groups "
        "g WHERE g.id = d.row_id AND g.absent_since IS NULL)"
    )
    for column in ("member_id", "group_id"):
        execute(
            "DELETE FROM sync_plan WHERE kind = 'memberships' AND action = 'restore' "
            f"AND {column} IN ({never_added})"
        )
        execute(f"DELETE FROM new_edges WHERE {column} IN ({never_added})")
    execute(f"DELETE FROM role_plan WHERE action = 'grant' AND participant_id IN ({never_added})")
    # People of whom only the roles would have changed.
    index_filled("role_plan", "participant_id")
    execute(
        "DELETE FROM sync_plan WHERE kind = 'participants' AND action = 'update' "
        "AND fields = 'roles' AND NOT EXISTS "
        "(SELECT 1 FROM role_plan r WHERE r.participant_id = sync_plan.row_id)"
    )
    _keep_slugs_of_skipped_tenants()


def _keep_slugs_of_skipped_tenants() -> None:
    """Skip the tenants that would have received the slug of a skipped tenant."""
    for action in ("add", "update", "restore"):
        execute("DELETE FROM skipped_tenants")
        if not execute(_STAGE_BLOCKED_TENANTS, [action]):
            continue
        only = "" if action == "add" else "AND kind = 'tenants'"
        execute(
            "UPDATE sync_plan SET action = 'skipped', reason = %s "
            f"WHERE tenant_id IN ({_SKIPPED_TENANTS}) {only}",
            [Reason.SLUG_IN_USE],
        )
        if action == "add":
            execute(f"DELETE FROM role_plan WHERE tenant_id IN ({_SKIPPED_TENANTS})")
            execute(_SKIP_NEW_EDGES, [Reason.SLUG_IN_USE])
            execute(f"DELETE FROM new_edges WHERE tenant_id IN ({_SKIPPED_TENANTS})")


_STAGE_BLOCKED_TENANTS = """
    INSERT INTO skipped_tenants (tenant_id)
    SELECT d.row_id FROM sync_plan d JOIN stage_tenants s ON s.n = d.n
    JOIN sw_tenants t ON t.slug = s.slug AND t.id <> d.row_id
    JOIN sync_plan o ON o.kind = 'tenants' AND o.action = 'skipped' AND o.row_id = t.id
    WHERE d.kind = 'tenants' AND d.action = %s
"""

_SKIP_NEW_EDGES = """
    INSERT INTO sync_plan (kind, action, row_id, tenant_id, n, scaikey_id, name, reason)
    SELECT 'memberships', 'skipped', d.row_id, d.tenant_id, d.n,
           s.group_scaikey_id || ' ' || s.member_scaikey_id, COALESCE(p.display_name, g.name), %s
    FROM new_edges d JOIN stage_memberships s ON s.n = d.n
    LEFT JOIN stage_participants p ON s.is_group = 0 AND p.scaikey_id = s.member_scaikey_id
    LEFT JOIN stage_groups g ON s.is_group = 1 AND g.scaikey_id = s.member_scaikey_id
    WHERE d.tenant_id IN (SELECT tenant_id FROM skipped_tenants)
"""

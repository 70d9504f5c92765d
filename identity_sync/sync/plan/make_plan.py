"""Make the plan: compare the staged records with the rows, and name every change.

It is made in the transaction that applies it, as the temporary table `sync_plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from identity_sync.reasons import Reason
from identity_sync.report import KindCounts
from identity_sync.sync.confirm.confirm_losses import Confirmed
from identity_sync.sync.fetch.kinds import ENTITIES, PARTNERS, TENANTS
from identity_sync.sync.fetch.records import has_role_data
from identity_sync.sync.plan import differences, slugs
from identity_sync.sync.plan.differences import plan_rows
from identity_sync.sync.plan.slugs import SlugConflict
from identity_sync.sync.states import UNDECIDED
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.core.sql import execute, fetch, fetch_number


def plan_removals(kinds: list[str]) -> None:
    """Plan the confirmed removals, and add the others as skipped."""
    for entity in ENTITIES:
        if entity.kind in kinds:
            differences.plan_removals_of(entity)
            # Add the rows that differ from the lists but stay unchanged: unproven or unusable ones.
            plan_rows(
                entity,
                "skipped",
                f"loss_claims c JOIN {entity.table} p ON p.id = c.row_id "
                f"WHERE c.kind = '{entity.kind}' "
                f"AND c.state IN {UNDECIDED}",
                reason="c.note",
                detail="c.detail",
            )
            plan_rows(
                entity,
                "skipped",
                f"unusable_records u JOIN {entity.table} p ON p.{entity.identity} = u.scaikey_id "
                f"WHERE u.kind = '{entity.kind}' AND {entity.owned_condition}",
                reason=f"'{Reason.UNUSABLE}'",
                detail="u.detail",
            )
    execute(_UNREADABLE_LISTS)
    if "memberships" in kinds:
        differences.plan_edge_removals()
    if has_role_data():
        differences.plan_grant_removals()


# The kind of the list follows the ID: a tenant may have two that can't be read.
_UNREADABLE_LISTS = f"""
    INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason, detail)
    SELECT 'tenants', 'skipped', COALESCE(t.id, s_t.new_id), COALESCE(t.id, s_t.new_id),
           ul.scaikey_id || ' ' || ul.kind,
           CASE ul.kind WHEN 'groups' THEN 'groups of ' ELSE 'people of ' END || s_t.name,
           '{Reason.UNREADABLE_LIST}', ul.detail
    FROM unreadable_lists ul JOIN stage_tenants s_t
      ON ul.kind IN ('participants', 'groups') AND s_t.scaikey_id = ul.scaikey_id
    LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s_t.scaikey_id
    UNION ALL
    SELECT 'partners', 'skipped', COALESCE(pr.id, s_pr.new_id), NULL,
           ul.scaikey_id || ' ' || ul.kind, 'tenants of ' || s_pr.name,
           '{Reason.UNREADABLE_LIST}', ul.detail
    FROM unreadable_lists ul
    JOIN stage_partners s_pr ON ul.kind = 'tenants' AND s_pr.scaikey_id = ul.scaikey_id
    LEFT JOIN sw_partners pr ON pr.scaikey_id = s_pr.scaikey_id
    UNION ALL
    SELECT 'memberships', 'skipped', COALESCE(g.id, s_g.new_id), COALESCE(t.id, s_t.new_id),
           ul.scaikey_id, 'members of ' || s_g.name, '{Reason.UNREADABLE}', ul.detail
    FROM unreadable_lists ul
    JOIN stage_groups s_g ON ul.kind = 'memberships' AND s_g.scaikey_id = ul.scaikey_id
    LEFT JOIN stage_tenants s_t ON s_t.scaikey_id = s_g.tenant_scaikey_id
    LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s_g.tenant_scaikey_id
    LEFT JOIN sw_groups g ON g.scaikey_id = s_g.scaikey_id AND g.tenant_id = t.id
"""


@dataclass
class Plan:
    """The numbers of planned changes; the changes themselves are in the temporary tables.

    `kinds` counts them by kind, `staged` the records that ScaiKey returned, and `unplaced` the ones
    among them that have no tenant here. `conflicts` are tenants that are skipped because of their
    slug.
    """

    confirmed: Confirmed
    kinds: dict[str, KindCounts] = field(default_factory=dict)
    staged: dict[str, int] = field(default_factory=dict)
    unplaced: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    conflicts: list[SlugConflict] = field(default_factory=list)


def make_plan(confirmed: Confirmed, *, progress: ProgressCallback = null_progress) -> Plan:
    """Plan the confirmed removals, then everything else, each kind after those it depends on.

    `progress` gets the numbers of planned and of all staged records.
    """
    plan_removals(confirmed.fetched.kinds)
    plan = Plan(confirmed)
    _count_staged(plan)
    done, total = 0, sum(plan.staged.values())
    progress(done, total)
    for entity in ENTITIES:
        if entity is PARTNERS:
            plan.warnings += slugs.settle_partner_slugs()
        if entity is TENANTS:
            _prepare_tenants(plan)
        differences.plan_changes_of(entity)
        differences.plan_moves(entity)
        done += plan.staged[entity.kind]
        progress(done, total)
    differences.map_groups()
    differences.plan_edge_changes()
    progress(total, total)
    differences.plan_grant_changes()
    count_plan(plan)
    plan.warnings += [
        f"Skipped {number:,} of the {kind}, whose tenant was skipped or not returned by ScaiKey; "
        "the local rows are unchanged."
        for kind in ("participants", "groups")
        if (number := plan.unplaced[kind])
    ]
    return plan


def _prepare_tenants(plan: Plan) -> None:
    """Settle the slugs and partners of the staged tenants, and map them to rows."""
    plan.warnings += slugs.settle_tenant_slugs()
    execute(
        """
        UPDATE stage_tenants SET partner_id = COALESCE(
            (SELECT pr.id FROM sw_partners pr
             WHERE pr.scaikey_id = stage_tenants.partner_scaikey_id),
            (SELECT s_pr.new_id FROM stage_partners s_pr
             WHERE s_pr.scaikey_id = stage_tenants.partner_scaikey_id))
        """
    )
    plan.conflicts = slugs.skip_slug_conflicts()
    warnings = [conflict.warning for conflict in plan.conflicts]
    plan.warnings += slugs.limit_warnings(warnings, "tenant")
    # The existing or future row of each staged tenant, and which of them had no first sync.
    execute(
        """
        INSERT INTO tenant_map (scaikey_id, tenant_id, is_first)
        SELECT s_t.scaikey_id, COALESCE(t.id, s_t.new_id),
               CASE WHEN EXISTS (SELECT 1 FROM sw_participants p WHERE p.tenant_id = t.id
                                 AND p.scaikey_id IS NOT NULL)
                      OR EXISTS (SELECT 1 FROM sw_groups g WHERE g.tenant_id = t.id
                                 AND g.scaikey_id IS NOT NULL) THEN 0 ELSE 1 END
        FROM stage_tenants s_t LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s_t.scaikey_id
        WHERE t.id IS NOT NULL OR s_t.skipped = 0
        """
    )
    # A tenant that the list lacks still has its people if its removal is not confirmed, or waits.
    execute(
        f"""
        INSERT INTO tenant_map (scaikey_id, tenant_id, is_first)
        SELECT c.scaikey_id, c.row_id, 0 FROM loss_claims c
        WHERE c.kind = 'tenants' AND c.is_absent = 1
          AND (c.state = 'waiting' OR c.state IN {UNDECIDED})
        """
    )


_COUNT_NAMES = {
    "add": "added",
    "update": "updated",
    "deactivate": "deactivated",
    "move": "deactivated",  # in the old tenant; a person is added or restored in the new one
    "restore": "restored",
    "skipped": "skipped",
}


def count_plan(plan: Plan) -> None:
    """Count the plan, again after the removal limit has skipped a part of it."""
    _count_staged(plan)
    present = plan.confirmed.fetched.present
    # In place, because the report has the same dictionary.
    plan.kinds.update({kind: KindCounts() for kind in plan.staged})
    for kind, action, number in fetch(
        "SELECT kind, action, count(*) FROM sync_plan GROUP BY kind, action"
    ):
        counts = plan.kinds[kind]
        setattr(counts, _COUNT_NAMES[action], getattr(counts, _COUNT_NAMES[action]) + number)
    plan.kinds["memberships"].added = fetch_number("SELECT count(*) FROM new_edges")
    for kind, counts in plan.kinds.items():
        # The seen records that are not written: unchanged, or skipped without their tenant.
        counts.seen = plan.staged[kind]
        written = counts.added + counts.updated + counts.restored
        staged_skips = fetch_number(
            "SELECT count(*) FROM sync_plan "
            "WHERE kind = %s AND action = 'skipped' AND n IS NOT NULL",
            [kind],
        )
        if kind == "memberships":
            # Every edge is either unseen or among the seen ones. The rest of the seen ones has a
            # member or group without a row.
            seen_rows = max(0, present.get(kind, 0) - differences.count_unseen())
            unplaced = max(0, counts.seen - written - staged_skips - seen_rows)
        else:
            unplaced = plan.unplaced[kind] = _count_unplaced(kind)
        counts.skipped += unplaced
        counts.unchanged = max(0, counts.seen - written - staged_skips - unplaced)


def _count_staged(plan: Plan) -> None:
    for kind in (*(entity.kind for entity in ENTITIES), "memberships"):
        plan.staged[kind] = fetch_number(f"SELECT count(*) FROM stage_{kind}")


def cancel_renames() -> int:
    """Take back `rename_removed_tenants`: a tenant that is skipped after all keeps its slug."""
    return execute("DELETE FROM sync_plan WHERE reason = %s", [Reason.SLUG_FREED])


def rename_removed_tenants(plan: Plan) -> None:
    """Plan the slug `…-gone-…` for each removed tenant whose slug another tenant gets.

    Slugs are unique, and a removed tenant keeps its row. Call it once it is known which tenants
    are removed: after the removals that wait were skipped. These rows have no staged record.
    """
    counts = plan.kinds["tenants"]
    if not counts.added + counts.updated + counts.restored:
        return  # No tenant gets a slug.
    counts.updated += execute(
        f"""
        INSERT INTO sync_plan
            (kind, action, row_id, tenant_id, scaikey_id, name, fields, reason)
        SELECT 'tenants', 'update', t.id, t.id, t.scaikey_tenant_id, t.name, 'slug',
               '{Reason.SLUG_FREED}'
        FROM sw_tenants t
        WHERE t.scaikey_tenant_id IS NOT NULL AND t.id IN (
            SELECT other_t.id
            FROM sync_plan d CROSS JOIN stage_tenants s_t CROSS JOIN sw_tenants other_t
            WHERE d.kind = 'tenants' AND d.action IN ('add', 'update', 'restore')
              AND s_t.n = d.n AND other_t.slug = s_t.slug AND other_t.id <> d.row_id)
        AND t.id NOT IN (
            SELECT d.row_id FROM sync_plan d
            WHERE d.kind = 'tenants' AND d.action IN ('update', 'restore'))
        AND (t.absent_since IS NOT NULL OR t.id IN (
            SELECT d.row_id FROM sync_plan d
            WHERE d.kind = 'tenants' AND d.action = 'deactivate'))
        """
    )


def _count_unplaced(kind: str) -> int:
    """Return how many staged records have no tenant here, or are tenants with an unusable slug.

    A new tenant with such a slug is left out (`skipped` 1). An existing one (2) counts if nothing
    else of it changes.
    """
    if kind == "partners":
        return 0
    if kind == "tenants":
        return fetch_number(
            "SELECT count(*) FROM stage_tenants s_t WHERE s_t.skipped = 1 OR (s_t.skipped = 2 "
            "AND s_t.n NOT IN (SELECT n FROM sync_plan WHERE kind = 'tenants' AND n IS NOT NULL))"
        )
    return fetch_number(
        f"SELECT count(*) FROM stage_{kind} s WHERE NOT EXISTS "
        "(SELECT 1 FROM tenant_map tm WHERE tm.scaikey_id = s.tenant_scaikey_id)"
    )

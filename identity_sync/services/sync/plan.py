"""Plan: compare what was staged with what we have, and say what there is to do.

Removals are planned first, and confirmed with ScaiKey, before anything is locked; the rest is
planned in the transaction that applies it. The plan is the table `sync_plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from identity_sync.services.sync import memberships as membership_plan
from identity_sync.services.sync import roles, tenant_slugs
from identity_sync.services.sync.entities import MIRRORS, TENANTS
from identity_sync.services.sync.fetch import FetchResult
from identity_sync.services.sync.report import KindCounts
from identity_sync.services.sync.staging import fetch_one, select
from identity_sync.services.sync.tenant_slugs import Conflict
from tenants.models import Tenant


@dataclass
class Plan:
    """How much is planned of each kind, beside how much there is.

    `present` counts our rows of a kind before the run, `staged` what ScaiKey showed,
    `conflicts` are tenants that are held back for their slug, `braked` counts removals that the
    brake holds back; `tenant` is the only one that the run is for.
    """

    tenant: Tenant | None = None
    kinds: dict[str, KindCounts] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    staged: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    braked: int = 0

    @property
    def removals(self) -> int:
        return sum(counts.deactivated for counts in self.kinds.values())

    @property
    def command(self) -> str:
        """What an operator types to get this plan again."""
        return f"scaiwave sync --tenant {self.tenant.slug}" if self.tenant else "scaiwave sync"


def plan_removals(fetched: FetchResult) -> dict[str, int]:
    """Plan what ScaiKey showed no more; returns how many rows of each kind are present."""
    present = {}
    for mirror in MIRRORS:
        if mirror.kind not in fetched.walked:
            continue  # single rows were asked for, which says nothing of the others
        present[mirror.kind] = mirror.present()
        mirror.plan_absent()
    if "memberships" in fetched.walked:
        membership_plan.map_fetched_groups()
        present["memberships"] = membership_plan.count_active()
        membership_plan.plan_absent()
    if roles.has_role_data():
        fetched.odd_roles = roles.stage_roles()
        if "participants" not in fetched.inconsistent:
            roles.plan_absent()
    return present


def plan_changes(present: dict[str, int], *, tenant: Tenant | None) -> Plan:
    """Plan everything else, in the order in which one kind needs the other."""
    plan = Plan(tenant=tenant, present=present)
    for mirror in MIRRORS:
        if mirror is TENANTS:
            tenant_slugs.resolve_partners()
            plan.conflicts = tenant_slugs.exclude_conflicts()
            plan.warnings += [conflict.warning for conflict in plan.conflicts]
            tenant_slugs.map_tenants()
        mirror.plan_changes()
        mirror.plan_moved()
    membership_plan.map_groups()
    membership_plan.plan_changes()
    roles.plan_changes()
    _count(plan)
    return plan


_COUNTED = {
    "add": "added",
    "update": "updated",
    "deactivate": "deactivated",
    "move": "deactivated",
    "restore": "restored",
}


def _count(plan: Plan) -> None:
    for kind in (*(mirror.kind for mirror in MIRRORS), "memberships"):
        plan.kinds[kind] = KindCounts()
        plan.staged[kind] = int(fetch_one(f"SELECT count(*) FROM stage_{kind}")[0])
    for kind, action, number in select(
        "SELECT kind, action, count(*) FROM sync_plan GROUP BY kind, action"
    ):
        counts = plan.kinds[kind]
        setattr(counts, _COUNTED[action], getattr(counts, _COUNTED[action]) + number)
    for kind, counts in plan.kinds.items():
        _place(plan, kind, counts)


def _place(plan: Plan, kind: str, counts: KindCounts) -> None:
    counts.seen = plan.staged[kind]
    written = counts.added + counts.updated + counts.restored
    if kind == "memberships":
        # Whatever edge is present and not planned to end was seen, so what is left over of the
        # seen ones has a member or a group that is not here.
        known = max(0, plan.present.get(kind, 0) - counts.deactivated)
        counts.held = max(0, counts.seen - written - known)
    elif kind == "tenants":
        counts.held = int(fetch_one("SELECT count(*) FROM stage_tenants WHERE held = 1")[0])
    elif kind in ("participants", "groups"):
        counts.held = _unplaced(plan, kind)
    counts.unchanged = counts.seen - written - counts.held


def _unplaced(plan: Plan, kind: str) -> int:
    number = int(
        fetch_one(
            f"SELECT count(*) FROM stage_{kind} s WHERE NOT EXISTS "
            "(SELECT 1 FROM tenant_map t WHERE t.scaikey_id = s.tenant_scaikey_id)"
        )[0]
    )
    if number:
        plan.warnings.append(
            f"{number} {kind} belong to tenants that ScaiKey did not show or that are held back; "
            "they are left as they are."
        )
    return number

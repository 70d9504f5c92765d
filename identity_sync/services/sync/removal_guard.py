"""Where the brake stops a whole run, and where it only holds one tenant back."""

from __future__ import annotations

from identity_sync.errors import RemovalLimitExceeded, SyncCollectionEmpty, SyncPartial
from identity_sync.services.brake import RemovalLimit
from identity_sync.services.sync import memberships as membership_plan
from identity_sync.services.sync.fetch import COLLECTIONS
from identity_sync.services.sync.plan import Plan
from identity_sync.services.sync.report import SyncReport
from identity_sync.services.sync.staging import execute, fetch_one, select

IN_TENANT = ("participants", "groups", "memberships")


def enforce_removal_limit(plan: Plan, brake: RemovalLimit, report: SyncReport) -> list[str]:
    """Let the plan through, or part of it; returns the slugs of tenants that are held back.

    Raises `SyncCollectionEmpty` or `RemovalLimitExceeded` when the whole plan must not be applied.
    A run for one tenant is let through or refused as a whole.
    """
    if brake.lifted_for(plan.removals):
        return []
    for kind, present in plan.present.items():
        _refuse_empty(plan, kind, present, report)
        if brake.stops(removals=plan.kinds[kind].deactivated, present=present):
            raise RemovalLimitExceeded(
                f"The brake stopped this sync: {_removals(plan)} would be deactivated "
                f"({kind}: {plan.kinds[kind].deactivated:,} of {present:,}, more than "
                f"{brake.limit:,} and more than {brake.share:.0%}). Nothing was changed.",
                report=report,
                fix="If they really left, " + _let_through(plan, plan.removals),
            )
    return _hold(plan, brake) if plan.tenant is None else []


def _let_through(plan: Plan, number: int) -> str:
    return (
        f"let this plan and no bigger one through: `{plan.command} --allow-removals {number}`. "
        f"Look first: `{plan.command} --dry-run -v 2` lists them."
    )


def _removals(plan: Plan) -> str:
    return ", ".join(
        f"{counts.deactivated:,} {kind}"
        for kind, counts in plan.kinds.items()
        if counts.deactivated
    )


def _refuse_empty(plan: Plan, kind: str, present: int, report: SyncReport) -> None:
    if plan.staged[kind] or not plan.kinds[kind].deactivated:
        return
    name = COLLECTIONS.get(kind, "group members")
    raise SyncCollectionEmpty(
        f"ScaiKey shows no {name} at all, and there are {present:,} here. Nothing was changed.",
        report=report,
        fix="Check the scopes of this server's application in ScaiKey. If there are none indeed, "
        + _let_through(plan, plan.removals),
    )


def _hold(plan: Plan, brake: RemovalLimit) -> list[str]:
    tenants = {
        tenant_id
        for kind in IN_TENANT
        for tenant_id, removals in select(
            """
            SELECT tenant_id, count(*) FROM sync_plan
            WHERE kind = %s AND action = 'deactivate' GROUP BY tenant_id HAVING count(*) > %s
            """,
            [kind, brake.limit],
        )
        if brake.stops(removals=removals, present=_present_in(kind, tenant_id))
    }
    return sorted(_hold_tenant(plan, tenant_id) for tenant_id in tenants)


def _present_in(kind: str, tenant_id: object) -> int:
    owned = "" if kind == membership_plan.KIND else "AND scaikey_id IS NOT NULL"
    table = "sw_group_memberships" if kind == membership_plan.KIND else f"sw_{kind}"
    return int(
        fetch_one(
            f"SELECT count(*) FROM {table} WHERE tenant_id = %s AND absent_since IS NULL {owned}",
            [tenant_id],
        )[0]
    )


def _hold_tenant(plan: Plan, tenant_id: object) -> str:
    """Mark the tenant's removals, its own among them, as not to be done; returns its slug."""
    held = select(
        "SELECT kind, count(*) FROM sync_plan "
        "WHERE tenant_id = %s AND action = 'deactivate' GROUP BY kind",
        [tenant_id],
    )
    for kind, number in held:
        plan.kinds[kind].deactivated -= number
        plan.kinds[kind].held += number
        plan.braked += number
    execute(
        "UPDATE sync_plan SET action = 'held' WHERE tenant_id = %s AND action = 'deactivate'",
        [tenant_id],
    )
    return str(fetch_one("SELECT slug FROM sw_tenants WHERE id = %s", [tenant_id])[0])


def partial_error(held: list[str], plan: Plan, report: SyncReport) -> SyncPartial:
    """How a run ends that leaves out tenants: `held` ones by the brake, others for their slug."""
    said, fixes = [], []
    if held:
        said.append(f"The brake holds back {plan.braked:,} removals in {', '.join(held)}")
        fixes.append("If they really left, " + _let_through(plan, plan.removals + plan.braked))
    if plan.conflicts:
        slugs = ", ".join(conflict.slug for conflict in plan.conflicts)
        said.append(f"Tenants held back because their slug is taken here: {slugs}")
        fixes += [conflict.fix for conflict in plan.conflicts]
    done = report.outcome
    if done == "applied":
        report.outcome = SyncPartial.outcome
    return SyncPartial(
        f"{'. '.join(said)}. Everything else is {done}.", report=report, fix=" ".join(fixes)
    )

"""Write a plan unless it would leave no one with the role super_admin."""

from __future__ import annotations

from datetime import datetime

from identity_sync.errors import LastSuperAdminLost
from identity_sync.sync.apply.write import apply_plan
from identity_sync.sync.judge.limits import Verdict
from scaiwave.console.progress import ProgressCallback
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

"""Apply: write the plan, kind by kind, in the transaction the caller holds."""

from __future__ import annotations

from datetime import datetime

from identity_sync.services.sync import local_ids, memberships, roles, tenant_slugs
from identity_sync.services.sync.entities import GROUPS, MIRRORS, PARTICIPANTS, PARTNERS, TENANTS
from identity_sync.services.sync.staging import BATCH, analyze


def apply_plan(now: datetime) -> None:
    """Deactivate first: a person who moved may be present in one tenant only."""
    analyze("sync_plan")
    for mirror in MIRRORS:
        mirror.deactivate(now)
    memberships.deactivate(now)
    PARTNERS.update(now)
    PARTNERS.insert(now)
    tenant_slugs.free_slugs()
    TENANTS.update(now)
    TENANTS.insert(now, extra={"features": "'{}'"})
    PARTICIPANTS.update(now)
    local_ids.assign_local_ids()
    PARTICIPANTS.insert(
        now,
        extra={
            "participant_type": "'human'",
            "server_name": "''",
            "local_id": local_ids.EXPRESSION,
        },
        joins=local_ids.JOIN,
    )
    GROUPS.update(now)
    GROUPS.insert(now)
    memberships.update(now)
    memberships.insert(now)
    roles.apply(now)


def refresh_statistics(changed: int) -> None:
    """After a large change, so that the next run's statements are planned for what is there now;
    PostgreSQL would find out by itself, some minutes later."""
    if changed >= BATCH:
        analyze(
            "sw_tenants", "sw_participants", "sw_groups", "sw_group_memberships", "sw_role_grants"
        )

"""Keep access: leave out losses where removals are turned off, for a run or for a tenant.

A claim or an edge of such a tenant gets the state `kept`. It is not looked up, does not count for
the removal limit, and is reported as skipped. A partner is kept if one of its tenants is.

In SQL: `k` is a tenant whose access is kept; without an ID it stands for everything.
"""

from __future__ import annotations

from identity_sync.services.sync.entities import PARTNERS, EntitySync
from scaiwave.sql import execute, fetch, fetch_one

OFF_FOR_RUN = "removals are turned off for this run"
OFF_FOR_TENANT = "removals are turned off for this tenant"


def stage_kept_tenants(*, removals: bool) -> None:
    """Stage the tenants whose access is kept: all, or those with that setting."""
    if removals:
        execute(
            "INSERT INTO kept_tenants (tenant_id, note) SELECT id, %s FROM sw_tenants "
            "WHERE NOT sync_removals",
            [OFF_FOR_TENANT],
        )
        return
    execute("INSERT INTO kept_tenants (tenant_id, note) VALUES (NULL, %s)", [OFF_FOR_RUN])
    execute(
        "INSERT INTO kept_tenants (tenant_id, note) SELECT id, %s FROM sw_tenants", [OFF_FOR_RUN]
    )


def keep_claims(entity: EntitySync) -> int:
    """Keep what open claims of this kind would take; return how many there were."""
    condition = "tenant_id IN (SELECT k.tenant_id FROM kept_tenants k)"
    if entity is PARTNERS:
        condition = """
            (EXISTS (SELECT 1 FROM kept_tenants k WHERE k.tenant_id IS NULL)
             OR row_id IN (SELECT t.partner_id FROM sw_tenants t
                           JOIN kept_tenants k ON k.tenant_id = t.id))
        """
    return execute(
        f"UPDATE loss_claims SET state = 'kept', note = {_NOTE} "
        f"WHERE kind = %s AND state = 'open' AND {condition}",
        [entity.kind],
    )


def keep_edges() -> int:
    """Keep the group memberships that would end; return how many there were."""
    return execute(
        f"UPDATE edge_claims SET state = 'kept', note = {_NOTE} "
        "WHERE state IN ('open', 'proven') "
        "AND tenant_id IN (SELECT k.tenant_id FROM kept_tenants k)"
    )


_NOTE = "(SELECT min(k.note) FROM kept_tenants k)"


def find_kept_tenants_with_losses() -> list[str]:
    """Return the IDs of tenants that would lose access although it is kept."""
    rows = fetch(
        "SELECT DISTINCT l.tenant_id FROM losses l JOIN kept_tenants k ON k.tenant_id = l.tenant_id"
    )
    return [str(tenant_id) for (tenant_id,) in rows]


def count_kept() -> int:
    """Count the losses that were left out."""
    sql = """
        SELECT (SELECT count(*) FROM loss_claims WHERE state = 'kept')
             + (SELECT count(*) FROM edge_claims WHERE state = 'kept')
    """
    return int(fetch_one(sql)[0])

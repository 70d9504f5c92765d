"""Slugs are unique here, and ScaiKey's tenants may disagree about one.

A slug that ScaiKey gives to a tenant wins over a tenant that is gone from ScaiKey; it never wins
over a tenant that ScaiKey does not own, nor over another that ScaiKey shows: then the row is
skipped, and the run says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from identity_sync.services.sync.staging import execute, select


@dataclass(frozen=True)
class Conflict:
    """A tenant of ScaiKey's whose slug another tenant has here; `local`: one without ScaiKey."""

    scaikey_id: str
    name: str
    slug: str
    local: bool

    @property
    def warning(self) -> str:
        whose = "a tenant that is not linked to ScaiKey" if self.local else "another tenant"
        return (
            f"Tenant {self.name} ({self.scaikey_id}) is skipped: {whose} has the slug "
            f"{self.slug} here."
        )

    @property
    def fix(self) -> str:
        if self.local:
            return (
                f"If both are the same tenant, link them: `scaiwave admin link-tenant {self.slug} "
                f"--scaikey-tenant-id {self.scaikey_id}`; else change the slug of one of them."
            )
        return (
            f"A sync of all tenants, `scaiwave sync`, sorts {self.slug} out if ScaiKey gives that "
            "slug to one tenant only."
        )


def keep_partner_slugs() -> None:
    """A partner without a slug keeps the one it has here."""
    execute(
        "UPDATE stage_partners SET slug = COALESCE((SELECT p.slug FROM sw_partners p "
        "WHERE p.scaikey_id = stage_partners.scaikey_id), '') WHERE slug IS NULL"
    )


def keep_slugs() -> list[str]:
    """A tenant without a slug keeps the one it has here; a new one is called by its id.

    Returns warnings.
    """
    kept = select(
        "SELECT t.slug, s.scaikey_id FROM stage_tenants s "
        "JOIN sw_tenants t ON t.scaikey_tenant_id = s.scaikey_id "
        "WHERE s.slug IS NULL ORDER BY t.slug"
    )
    execute(
        "UPDATE stage_tenants SET slug = COALESCE((SELECT t.slug FROM sw_tenants t "
        "WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id), scaikey_id) WHERE slug IS NULL"
    )
    return [
        f"ScaiKey reports no slug for tenant {scaikey_id}; it keeps {slug} here."
        for slug, scaikey_id in kept
    ]


def resolve_partners() -> None:
    """Give each staged tenant our key of its partner; unknown partners leave it as it is."""
    execute(
        """
        UPDATE stage_tenants SET partner_id = COALESCE(
            (SELECT p.id FROM sw_partners p
             WHERE p.scaikey_id = stage_tenants.partner_scaikey_id),
            (SELECT s.new_id FROM stage_partners s
             WHERE s.scaikey_id = stage_tenants.partner_scaikey_id))
        """
    )


def exclude_conflicts() -> list[Conflict]:
    """Mark the staged tenants whose slug is not to be had, and say which they are."""
    # Of several staged tenants with one slug, the one that has it here keeps it.
    execute(
        """
        UPDATE stage_tenants SET skipped = 1 WHERE n NOT IN (
            SELECT n FROM (
                SELECT s.n, row_number() OVER (
                    PARTITION BY s.slug
                    ORDER BY CASE WHEN t.slug = s.slug THEN 0 ELSE 1 END, s.scaikey_id
                ) AS place
                FROM stage_tenants s
                LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s.scaikey_id
            ) AS ranked WHERE place = 1)
        """
    )
    execute(
        """
        UPDATE stage_tenants SET skipped = 1 WHERE EXISTS (
            SELECT 1 FROM sw_tenants o
            WHERE o.slug = stage_tenants.slug AND (o.scaikey_tenant_id IS NULL OR (
                o.id NOT IN (SELECT tenant_id FROM scope_tenants)
                AND o.scaikey_tenant_id NOT IN (SELECT scaikey_id FROM stage_tenants))
                OR o.id IN (SELECT row_id FROM loss_claims WHERE kind = 'tenants'
                            AND is_absent = 1 AND state IN ('postponed', 'inconsistent'))
                OR o.scaikey_tenant_id IN (SELECT scaikey_id FROM unusable_records
                                           WHERE kind = 'tenants')))
        """
    )
    _hold_for_those_who_keep_theirs()
    skipped = select(
        """
        SELECT s.scaikey_id, s.name, s.slug, EXISTS (
            SELECT 1 FROM sw_tenants o WHERE o.slug = s.slug AND o.scaikey_tenant_id IS NULL)
        FROM stage_tenants s WHERE s.skipped = 1 ORDER BY s.n
        """
    )
    return [
        Conflict(scaikey_id, name, slug, bool(local)) for scaikey_id, name, slug, local in skipped
    ]


def _hold_for_those_who_keep_theirs() -> None:
    """A skipped tenant keeps its old slug, so whoever was to get that one is skipped as well."""
    while execute(
        """
        UPDATE stage_tenants SET skipped = 1 WHERE skipped = 0 AND EXISTS (
            SELECT 1 FROM stage_tenants h JOIN sw_tenants t ON t.scaikey_tenant_id = h.scaikey_id
            WHERE h.skipped = 1 AND t.slug = stage_tenants.slug
              AND h.scaikey_id <> stage_tenants.scaikey_id)
        """
    ):
        pass


def map_tenants() -> None:
    """Say which local tenant each staged one is, or will be, and whether it is new to syncs."""
    execute(
        """
        INSERT INTO tenant_map (scaikey_id, tenant_id, is_first)
        SELECT s.scaikey_id, COALESCE(t.id, s.new_id),
               CASE WHEN EXISTS (SELECT 1 FROM sw_participants p WHERE p.tenant_id = t.id
                                 AND p.scaikey_id IS NOT NULL)
                      OR EXISTS (SELECT 1 FROM sw_groups g WHERE g.tenant_id = t.id
                                 AND g.scaikey_id IS NOT NULL) THEN 0 ELSE 1 END
        FROM stage_tenants s LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s.scaikey_id
        WHERE t.id IS NOT NULL OR s.skipped = 0
        """
    )
    # A tenant that the list lacks and that is not proven to be gone still has its people.
    execute(
        """
        INSERT INTO tenant_map (scaikey_id, tenant_id, is_first)
        SELECT c.scaikey_id, c.row_id, 0 FROM loss_claims c
        WHERE c.kind = 'tenants' AND c.is_absent = 1 AND c.state IN ('postponed', 'inconsistent')
        """
    )


def free_slugs() -> None:
    """Before slugs are written: those who change theirs, or are gone, let go of the old one.

    Two tenants may swap slugs in one run, and no order of updates would do for that.
    """
    execute(
        """
        UPDATE sw_tenants SET slug = '~' || CAST(id AS text) WHERE id IN (
            SELECT d.row_id FROM sync_plan d JOIN stage_tenants s ON s.n = d.n
            JOIN sw_tenants t ON t.id = d.row_id
            WHERE d.kind = 'tenants' AND d.action IN ('update', 'restore') AND t.slug <> s.slug)
        """
    )
    execute(
        """
        UPDATE sw_tenants
        SET slug = substr(slug, 1, 150) || '-gone-' || substr(CAST(id AS text), 25)
        WHERE scaikey_tenant_id IS NOT NULL AND EXISTS (
            SELECT 1 FROM sync_plan d JOIN stage_tenants s ON s.n = d.n
            WHERE d.kind = 'tenants' AND d.action <> 'deactivate'
              AND s.slug = sw_tenants.slug AND d.row_id <> sw_tenants.id)
        """
    )

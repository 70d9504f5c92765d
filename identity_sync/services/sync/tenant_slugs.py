"""Resolve conflicts between the slugs of tenants, and map staged tenants to rows.

Slugs are unique in this database.

A tenant of ScaiKey gets its slug even if a tenant that was removed from ScaiKey has it. It does not
if a local tenant or another tenant of ScaiKey has it: then a new tenant is skipped and an existing
one keeps its slug, with a warning.

In SQL: `s` is a staged tenant, `t` its row, `o` another tenant, `h` a skipped staged tenant, `p` a
partner (or a participant), `g` a group, `c` a claim, `d` a row of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaiwave.sql import execute, fetch


@dataclass(frozen=True)
class SlugConflict:
    """A tenant of ScaiKey whose slug another tenant has; a local one if `is_local` is true."""

    scaikey_id: str
    name: str
    slug: str
    is_local: bool

    @property
    def warning(self) -> str:
        owner = "a local tenant" if self.is_local else "another tenant"
        return (
            f"Skipped tenant {self.name} ({self.scaikey_id}): its slug {self.slug} is in use by "
            f"{owner}."
        )

    @property
    def fix(self) -> str:
        if self.is_local:
            return (
                f"If both are the same tenant, link them: `scaiwave admin link-tenant {self.slug} "
                f"--scaikey-tenant-id {self.scaikey_id}`; otherwise change the slug of one of them."
            )
        return (
            "Run `scaiwave sync` for all tenants, after making sure that only one of them has the "
            f"slug {self.slug} in ScaiKey."
        )


def keep_partner_slugs() -> None:
    """Let each partner for which ScaiKey sent no slug keep its current one."""
    execute(
        "UPDATE stage_partners SET slug = COALESCE((SELECT p.slug FROM sw_partners p "
        "WHERE p.scaikey_id = stage_partners.scaikey_id), '') WHERE slug IS NULL"
    )


def keep_slugs() -> list[str]:
    """Fill in the slugs that ScaiKey did not send: the current one, or the id of a new tenant.

    Returns warnings.
    """
    without_slug = fetch(
        "SELECT t.slug, s.scaikey_id FROM stage_tenants s "
        "JOIN sw_tenants t ON t.scaikey_tenant_id = s.scaikey_id "
        "WHERE s.slug IS NULL ORDER BY t.slug"
    )
    execute(
        "UPDATE stage_tenants SET slug = COALESCE((SELECT t.slug FROM sw_tenants t "
        "WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id), scaikey_id) WHERE slug IS NULL"
    )
    return [
        f"ScaiKey sent no slug for tenant {scaikey_id}; it keeps its slug {slug}."
        for slug, scaikey_id in without_slug
    ]


def resolve_partners() -> None:
    """Set the partner of each staged tenant; an unknown partner leaves the current one."""
    execute(
        """
        UPDATE stage_tenants SET partner_id = COALESCE(
            (SELECT p.id FROM sw_partners p
             WHERE p.scaikey_id = stage_tenants.partner_scaikey_id),
            (SELECT s.new_id FROM stage_partners s
             WHERE s.scaikey_id = stage_tenants.partner_scaikey_id))
        """
    )


def exclude_conflicts() -> list[SlugConflict]:
    """Skip the staged tenants whose slug is in use, and return them.

    The column `skipped` is 1 for a new tenant, which is left out, and 2 for an existing one, which
    is synced without its new slug.
    """
    _skip_repeated_slugs()
    _skip_used_slugs()
    _skip_dependent_tenants()
    skipped = fetch(
        """
        SELECT s.scaikey_id, s.name, s.slug, EXISTS (
            SELECT 1 FROM sw_tenants o WHERE o.slug = s.slug AND o.scaikey_tenant_id IS NULL)
        FROM stage_tenants s WHERE s.skipped = 1 ORDER BY s.n
        """
    )
    _keep_slugs_of_existing_tenants()
    return [
        SlugConflict(scaikey_id, name, slug, bool(is_local))
        for scaikey_id, name, slug, is_local in skipped
    ]


def _skip_repeated_slugs() -> None:
    """Skip all but one of the staged tenants with the same slug: one that has it keeps it."""
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


def _skip_used_slugs() -> None:
    """Skip the staged tenants whose slug belongs to a tenant that this run does not change."""
    execute(
        """
        UPDATE stage_tenants SET skipped = 1 WHERE EXISTS (
            SELECT 1 FROM sw_tenants o
            WHERE o.slug = stage_tenants.slug AND (o.scaikey_tenant_id IS NULL OR (
                o.id NOT IN (SELECT tenant_id FROM scope_tenants)
                AND o.scaikey_tenant_id NOT IN (SELECT scaikey_id FROM stage_tenants))
                OR o.id IN (SELECT row_id FROM loss_claims WHERE kind = 'tenants'
                            AND is_absent = 1 AND state IN ('postponed', 'inconsistent', 'kept'))
                OR o.scaikey_tenant_id IN (SELECT scaikey_id FROM unusable_records
                                           WHERE kind = 'tenants')))
        """
    )


def _keep_slugs_of_existing_tenants() -> None:
    """Let skipped tenants that exist here keep their slug; all else of them follows ScaiKey."""
    execute(
        """
        UPDATE stage_tenants SET skipped = 2, slug = (
            SELECT t.slug FROM sw_tenants t WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id)
        WHERE skipped = 1 AND EXISTS (
            SELECT 1 FROM sw_tenants t WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id)
        """
    )


def _skip_dependent_tenants() -> None:
    """Skip the tenants that would get the old slug of a skipped tenant, which keeps it."""
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
    """Map each staged tenant to its existing or future row, and mark those without a first sync."""
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
    # A tenant that the list lacks but whose removal is not confirmed still has its people.
    execute(
        """
        INSERT INTO tenant_map (scaikey_id, tenant_id, is_first)
        SELECT c.scaikey_id, c.row_id, 0 FROM loss_claims c
        WHERE c.kind = 'tenants' AND c.is_absent = 1
          AND c.state IN ('postponed', 'inconsistent', 'kept')
        """
    )


def free_slugs() -> None:
    """Rename the old slugs of tenants that change theirs, and the slugs of removed tenants.

    Call it before slugs are written: two tenants may swap slugs in one run, which no order of
    updates allows.
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
            WHERE d.kind = 'tenants' AND d.action IN ('add', 'update', 'restore')
              AND s.slug = sw_tenants.slug AND d.row_id <> sw_tenants.id)
        """
    )

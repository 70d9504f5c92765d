"""Settle the slugs of staged partners and tenants.

Slugs are unique in this database, and are the same words that an operator may choose. A tenant of
ScaiKey gets its slug even if a tenant that was removed from ScaiKey has it. It does not if a local
tenant or another tenant of ScaiKey has it, or if it is not a slug: then a new tenant is skipped and
an existing one keeps its slug, with a warning. A slug that an older release stored stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from identity_sync.sync.states import UNDECIDED
from scaiwave.console.text import pluralize, shorten
from scaiwave.core.sql import execute, fetch
from tenants.lookup.validators import MAX_SLUG_CHARS, suggest_slug
from tenants.models import Tenant

FREED_SLUG = "substr({0}.slug, 1, 150) || '-gone-' || substr(CAST({0}.id AS text), 25)"
"""The new slug of a removed tenant whose slug another tenant gets, in SQL."""

_LOCAL_SUFFIX = "-local"
MAX_WARNINGS = 20
"""Warnings about slugs of one kind in one run."""


@dataclass(frozen=True)
class SlugConflict:
    """A tenant of ScaiKey that does not get its slug.

    `problem` is why it is not a slug at all; if it is empty, another tenant has it: a local one if
    `is_local` is true. Both may be the same tenant if `is_same_owner` is true: they have one
    partner, or the local one has none.
    """

    scaikey_id: str
    name: str
    slug: str
    problem: str = ""
    is_local: bool = False
    is_same_owner: bool = True

    @property
    def reason(self) -> str:
        """What is wrong with the slug, for a list of several."""
        return f"{self.slug} ({self.problem})" if self.problem else self.slug

    @property
    def warning(self) -> str:
        tenant = f"Skipped tenant {shorten(self.name)} ({self.scaikey_id})"
        if self.problem:
            return f"{tenant}: {self.slug!r} can't be its slug: {self.problem}."
        owner = "a local tenant" if self.is_local else "another tenant"
        return f"{tenant}: its slug {self.slug} is in use by {owner}."

    def advise(self) -> tuple[str, str]:
        """Return the fix, and its first command if it has one."""
        if self.problem:
            fix = (
                f"Change the slug of tenant {self.scaikey_id} in ScaiKey, then run the sync again."
            )
            return fix, ""
        if not self.is_local:
            return (
                "Run `scaiwave sync` for all tenants, after making sure that only one of them has "
                f"the slug {self.slug} in ScaiKey."
            ), "scaiwave sync"
        slug = quote(self.slug)
        rename = f"scaiwave admin update-tenant {slug} --slug {quote(_find_free_slug(self.slug))}"
        if not self.is_same_owner:
            return (
                "The two tenants have different partners, so they are not the same one: do not "
                f"link them. Rename the local one: `{rename}`."
            ), rename
        link = f"scaiwave admin link-tenant {slug} --scaikey-tenant-id {quote(self.scaikey_id)}"
        return (
            f"If both are the same tenant, link them: `{link}`; otherwise rename the local one: "
            f"`{rename}`."
        ), link


def _find_free_slug(slug: str) -> str:
    """Return a slug for the local tenant that has to give up this one."""
    stem = slug[: MAX_SLUG_CHARS - len(_LOCAL_SUFFIX) - 3].strip("-")
    candidates = [f"{stem}{_LOCAL_SUFFIX}", *(f"{stem}{_LOCAL_SUFFIX}-{n}" for n in range(2, 10))]
    used = set(Tenant.objects.filter(slug__in=candidates).values_list("slug", flat=True))
    return next((candidate for candidate in candidates if candidate not in used), "<new-slug>")


def settle_partner_slugs() -> list[str]:
    """Let each partner without a usable slug keep its current one, which may be empty.

    Returns warnings.
    """
    _accept_stored_slugs("stage_partners", "sw_partners", "scaikey_id")
    unusable = fetch(
        "SELECT scaikey_id, slug, slug_problem FROM stage_partners "
        "WHERE slug_problem IS NOT NULL ORDER BY n"
    )
    execute(
        "UPDATE stage_partners SET slug = COALESCE((SELECT pr.slug FROM sw_partners pr "
        "WHERE pr.scaikey_id = stage_partners.scaikey_id), '') "
        "WHERE slug IS NULL OR slug_problem IS NOT NULL"
    )
    warnings = [
        f"{slug!r} can't be the slug of partner {scaikey_id}: {problem}. The partner is stored "
        "without that slug."
        for scaikey_id, slug, problem in unusable
    ]
    return limit_warnings(warnings, "partner")


def limit_warnings(warnings: list[str], noun: str) -> list[str]:
    """Keep the first warnings, and count the rest: they are stored with the run."""
    rest = len(warnings) - MAX_WARNINGS
    if rest <= 0:
        return warnings
    more = f"The slugs of {pluralize(rest, f'further {noun}')} can't be used either."
    return [*warnings[:MAX_WARNINGS], more]


def _accept_stored_slugs(staged: str, table: str, identity: str) -> None:
    """Accept a text that isn't a valid slug where the row has it already."""
    execute(
        f"UPDATE {staged} SET slug_problem = NULL WHERE slug_problem IS NOT NULL AND EXISTS ("
        f"SELECT 1 FROM {table} p WHERE p.{identity} = {staged}.scaikey_id "
        f"AND p.slug = {staged}.slug)"
    )


def settle_tenant_slugs() -> list[str]:
    """Fill in the slugs that ScaiKey did not send: the current one, or one made of the id.

    Returns warnings.
    """
    _accept_stored_slugs("stage_tenants", "sw_tenants", "scaikey_tenant_id")
    without_slug = fetch(
        "SELECT t.slug, s_t.scaikey_id FROM stage_tenants s_t "
        "JOIN sw_tenants t ON t.scaikey_tenant_id = s_t.scaikey_id "
        "WHERE s_t.slug IS NULL ORDER BY t.slug"
    )
    execute(
        "UPDATE stage_tenants SET slug = (SELECT t.slug FROM sw_tenants t "
        "WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id) WHERE slug IS NULL"
    )
    for (scaikey_id,) in fetch("SELECT scaikey_id FROM stage_tenants WHERE slug IS NULL"):
        slug = suggest_slug(scaikey_id)
        problem = None if slug else "ScaiKey sent none"
        execute(
            "UPDATE stage_tenants SET slug = %s, slug_problem = %s WHERE scaikey_id = %s",
            [slug, problem, scaikey_id],
        )
    return [
        f"ScaiKey sent no slug for tenant {scaikey_id}; it keeps its slug {slug}."
        for slug, scaikey_id in without_slug
    ]


def skip_slug_conflicts() -> list[SlugConflict]:
    """Skip the staged tenants whose slug is in use, and return them.

    The column `skipped` is 1 for a new tenant, which is left out, and 2 for an existing one, which
    is synced without its new slug.
    """
    execute("UPDATE stage_tenants SET skipped = 1 WHERE slug_problem IS NOT NULL")
    _skip_repeated_slugs()
    _skip_used_slugs()
    _skip_dependent_tenants()
    skipped = fetch(
        """
        SELECT s_t.scaikey_id, s_t.name, s_t.slug, COALESCE(s_t.slug_problem, ''), t.id IS NOT NULL,
               t.partner_id IS NULL OR COALESCE(pr.scaikey_id = s_t.partner_scaikey_id, false)
        FROM stage_tenants s_t
        LEFT JOIN sw_tenants t ON t.slug = s_t.slug AND t.scaikey_tenant_id IS NULL
        LEFT JOIN sw_partners pr ON pr.id = t.partner_id
        WHERE s_t.skipped = 1 ORDER BY s_t.n
        """
    )
    # Tenants that exist here keep their slug; all else of them follows ScaiKey.
    execute(
        """
        UPDATE stage_tenants SET skipped = 2, slug = (
            SELECT t.slug FROM sw_tenants t WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id)
        WHERE skipped = 1 AND EXISTS (
            SELECT 1 FROM sw_tenants t WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id)
        """
    )
    return [
        SlugConflict(scaikey_id, name, slug, problem, bool(is_local), bool(is_same_owner))
        for scaikey_id, name, slug, problem, is_local, is_same_owner in skipped
    ]


def _skip_repeated_slugs() -> None:
    """Skip all but one of the staged tenants with the same slug: one that has it keeps it."""
    execute(
        """
        UPDATE stage_tenants SET skipped = 1 WHERE n NOT IN (
            SELECT n FROM (
                SELECT s_t.n, row_number() OVER (
                    PARTITION BY s_t.slug
                    ORDER BY CASE WHEN t.slug = s_t.slug THEN 0 ELSE 1 END, s_t.scaikey_id
                ) AS place
                FROM stage_tenants s_t
                LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s_t.scaikey_id
                WHERE s_t.slug_problem IS NULL
            ) AS ranked WHERE place = 1)
        """
    )


def _skip_used_slugs() -> None:
    """Skip the staged tenants whose slug belongs to a tenant that this run does not change."""
    execute(
        f"""
        UPDATE stage_tenants SET skipped = 1 WHERE EXISTS (
            SELECT 1 FROM sw_tenants t
            WHERE t.slug = stage_tenants.slug AND (t.scaikey_tenant_id IS NULL OR (
                t.id NOT IN (SELECT tenant_id FROM scope_tenants)
                AND t.scaikey_tenant_id NOT IN (SELECT scaikey_id FROM stage_tenants))
                OR t.id IN (SELECT row_id FROM loss_claims WHERE kind = 'tenants'
                            AND is_absent = 1 AND state IN {UNDECIDED})
                OR t.scaikey_tenant_id IN (SELECT scaikey_id FROM unusable_records
                                           WHERE kind = 'tenants')))
        """
    )


def _skip_dependent_tenants() -> None:
    """Skip the tenants that would get the old slug of a skipped tenant, which keeps it."""
    while execute(
        """
        UPDATE stage_tenants SET skipped = 1 WHERE skipped = 0 AND EXISTS (
            SELECT 1 FROM stage_tenants s_t
            JOIN sw_tenants t ON t.scaikey_tenant_id = s_t.scaikey_id
            WHERE s_t.skipped = 1 AND t.slug = stage_tenants.slug
              AND s_t.scaikey_id <> stage_tenants.scaikey_id)
        """
    ):
        pass

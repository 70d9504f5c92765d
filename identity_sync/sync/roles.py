"""Plan and apply the role grants that ScaiKey reports with people.

assumption: a user's record may have a field `roles` with slugs. A record without it leaves the
person's roles unchanged; if no record has it, nothing here is done. Manual grants are never
changed. A person whose roles change counts as an updated participant with the field `roles`,
because the kinds that a run reports are a contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from identity_sync.reasons import Reason
from identity_sync.sync.staging import BATCH, analyze, copy_rows, index_numbers, index_plan_rows
from scaiwave.core.sql import datetime_param, execute, fetch, fetch_column, fetch_number
from scaiwave.ids import new_id_hex
from tenants.lookup.validators import MAX_SLUG_CHARS, is_role_slug
from tenants.roles.lookalikes import find_lookalike
from tenants.roles.queries.roles import BUILT_IN, default_role_name

GRANTED_BY = "ScaiKey"


def has_role_data() -> bool:
    sql = "SELECT EXISTS (SELECT 1 FROM stage_participants WHERE roles IS NOT NULL)"
    return bool(fetch_number(sql))


def stage_roles(after: int = 0) -> list[str]:
    """Stage the roles of the people whose row number is above `after`.

    Returns the sorted names that can't be slugs, or look like a built-in role.
    """
    invalid: set[str] = set()
    # Roles that older releases created although they look built in.
    stored = set(filter(find_lookalike, fetch_column("SELECT DISTINCT slug FROM sw_roles")))
    last = after
    number = fetch_number("SELECT max(n) FROM stage_roles")
    while people := fetch(_PEOPLE, [last, BATCH]):
        pairs = list(_iter_pairs(people, stored, invalid))
        copy_rows("stage_roles", _build_rows(pairs, number))
        last, number = people[-1][0], number + len(pairs)
    execute("CREATE INDEX IF NOT EXISTS stage_roles_person ON stage_roles (person_n, slug)")
    index_numbers("stage_roles")
    return sorted(invalid)


_PEOPLE = """
    SELECT n, roles FROM stage_participants
    WHERE roles IS NOT NULL AND n > %s ORDER BY n LIMIT %s
"""


def _iter_pairs(
    people: list[tuple[Any, ...]], stored: set[str], invalid: set[str]
) -> Iterator[tuple[int, str]]:
    """Yield (number of the person, slug), and add names that can't be slugs to `invalid`.

    Names of roles are not case-sensitive, as in tokens.
    """
    for person_n, roles in people:
        names = {name.strip().lower() for name in msgspec.json.decode(roles, type=list[str])}
        slugs = {name for name in names if _is_usable(name) or name in stored}
        invalid |= {name[:MAX_SLUG_CHARS] for name in names - slugs}
        for slug in sorted(slugs):
            yield person_n, slug


@lru_cache(1000)
def _is_usable(name: str) -> bool:
    return is_role_slug(name) and find_lookalike(name) is None


def _build_rows(pairs: list[tuple[int, str]], start: int) -> Iterator[tuple[Any, ...]]:
    for number, (person_n, slug) in enumerate(pairs, start + 1):
        ids = new_id_hex(), new_id_hex()
        yield (number, *ids, person_n, slug, default_role_name(slug), int(slug in BUILT_IN))


def plan_removals() -> None:
    """Plan to revoke the grants from ScaiKey that it no longer reports."""
    execute(
        """
        INSERT INTO role_plan (action, participant_id, tenant_id, person_n, grant_id)
        SELECT 'revoke', p.id, p.tenant_id, s_p.n, gr.id
        FROM stage_participants s_p
        JOIN sw_tenants t ON t.scaikey_tenant_id = s_p.tenant_scaikey_id
        JOIN sw_participants p ON p.scaikey_id = s_p.scaikey_id AND p.tenant_id = t.id
        JOIN sw_role_grants gr ON gr.participant_id = p.id
        JOIN sw_roles ro ON ro.id = gr.role_id
        WHERE s_p.roles IS NOT NULL AND gr.source = 'scaikey' AND p.participant_type = 'human'
          AND NOT EXISTS (SELECT 1 FROM stage_roles s_ro
                          WHERE s_ro.person_n = s_p.n AND s_ro.slug = ro.slug)
          AND NOT EXISTS (SELECT 1 FROM kept_tenants k WHERE k.tenant_id = p.tenant_id)
        """
    )


def plan_changes() -> None:
    """Plan the new grants, and mark the people whose roles change as updated participants."""
    execute(
        """
        INSERT INTO role_plan (action, participant_id, tenant_id, person_n, n)
        SELECT 'grant', COALESCE(p.id, s_p.new_id), tm.tenant_id, s_p.n, s_ro.n
        FROM stage_roles s_ro JOIN stage_participants s_p ON s_p.n = s_ro.person_n
        JOIN tenant_map tm ON tm.scaikey_id = s_p.tenant_scaikey_id
        LEFT JOIN sw_participants p ON p.scaikey_id = s_p.scaikey_id AND p.tenant_id = tm.tenant_id
        LEFT JOIN sw_roles ro ON ro.tenant_id = tm.tenant_id AND ro.slug = s_ro.slug
        LEFT JOIN sw_role_grants gr ON gr.role_id = ro.id AND gr.participant_id = p.id
        WHERE gr.id IS NULL AND (p.participant_type = 'human' OR p.id IS NULL AND EXISTS (
            SELECT 1 FROM sync_plan d
            WHERE d.kind = 'participants' AND d.action = 'add' AND d.n = s_p.n))
        """
    )
    if fetch_number("SELECT EXISTS (SELECT 1 FROM role_plan)"):
        index_plan_rows()
        analyze("role_plan", "sync_plan")
        _plan_updates_of_people()


def _plan_updates_of_people() -> None:
    """Plan an update of every existing person whose roles change; new people are added anyway."""
    execute(
        """
        UPDATE sync_plan SET fields = CASE WHEN fields = '' THEN 'roles' ELSE fields || ',roles' END
        WHERE kind = 'participants' AND action IN ('update', 'restore')
          AND row_id IN (SELECT participant_id FROM role_plan)
        """
    )
    execute(
        f"""
        INSERT INTO sync_plan
            (kind, action, row_id, tenant_id, n, scaikey_id, name, fields, reason)
        SELECT 'participants', 'update', p.id, p.tenant_id, s_p.n, s_p.scaikey_id, s_p.display_name,
               'roles', '{Reason.CHANGED}'
        FROM (SELECT DISTINCT participant_id, person_n FROM role_plan) AS changed
        JOIN sw_participants p ON p.id = changed.participant_id
        JOIN stage_participants s_p ON s_p.n = changed.person_n
        LEFT JOIN sync_plan d ON d.kind = 'participants' AND d.row_id = p.id
        WHERE d.row_id IS NULL
        """
    )


def apply(now: datetime) -> None:
    """Write the planned grants. The people and tenants of this run must be written before.

    A grant or role that an operator creates at the same time wins.
    """
    if not fetch_number("SELECT EXISTS (SELECT 1 FROM role_plan)"):
        return
    execute(
        """
        DELETE FROM sw_role_grants WHERE source = 'scaikey'
        AND id IN (SELECT grant_id FROM role_plan WHERE action = 'revoke')
        """
    )
    _insert_roles(now)
    execute(
        """
        INSERT INTO sw_role_grants
            (id, tenant_id, role_id, participant_id, source, granted_by, created_at)
        SELECT s_ro.grant_id, rp.tenant_id, ro.id, rp.participant_id, 'scaikey', %s, %s
        FROM role_plan rp JOIN stage_roles s_ro ON s_ro.n = rp.n
        JOIN sw_roles ro ON ro.tenant_id = rp.tenant_id AND ro.slug = s_ro.slug
        WHERE rp.action = 'grant'
        ON CONFLICT DO NOTHING
        """,
        [GRANTED_BY, datetime_param(now)],
    )


def _insert_roles(now: datetime) -> None:
    """Create each role that a tenant lacks, once."""
    execute(
        """
        INSERT INTO sw_roles (id, tenant_id, slug, name, is_built_in, created_at)
        SELECT s_ro.role_id, f.tenant_id, s_ro.slug, s_ro.name, s_ro.is_built_in = 1, %s
        FROM (SELECT min(rp.n) AS n, rp.tenant_id
              FROM role_plan rp JOIN stage_roles s_ro ON s_ro.n = rp.n
              WHERE rp.action = 'grant' AND NOT EXISTS (
                  SELECT 1 FROM sw_roles ro
                  WHERE ro.tenant_id = rp.tenant_id AND ro.slug = s_ro.slug)
              GROUP BY rp.tenant_id, s_ro.slug) AS f
        JOIN stage_roles s_ro ON s_ro.n = f.n WHERE true
        ON CONFLICT DO NOTHING
        """,
        [datetime_param(now)],
    )

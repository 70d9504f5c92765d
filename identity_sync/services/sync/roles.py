"""The roles that ScaiKey gives to people, if it reports any.

assumption: a user's record may have a field `roles` with slugs. A record without it says nothing
and leaves the person's roles as they are; where no record has it, none of this is done. A manual
grant is never touched. A person whose roles change is an updated participant, with the field
`roles`: the kinds that a run counts are a contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from identity_sync.services.sync.entities import datetime_param
from identity_sync.services.sync.staging import (
    BATCH,
    analyze,
    copy_rows,
    execute,
    fetch_one,
    select,
)
from scaiwave.ids import new_id_hex
from tenants.queries.roles import BUILT_IN
from tenants.services.validators import MAX_ROLE_SLUG_CHARS, default_role_name, is_role_slug

GRANTED_BY = "ScaiKey"


def has_role_data() -> bool:
    return bool(
        fetch_one("SELECT EXISTS (SELECT 1 FROM stage_participants WHERE roles IS NOT NULL)")[0]
    )


def stage_roles(after: int = 0) -> list[str]:
    """Stage each role of each person whose row comes after number `after`.

    Returns the names, sorted, that can't be slugs.
    """
    odd: set[str] = set()
    last = after
    number = int(fetch_one("SELECT COALESCE(max(n), 0) FROM stage_roles")[0])
    while people := select(_PEOPLE, [last, BATCH]):
        pairs = list(_pairs(people, odd))
        copy_rows("stage_roles", _rows(pairs, number))
        last, number = people[-1][0], number + len(pairs)
    execute("CREATE INDEX IF NOT EXISTS stage_roles_n ON stage_roles (n)")
    execute("CREATE INDEX IF NOT EXISTS stage_roles_person ON stage_roles (person_n, slug)")
    analyze("stage_roles")
    return sorted(odd)


_PEOPLE = """
    SELECT n, roles FROM stage_participants
    WHERE roles IS NOT NULL AND n > %s ORDER BY n LIMIT %s
"""


def _pairs(people: list[tuple[Any, ...]], odd: set[str]) -> Iterator[tuple[int, str]]:
    """The case of a role's name means nothing, as in tokens."""
    for person, roles in people:
        names = {name.strip().lower() for name in msgspec.json.decode(roles, type=list[str])}
        fitting = {name for name in names if is_role_slug(name)}
        odd |= {name[:MAX_ROLE_SLUG_CHARS] for name in names - fitting}
        for slug in sorted(fitting):
            yield person, slug


def _rows(pairs: list[tuple[int, str]], before: int) -> Iterator[tuple[Any, ...]]:
    for number, (person, slug) in enumerate(pairs, before + 1):
        ids = new_id_hex(), new_id_hex()
        yield (number, *ids, person, slug, default_role_name(slug), int(slug in BUILT_IN))


def plan_removals() -> None:
    """Plan to take from people what ScaiKey gave them once and no longer reports."""
    execute(
        """
        INSERT INTO role_plan (action, participant_id, tenant_id, person_n, grant_id)
        SELECT 'revoke', p.id, p.tenant_id, s.n, g.id
        FROM stage_participants s
        JOIN sw_tenants t ON t.scaikey_tenant_id = s.tenant_scaikey_id
        JOIN sw_participants p ON p.scaikey_id = s.scaikey_id AND p.tenant_id = t.id
        JOIN sw_role_grants g ON g.participant_id = p.id
        JOIN sw_roles r ON r.id = g.role_id
        WHERE s.roles IS NOT NULL AND g.source = 'scaikey' AND p.participant_type = 'human'
          AND NOT EXISTS (SELECT 1 FROM stage_roles x WHERE x.person_n = s.n AND x.slug = r.slug)
        """
    )


def plan_changes() -> None:
    """Plan what to grant, and make the people whose roles change updated participants."""
    execute(
        """
        INSERT INTO role_plan (action, participant_id, tenant_id, person_n, n)
        SELECT 'grant', COALESCE(p.id, s.new_id), t.tenant_id, s.n, x.n
        FROM stage_roles x JOIN stage_participants s ON s.n = x.person_n
        JOIN tenant_map t ON t.scaikey_id = s.tenant_scaikey_id
        LEFT JOIN sw_participants p ON p.scaikey_id = s.scaikey_id AND p.tenant_id = t.tenant_id
        LEFT JOIN sw_roles r ON r.tenant_id = t.tenant_id AND r.slug = x.slug
        LEFT JOIN sw_role_grants g ON g.role_id = r.id AND g.participant_id = p.id
        WHERE g.id IS NULL AND (p.id IS NULL OR p.participant_type = 'human')
        """
    )
    if fetch_one("SELECT EXISTS (SELECT 1 FROM role_plan)")[0]:
        analyze("role_plan", "sync_plan")
        _mark_updated_people()


def _mark_updated_people() -> None:
    """New people need no update of their own: they are added with their roles."""
    execute(
        """
        UPDATE sync_plan SET fields = CASE WHEN fields = '' THEN 'roles' ELSE fields || ',roles' END
        WHERE kind = 'participants' AND action IN ('update', 'restore')
          AND row_id IN (SELECT participant_id FROM role_plan)
        """
    )
    execute(
        """
        INSERT INTO sync_plan
            (kind, action, row_id, tenant_id, n, scaikey_id, name, fields, reason)
        SELECT 'participants', 'update', p.id, p.tenant_id, s.n, s.scaikey_id, s.display_name,
               'roles', 'changed in ScaiKey'
        FROM (SELECT DISTINCT participant_id, person_n FROM role_plan) AS c
        JOIN sw_participants p ON p.id = c.participant_id
        JOIN stage_participants s ON s.n = c.person_n
        WHERE p.id NOT IN (SELECT row_id FROM sync_plan WHERE kind = 'participants')
        """
    )


def apply(now: datetime) -> None:
    """Write it; people and tenants of this run are in their tables by now.

    What an operator has granted or created at the same time stays as it is: manual grants win.
    """
    if not fetch_one("SELECT EXISTS (SELECT 1 FROM role_plan)")[0]:
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
        SELECT x.grant_id, d.tenant_id, r.id, d.participant_id, 'scaikey', %s, %s
        FROM role_plan d JOIN stage_roles x ON x.n = d.n
        JOIN sw_roles r ON r.tenant_id = d.tenant_id AND r.slug = x.slug
        WHERE d.action = 'grant'
        ON CONFLICT DO NOTHING
        """,
        [GRANTED_BY, datetime_param(now)],
    )


def _insert_roles(now: datetime) -> None:
    """Create the roles that a tenant lacks, each once."""
    execute(
        """
        INSERT INTO sw_roles (id, tenant_id, slug, name, is_built_in, created_at)
        SELECT x.role_id, f.tenant_id, x.slug, x.name, x.is_built_in = 1, %s
        FROM (SELECT min(d.n) AS n, d.tenant_id
              FROM role_plan d JOIN stage_roles x ON x.n = d.n
              WHERE d.action = 'grant' AND NOT EXISTS (
                  SELECT 1 FROM sw_roles r WHERE r.tenant_id = d.tenant_id AND r.slug = x.slug)
              GROUP BY d.tenant_id, x.slug) AS f
        JOIN stage_roles x ON x.n = f.n WHERE true
        ON CONFLICT DO NOTHING
        """,
        [datetime_param(now)],
    )

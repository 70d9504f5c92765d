"""Stage the roles that ScaiKey reports with people."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from identity_sync.sync.staging import BATCH, StagedRow, copy_rows, index_numbers
from scaiwave.core.sql import execute, fetch, fetch_column, fetch_number
from scaiwave.ids import new_id_hex
from tenants.lookup.validators import MAX_SLUG_CHARS, is_role_slug
from tenants.roles.lookalikes import find_lookalike
from tenants.roles.queries.roles import BUILT_IN, default_role_name


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


def _build_rows(pairs: list[tuple[int, str]], start: int) -> Iterator[StagedRow]:
    for number, (person_n, slug) in enumerate(pairs, start + 1):
        ids = new_id_hex(), new_id_hex()
        yield (number, *ids, person_n, slug, default_role_name(slug), int(slug in BUILT_IN))

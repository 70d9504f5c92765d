"""The rows of the temporary tables for the records that ScaiKey returned, and for their roles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from identity_sync.sync.staging import BATCH, StagedRow, copy_rows, index_numbers
from scaiwave.clients.scaikey.schemas import (
    DELETED,
    BaseRecord,
    GroupRecord,
    PartnerRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.console.output import remove_control_chars
from scaiwave.core.sql import execute, fetch, fetch_column, fetch_number
from scaiwave.ids import new_id_hex
from tenants.lookup.validators import (
    MAX_SLUG_CHARS,
    clean_avatar_url,
    find_slug_problem,
    is_role_slug,
)
from tenants.models.directory import MAX_EMAIL_CHARS, MAX_NAME_CHARS
from tenants.roles.lookalikes import find_lookalike
from tenants.roles.queries.roles import BUILT_IN, default_role_name

# assumption: a deleted record may still be returned by id, or even be listed, with this status.
DELETED_STATUSES = (DELETED,)

# Lengths of the columns, and the largest value of PostgreSQL's integer.
MAX_LABEL_CHARS = 1000
MAX_WORD_CHARS = 200
MAX_INTEGER = 2**31 - 1


def number_rows(
    pages: Iterable[Iterable[BaseRecord]], kind: str, *, start: int = 0
) -> Iterator[StagedRow]:
    """Yield rows for the temporary table, without records that ScaiKey shows as deleted."""
    build_row = _ROW_BUILDERS[kind]
    number = start
    for page in pages:
        for record in page:
            if record.status in DELETED_STATUSES:
                continue
            number += 1
            yield (number, *build_row(record))


def _build_partner_row(record: PartnerRecord) -> StagedRow:
    limits = (record.max_tenants, record.max_users_per_tenant, record.max_applications_per_tenant)
    return (
        *_build_organisation(record),
        # -1 and numbers beyond the column both mean unlimited.
        *(each if each is not None and 0 <= each <= MAX_INTEGER else None for each in limits),
        _find_slug_problem(record.slug),
    )


def _build_tenant_row(record: ScaiKeyTenantRecord) -> StagedRow:
    partner = (record.partner_id or None, None)
    return (*_build_organisation(record), *partner, 0, _find_slug_problem(record.slug))


def _build_organisation(record: PartnerRecord | ScaiKeyTenantRecord) -> StagedRow:
    """Return the columns that partners and tenants share."""
    return (
        record.id,
        _read_name(record.name, record.slug or record.id)[:MAX_LABEL_CHARS],
        record.slug[:MAX_WORD_CHARS] or None,
        _read_status(record),
        record.contact_email[:MAX_LABEL_CHARS],
    )


def _find_slug_problem(slug: str) -> str | None:
    return find_slug_problem(slug) or None if slug else None


def _build_participant_row(record: UserRecord) -> StagedRow:
    display_name, email = build_display_name(record), record.email[:MAX_EMAIL_CHARS]
    return (
        record.id,
        record.tenant_id,
        display_name,
        email,
        clean_avatar_url(record.avatar_url),
        _read_status(record),
        None if record.roles is None else msgspec.json.encode(record.roles).decode(),
        build_local_id(email, display_name),
    )


def _build_group_row(record: GroupRecord) -> StagedRow:
    return (
        record.id,
        record.tenant_id,
        _read_name(record.name, record.id)[:MAX_NAME_CHARS],
        record.group_type[:MAX_WORD_CHARS],
    )


def _read_name(name: str, otherwise: str) -> str:
    """Return a name without characters that control how a text is written, or another text.

    They could make one name look like another, so no name that an operator enters has them either.
    """
    return remove_control_chars(name).strip() or remove_control_chars(otherwise)


def _read_status(record: BaseRecord) -> str | None:
    """Return the status, or None if ScaiKey sent none.

    A truncated value matches no known status and counts as inactive.
    """
    return record.status[:MAX_WORD_CHARS] or None


def build_display_name(record: UserRecord) -> str:
    """Return the display name, or else the full name or the local part of the e-mail address."""
    full_name = f"{record.first_name} {record.last_name}".strip()
    name = record.display_name or full_name or record.email.partition("@")[0]
    return _read_name(name, record.email.partition("@")[0])[:MAX_NAME_CHARS]


_ROW_BUILDERS: dict[str, Callable[[Any], StagedRow]] = {
    "partners": _build_partner_row,
    "tenants": _build_tenant_row,
    "participants": _build_participant_row,
    "groups": _build_group_row,
}

# A `+` separates the suffix. No preferred id contains one, so none can equal an id with a suffix.
_NOT_IN_LOCAL_ID = re.compile(r"[^a-z0-9._-]+")
MAX_LOCAL_ID_CHARS = 64


def build_local_id(email: str, display_name: str) -> str:
    """Return the local part of the e-mail address, or else the display name, as a local id.

    >>> build_local_id("Anna.Kovács+chat@acme.example", "")
    'anna.kov-cs-chat'
    """
    for source in (email.partition("@")[0], display_name):
        name = _NOT_IN_LOCAL_ID.sub("-", source.lower()).strip("-._")[:MAX_LOCAL_ID_CHARS]
        if name:
            return name
    return "user"


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
        copy_rows("stage_roles", _build_role_rows(pairs, number))
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


def _build_role_rows(pairs: list[tuple[int, str]], start: int) -> Iterator[StagedRow]:
    for number, (person_n, slug) in enumerate(pairs, start + 1):
        ids = new_id_hex(), new_id_hex()
        yield (number, *ids, person_n, slug, default_role_name(slug), int(slug in BUILT_IN))

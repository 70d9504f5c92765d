"""The rows of the temporary tables for the records that ScaiKey returned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from identity_sync.sync.staging import StagedRow
from scaiwave.clients.scaikey.schemas import (
    DELETED,
    BaseRecord,
    GroupRecord,
    PartnerRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.console.output import remove_control_chars
from tenants.lookup.validators import clean_avatar_url, find_slug_problem
from tenants.models.directory import MAX_EMAIL_CHARS, MAX_NAME_CHARS

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

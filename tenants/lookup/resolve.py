"""Find the record that an operator names.

Every record has a UUID, and a slug, name or ScaiKey ID; participants are also found by FQID, local
id or e-mail address. A record outside the operator's scope raises the same error as one that does
not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower

from scaiwave.core.errors import NotFoundError
from scaiwave.core.operators import Operator
from tenants.errors import (
    AmbiguousName,
    GroupNotFound,
    ParticipantNotFound,
    PartnerNotFound,
    TenantNotFound,
)
from tenants.lookup.nearest import find_nearest, find_nearest_participant, suggest_nearest
from tenants.lookup.serializers import get_server_name
from tenants.lookup.visibility import (
    visible_groups,
    visible_participants,
    visible_partners,
    visible_tenants,
)
from tenants.models import Group, Participant, Partner, Tenant

MAX_CANDIDATES = 10
_USE_ID = "Use the ID of the one you mean."

Entity = TypeVar("Entity", Partner, Tenant, Participant, Group)


def resolve_partner(operator: Operator, name: str) -> Partner:
    """Raises `PartnerNotFound` or `AmbiguousName`."""
    partners = visible_partners(operator)
    return _require_single(
        _find_matches(partners, _name_q(name, "slug", "scaikey_id")),
        missing=lambda: PartnerNotFound(
            f"Partner not found: {name}.",
            fix=suggest_nearest(
                find_nearest(operator, name, partners, "slug"),
                "`scaiwave admin list-partners` lists all.",
                PartnerNotFound.fix,
            ),
        ),
        name=name,
        describe=lambda partner: f"{partner.pk} ({partner.name})",
        fix=_USE_ID,
    )


def resolve_tenant(operator: Operator, name: str) -> Tenant:
    """Raises `TenantNotFound` or `AmbiguousName`."""
    tenants = visible_tenants(operator).select_related("partner")
    return _require_single(
        _find_matches(tenants, _name_q(name, "slug", "scaikey_tenant_id")),
        missing=lambda: TenantNotFound(
            f"Tenant not found: {name}.",
            fix=suggest_nearest(
                find_nearest(operator, name, tenants, "slug"),
                "`scaiwave admin list-tenants` lists all.",
                TenantNotFound.fix,
            ),
        ),
        name=name,
        describe=lambda tenant: f"{tenant.pk} ({tenant.slug})",
        fix=_USE_ID,
    )


def resolve_participant(
    operator: Operator, name: str, *, tenant: Tenant | None = None
) -> Participant:
    """Raises `ParticipantNotFound` or `AmbiguousName`.

    A person who moved to another tenant also remains in the old one with `absent_since` set; a
    participant that is present takes precedence.
    """
    people = visible_participants(operator).select_related("tenant__partner")
    if tenant is not None:
        people = people.filter(tenant=tenant)
    matches = _find_matches(people.alias(folded=Lower("email")), _participant_q(name))
    slug = tenant.slug if tenant else "<slug>"
    server_name = get_server_name()
    return _require_single(
        _prefer_present(matches),
        missing=lambda: ParticipantNotFound(
            f"Participant not found{_format_scope(tenant)}: {name}.",
            fix=suggest_nearest(
                find_nearest_participant(operator, name, people),
                ParticipantNotFound.FIX.format(slug),
                ParticipantNotFound.FIX.format(slug),
            ),
        ),
        name=name,
        describe=lambda person: f"{person.fqid(server_name)} ({person}, {person.tenant.slug})",
        fix="Use the full @name:server of the one you mean, or its ID.",
    )


def resolve_participant_in(operator: Operator, name: str, tenant: str | None) -> Participant:
    """Find a participant of the tenant that is named, or without a name of any tenant."""
    resolved = resolve_tenant(operator, tenant) if tenant is not None else None
    return resolve_participant(operator, name, tenant=resolved)


def resolve_group(operator: Operator, name: str, *, tenant: Tenant | None = None) -> Group:
    """Raises `GroupNotFound` or `AmbiguousName`."""
    groups = visible_groups(operator).select_related("tenant")
    if tenant is not None:
        groups = groups.filter(tenant=tenant)
    slug = tenant.slug if tenant else "<slug>"
    return _require_single(
        _prefer_present(_find_matches(groups, _name_q(name, "name", "scaikey_id"))),
        missing=lambda: GroupNotFound(
            f"Group not found{_format_scope(tenant)}: {name}.",
            fix=suggest_nearest(
                # The index of names begins with the tenant.
                find_nearest(operator, name, groups, "name") if tenant else None,
                f"`scaiwave admin list-groups --tenant {slug}` lists all.",
                GroupNotFound.FIX.format(slug),
            ),
        ),
        name=name,
        describe=lambda group: f"{group.pk} (in {group.tenant.slug})",
        fix=_USE_ID if tenant else "Add --tenant <slug>, or use the ID of the one you mean.",
    )


def is_storable_text(text: str) -> bool:
    """Return False if a database can't store the text: NUL, and bytes that were not text."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def contains_q(text: str, *fields: str) -> Q:
    """Match rows with the text in one of these fields, in any case.

    SQLite's LIKE ignores the case of ASCII letters only, so any other text is searched with a
    regular expression, which is several times as slow.
    """
    if not is_storable_text(text):
        return Q(pk__in=[])
    if connection.vendor == "sqlite" and not text.isascii():
        conditions = [Q(**{f"{field}__iregex": re.escape(text)}) for field in fields]
    else:
        conditions = [Q(**{f"{field}__icontains": text}) for field in fields]
    return reduce(or_, conditions)


def parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _name_q(name: str, *fields: str) -> Q:
    if not name or not is_storable_text(name):
        return Q(pk__in=[])
    conditions = [Q(**{field: name}) for field in fields]
    if (key := parse_uuid(name)) is not None:
        conditions.append(Q(pk=key))
    return reduce(or_, conditions)


def _participant_q(name: str) -> Q:
    if not is_storable_text(name):
        return _name_q(name)
    if name.startswith("@"):
        # local_id:server, or the local ID alone; a server name may contain a port.
        local_id, _, server_name = name.removeprefix("@").partition(":")
        is_own = server_name in {"", get_server_name()}
        return Q(local_id=local_id, server_name="" if is_own else server_name)
    query = _name_q(name, "local_id", "scaikey_id")
    if "@" in name:
        query |= Q(folded=Lower(Value(name)))
    return query


def _format_scope(tenant: Tenant | None) -> str:
    return f" in tenant {tenant.slug}" if tenant else ""


def _find_matches(candidates: QuerySet[Entity], query: Q) -> list[Entity]:
    return list(candidates.filter(query).order_by("pk")[: MAX_CANDIDATES + 1])


def _prefer_present(matches: list[Entity]) -> list[Entity]:
    """Return the only match that ScaiKey still has, or all matches if there is no such one."""
    present = [match for match in matches if match.absent_since is None]
    return present if len(present) == 1 else matches


def _require_single(
    matches: Sequence[Entity],
    *,
    missing: Callable[[], NotFoundError],
    name: str,
    describe: Callable[[Entity], str],
    fix: str,
) -> Entity:
    if not matches:
        raise missing()
    if len(matches) == 1:
        return matches[0]
    listed = "; ".join(describe(match) for match in matches[:MAX_CANDIDATES])
    more = "; and more" if len(matches) > MAX_CANDIDATES else ""
    raise AmbiguousName(
        f"{name} is ambiguous: {listed}{more}.",
        fix=fix,
        candidates=[str(match.pk) for match in matches[:MAX_CANDIDATES]],
    )

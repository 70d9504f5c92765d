"""From what an operator types to the one thing that is meant.

A thing is named by its UUID, its slug, its ScaiKey id; a participant also by FQID, local id or
e-mail address, a group by its name. What is outside the operator's scope is not found, in the
same words as what never was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower

from scaiwave.auth.operators import Operator
from scaiwave.errors import NotFoundError
from tenants.errors import (
    AmbiguousName,
    GroupNotFound,
    ParticipantNotFound,
    PartnerNotFound,
    TenantNotFound,
)
from tenants.models import Group, Participant, Partner, Tenant
from tenants.queries.serializers import get_server_name
from tenants.queries.visibility import (
    visible_groups,
    visible_participants,
    visible_partners,
    visible_tenants,
)

MAX_CANDIDATES = 10

Entity = TypeVar("Entity", Partner, Tenant, Participant, Group)


def resolve_partner(operator: Operator, name: str) -> Partner:
    """Raises `PartnerNotFound` or `AmbiguousName`."""
    found = _find_matches(visible_partners(operator), _name_q(name, "slug", "scaikey_id"))
    return _get_only(
        found,
        missing=PartnerNotFound(f"There is no partner {name!r}."),
        name=name,
        describe=lambda partner: f"{partner.pk} ({partner.name})",
        precise="Use the id of the one you mean.",
    )


def resolve_tenant(operator: Operator, name: str) -> Tenant:
    """Raises `TenantNotFound` or `AmbiguousName`."""
    tenants = visible_tenants(operator).select_related("partner")
    return _get_only(
        _find_matches(tenants, _name_q(name, "slug", "scaikey_tenant_id")),
        missing=TenantNotFound(f"There is no tenant {name!r}."),
        name=name,
        describe=lambda tenant: f"{tenant.pk} ({tenant.slug})",
        precise="Use the id of the one you mean.",
    )


def resolve_participant(
    operator: Operator, name: str, *, tenant: Tenant | None = None
) -> Participant:
    """Raises `ParticipantNotFound` or `AmbiguousName`.

    Who has moved to another tenant is still in the old one, absent; the present one is meant.
    """
    people = visible_participants(operator).select_related("tenant__partner")
    if tenant is not None:
        people = people.filter(tenant=tenant)
    found = _find_matches(people.alias(folded=Lower("email")), _participant_q(name))
    server = get_server_name()
    return _get_only(
        _prefer_present(found),
        missing=ParticipantNotFound(f"There is no participant {name!r}{_format_scope(tenant)}."),
        name=name,
        describe=lambda person: f"{person.fqid(server)} ({person}, {person.tenant.slug})",
        precise="Use the full @name:server of the one you mean, or its id.",
    )


def resolve_group(operator: Operator, name: str, *, tenant: Tenant | None = None) -> Group:
    """Raises `GroupNotFound` or `AmbiguousName`."""
    groups = visible_groups(operator).select_related("tenant")
    if tenant is not None:
        groups = groups.filter(tenant=tenant)
    return _get_only(
        _prefer_present(_find_matches(groups, _name_q(name, "name", "scaikey_id"))),
        missing=GroupNotFound(f"There is no group {name!r}{_format_scope(tenant)}."),
        name=name,
        describe=lambda group: f"{group.pk} (in {group.tenant.slug})",
        precise="Use the id of the one you mean."
        if tenant
        else "Add --tenant <slug>, or use the id of the one you mean.",
    )


def is_storable_text(text: str) -> bool:
    """False for what no database row can hold: NUL, and bytes that were no text."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _name_q(name: str, *fields: str) -> Q:
    if not name or not is_storable_text(name):
        return Q(pk__in=[])
    ways = [Q(**{field: name}) for field in fields]
    if (key := parse_uuid(name)) is not None:
        ways.append(Q(pk=key))
    return reduce(or_, ways)


def _participant_q(name: str) -> Q:
    if not is_storable_text(name):
        return _name_q(name)
    if name.startswith("@"):
        return _fqid_q(name.removeprefix("@"))
    query = _name_q(name, "local_id", "scaikey_id")
    if "@" in name:
        query |= Q(folded=Lower(Value(name)))
    return query


def _fqid_q(name: str) -> Q:
    """local_id:server, or the local id alone; a server name may carry a port."""
    local_id, _, server = name.partition(":")
    ours = server in {"", get_server_name()}
    return Q(local_id=local_id, server_name="" if ours else server)


def _format_scope(tenant: Tenant | None) -> str:
    return f" in tenant {tenant.slug}" if tenant else ""


def _find_matches(things: QuerySet[Entity], query: Q) -> list[Entity]:
    return list(things.filter(query).order_by("pk")[: MAX_CANDIDATES + 1])


def _prefer_present(found: list[Entity]) -> list[Entity]:
    """The only one that ScaiKey still has, if there is only one; else all of them."""
    present = [thing for thing in found if thing.absent_since is None]
    return present if len(present) == 1 else found


def _get_only(
    found: Sequence[Entity],
    *,
    missing: NotFoundError,
    name: str,
    describe: Callable[[Entity], str],
    precise: str,
) -> Entity:
    if not found:
        raise missing
    if len(found) == 1:
        return found[0]
    listed = "; ".join(describe(thing) for thing in found[:MAX_CANDIDATES])
    more = "; and more" if len(found) > MAX_CANDIDATES else ""
    raise AmbiguousName(
        f"{name!r} may be any of these: {listed}{more}.",
        fix=precise,
        candidates=[str(thing.pk) for thing in found[:MAX_CANDIDATES]],
    )

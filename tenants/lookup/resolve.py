"""Find the record that an operator names.

Every record has a UUID, and a slug, name or ScaiKey ID; participants are also found by FQID, local
id or e-mail address. A record outside the operator's scope raises the same error as one that does
not exist.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import attrgetter, or_
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower

from scaiwave.config.server_name import normalize_server_name
from scaiwave.core.errors import DomainError, NotFoundError
from scaiwave.core.operators import Operator
from scaiwave.core.sql import batched
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
MAX_EXPLAINED = 20
"""The first names that are not found: an error of theirs suggests the nearest name."""
NAMES_PER_QUERY = 200
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_USE_ID = "Use the ID of the one you mean."

Entity = TypeVar("Entity", Partner, Tenant, Participant, Group)


@dataclass(frozen=True)
class NameLookup(Generic[Entity]):
    """How the records of one kind are found: `keys` are what `build_q` compares a name with.

    `build_missing` gets the nearest name that exists, and returns the error.
    """

    records: QuerySet[Entity]
    build_q: Callable[[Sequence[str]], Q]
    get_keys: Callable[[Entity], Iterable[Any]]
    find_nearest: Callable[[str], str | None]
    build_missing: Callable[[str, str | None], NotFoundError]
    describe: Callable[[Entity], str]
    fix: str = _USE_ID
    prefers_present: bool = False
    identify: Callable[[Entity], Any] = attrgetter("pk")
    """Records with the same value are one, of which any is returned."""

    def find(self, name: str) -> Entity:
        found = self.records.filter(self.build_q([name])).order_by("pk")[: MAX_CANDIDATES + 1]
        return self._choose(name, list(found))

    def find_each(self, names: Iterable[str]) -> dict[str, Entity | DomainError]:
        """Return the record of each name, or its error, in a query for many names."""
        found: dict[str, Entity | DomainError] = {}
        errors = 0
        for batch in batched(dict.fromkeys(names), NAMES_PER_QUERY):
            by_key: defaultdict[Any, dict[UUID, Entity]] = defaultdict(dict)
            for record in self.records.filter(self.build_q(batch)).order_by("pk"):
                for key in self.get_keys(record):
                    by_key[key][record.pk] = record
            for name in batch:
                matches = {pk: each for key in _get_keys(name) for pk, each in by_key[key].items()}
                try:
                    explains = errors < MAX_EXPLAINED
                    found[name] = self._choose(name, list(matches.values()), explains=explains)
                except DomainError as error:
                    found[name] = error
                    errors += 1
        return found

    def _choose(self, name: str, matches: Sequence[Entity], *, explains: bool = True) -> Entity:
        if self.prefers_present:
            present = [match for match in matches if match.absent_since is None]
            matches = present if len(present) == 1 else matches
        if not matches:
            raise self.build_missing(name, self.find_nearest(name) if explains else None)
        if len({self.identify(match) for match in matches}) == 1:
            return matches[0]
        listed = "; ".join(self.describe(match) for match in matches[:MAX_CANDIDATES])
        more = "; and more" if len(matches) > MAX_CANDIDATES else ""
        raise AmbiguousName(
            f"{name} is ambiguous: {listed}{more}.",
            fix=self.fix,
            candidates=[str(match.pk) for match in matches[:MAX_CANDIDATES]],
        )


def look_up_partner(operator: Operator) -> NameLookup[Partner]:
    partners = visible_partners(operator)
    return NameLookup(
        partners,
        partial(_name_q, fields=("slug", "scaikey_id")),
        lambda partner: (partner.pk, partner.slug, partner.scaikey_id),
        lambda name: find_nearest(operator, name, partners, "slug"),
        lambda name, nearest: PartnerNotFound(
            f"Partner not found: {name}.",
            fix=suggest_nearest(
                nearest, "`scaiwave admin list-partners` lists all.", PartnerNotFound.fix
            ),
        ),
        lambda partner: f"{partner.pk} ({partner.name})",
    )


def resolve_partner(operator: Operator, name: str) -> Partner:
    """Raises `PartnerNotFound` or `AmbiguousName`."""
    return look_up_partner(operator).find(name)


def look_up_tenant(operator: Operator) -> NameLookup[Tenant]:
    tenants = visible_tenants(operator).select_related("partner")
    return NameLookup(
        tenants,
        partial(_name_q, fields=("slug", "scaikey_tenant_id")),
        lambda tenant: (tenant.pk, tenant.slug, tenant.scaikey_tenant_id),
        lambda name: find_nearest(operator, name, tenants, "slug"),
        lambda name, nearest: TenantNotFound(
            f"Tenant not found: {name}.",
            fix=suggest_nearest(
                nearest, "`scaiwave admin list-tenants` lists all.", TenantNotFound.fix
            ),
        ),
        lambda tenant: f"{tenant.pk} ({tenant.slug})",
    )


def resolve_tenant(operator: Operator, name: str) -> Tenant:
    """Raises `TenantNotFound` or `AmbiguousName`."""
    return look_up_tenant(operator).find(name)


def look_up_participant(
    operator: Operator, *, tenant: Tenant | None = None
) -> NameLookup[Participant]:
    """Find one participant, and never choose between two, even if one was removed."""
    people = visible_participants(operator).select_related("tenant__partner")
    if tenant is not None:
        people = people.filter(tenant=tenant)
    fix = ParticipantNotFound.fix
    server_name = get_server_name()
    return NameLookup(
        people.annotate(folded=Lower("email")),
        participant_q,
        _get_participant_keys,
        lambda name: find_nearest_participant(operator, name, people),
        lambda name, nearest: ParticipantNotFound(
            f"Participant not found{_format_scope(tenant)}: {name}.",
            fix=suggest_nearest(nearest, fix, fix),
        ),
        lambda person: (
            f"{person.fqid(server_name)} ({person}, {person.tenant.slug}, "
            f"{person.inactive_reason or 'active'})"
        ),
        fix="Use the full @name:server of the one you mean, or its ID.",
    )


def resolve_participant(
    operator: Operator, name: str, *, tenant: Tenant | None = None
) -> Participant:
    """Raises `ParticipantNotFound` or `AmbiguousName`."""
    return look_up_participant(operator, tenant=tenant).find(name)


def resolve_person(operator: Operator, name: str, *, tenant: Tenant | None = None) -> Participant:
    """Return any participant of the ScaiKey user, who has one in each tenant they were in."""
    lookup = look_up_participant(operator, tenant=tenant)
    return replace(lookup, identify=lambda person: person.scaikey_id or person.pk).find(name)


def look_up_participants_in(operator: Operator, tenant: str | None) -> NameLookup[Participant]:
    """Find participants of the tenant that is named, or without a name of any tenant."""
    resolved = resolve_tenant(operator, tenant) if tenant is not None else None
    return look_up_participant(operator, tenant=resolved)


def look_up_group(operator: Operator, *, tenant: Tenant | None = None) -> NameLookup[Group]:
    groups = visible_groups(operator).select_related("tenant")
    if tenant is not None:
        groups = groups.filter(tenant=tenant)
    slug = tenant.slug if tenant else "<slug>"
    return NameLookup(
        groups,
        partial(_name_q, fields=("name", "scaikey_id")),
        lambda group: (group.pk, group.name, group.scaikey_id),
        # The index of names begins with the tenant.
        lambda name: find_nearest(operator, name, groups, "name") if tenant else None,
        lambda name, nearest: GroupNotFound(
            f"Group not found{_format_scope(tenant)}: {name}.",
            fix=suggest_nearest(
                nearest,
                f"`scaiwave admin list-groups --tenant {slug}` lists all.",
                GroupNotFound.FIX.format(slug),
            ),
        ),
        lambda group: f"{group.pk} (in {group.tenant.slug})",
        fix=_USE_ID if tenant else "Add --tenant <slug>, or use the ID of the one you mean.",
        prefers_present=True,
    )


def resolve_group(operator: Operator, name: str, *, tenant: Tenant | None = None) -> Group:
    """Raises `GroupNotFound` or `AmbiguousName`."""
    return look_up_group(operator, tenant=tenant).find(name)


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


def _name_q(names: Sequence[str], fields: Sequence[str]) -> Q:
    names = [name for name in names if name and is_storable_text(name)]
    ids = [key for name in names if (key := parse_uuid(name)) is not None]
    query = Q(pk__in=ids)
    for field in fields if names else ():
        query |= Q(**{f"{field}__in": names})
    return query


def participant_q(names: Sequence[str]) -> Q:
    names = [name for name in names if is_storable_text(name)]
    others = [name for name in names if not name.startswith("@")]
    query = _name_q(others, ("local_id", "scaikey_id"))
    if addresses := [name for name in others if "@" in name]:
        query |= Q(folded__in=[Lower(Value(name)) for name in addresses])
    local_ids: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if name.startswith("@"):
            local_id, server_name = split_fqid(name[1:])
            local_ids[server_name].append(local_id)
    for server_name, ids in local_ids.items():
        query |= Q(server_name=server_name, local_id__in=ids)
    return query


def split_fqid(name: str) -> tuple[str, str]:
    """Split local_id:server, or the local ID alone; a server name may contain a port."""
    local_id, _, server_name = name.partition(":")
    own_names = {"", normalize_server_name(get_server_name())}
    is_own = normalize_server_name(server_name) in own_names
    return local_id, "" if is_own else server_name


def _get_participant_keys(person: Participant) -> list[Any]:
    fqid = (person.local_id, person.server_name)
    folded: Any = person
    return [person.pk, person.local_id, person.scaikey_id, ("e-mail", folded.folded), fqid]


def _get_keys(name: str) -> list[Any]:
    """Return the keys of the records that a name may mean."""
    if not name:
        return []
    if name.startswith("@"):
        return [split_fqid(name.removeprefix("@"))]
    # Databases fold all letters, or like SQLite only ASCII letters.
    folded = {name.lower(), name.translate(_ASCII_LOWER)} if "@" in name else set()
    keys = [name, parse_uuid(name), *(("e-mail", each) for each in folded)]
    return [key for key in keys if key is not None]


def _format_scope(tenant: Tenant | None) -> str:
    return f" in tenant {tenant.slug}" if tenant else ""

"""Why somebody can't sign in: everything that stands in the way, not only the first thing."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from uuid import UUID

from django.db.models import Q

from scaiwave import registry
from scaiwave.auth.operators import Operator, Permission
from tenants.models import AuditEntry, Group, Participant, ParticipantType, Partner, Tenant
from tenants.models.directory import ACTIVE_STATUSES
from tenants.queries.group_nesting import PathStarts, effective_groups
from tenants.queries.resolve import is_storable_text, resolve_participant, resolve_tenant
from tenants.queries.roles import assignment_row, effective_roles
from tenants.queries.serializers import Row, get_server_name, last_audit_entries, participant_row
from tenants.queries.status_filters import status_q
from tenants.queries.visibility import visible_participants

BATCH_SIZE = 2000
SEARCH_FIELDS = ("display_name", "email", "local_id")


def list_participants(
    *,
    operator: Operator,
    tenant: str,
    status: str = "all",
    kind: str | None = None,
    search: str | None = None,
    limit: int | None = None,
) -> Generator[Row, None, None]:
    """The participants of one tenant by name, one at a time, so that memory does not grow with
    them. What can go wrong does so at once, not at the first row. Close it when not all is read.

    `search` is a part of a name, an e-mail address or a local id, in small or capital letters.
    """
    operator.require(Permission.VIEW)
    found = Participant.objects.filter(status_q(status), tenant=resolve_tenant(operator, tenant))
    if kind is not None:
        found = found.filter(participant_type=kind)
    if search:
        found = found.filter(_search_q(search))
    return _iter_rows(found.order_by("display_name", "pk")[:limit].iterator(chunk_size=BATCH_SIZE))


def _iter_rows(participants: Iterator[Participant]) -> Generator[Row, None, None]:
    server_name = get_server_name()
    for participant in participants:
        yield participant_row(participant, server_name=server_name)


def _search_q(search: str) -> Q:
    """A regular expression, since LIKE of SQLite folds the case of ASCII letters alone."""
    if not is_storable_text(search):
        return Q(pk__in=[])
    pattern = re.escape(search)
    query = Q()
    for field in SEARCH_FIELDS:
        query |= Q(**{f"{field}__iregex": pattern})
    return query


def show_participant(*, operator: Operator, name: str, tenant: str | None = None) -> Row:
    """Everything about one participant, first whether they may sign in and if not why.

    Raises `ParticipantNotFound`, `TenantNotFound` or `AmbiguousName`.
    """
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant) if tenant is not None else None
    person = resolve_participant(operator, name, tenant=within)
    through = effective_groups(person)
    groups = Group.objects.in_bulk([*through])
    in_the_way = sign_in_blockers(person)
    audit = AuditEntry.objects.filter(tenant_id=str(person.tenant_id), subject_id=str(person.pk))
    return {
        **participant_row(person, server_name=get_server_name()),
        "tenant": person.tenant.slug,
        "avatar_url": person.avatar_url,
        "may_sign_in": not in_the_way,
        "obstacles": in_the_way,
        "groups": _list_groups(groups, through),
        "roles": [assignment_row(held) for held in effective_roles(person)],
        "elsewhere": _list_other_accounts(operator, person),
        "facts": [
            {"title": title, "value": value}
            for title, value in registry.participant_facts(person.pk)
        ],
        "audit": last_audit_entries(audit),
    }


def _list_groups(groups: dict[UUID, Group], through: PathStarts) -> list[Row]:
    """By name. `through` names the direct groups that lead to one that isn't direct."""
    rows = [
        {
            "id": group.pk,
            "name": group.name,
            "type": group.group_type,
            "direct": group.pk in through[group.pk],
            "through": sorted(
                groups[way].name for way in through[group.pk] if group.pk not in through[group.pk]
            ),
        }
        for group in groups.values()
    ]
    return sorted(rows, key=lambda row: (str(row["name"]).casefold(), str(row["id"])))


def _list_other_accounts(operator: Operator, person: Participant) -> list[Row]:
    """The same ScaiKey user or e-mail address in other rows: somebody who has moved, or has two
    accounts, is often the answer to why they can't sign in."""
    same = Q(pk__in=[])
    if person.scaikey_id:
        same |= Q(scaikey_id=person.scaikey_id)
    if person.email:
        same |= Q(email=person.email)
    others = visible_participants(operator).filter(same).exclude(pk=person.pk)
    server_name = get_server_name()
    return [
        {**participant_row(other, server_name=server_name), "tenant": other.tenant.slug}
        for other in others.select_related("tenant").order_by("pk")[:10]
    ]


def sign_in_blockers(participant: Participant) -> list[Row]:
    """What keeps this participant from signing in, with what to do; nothing if they may."""
    if participant.participant_type != ParticipantType.HUMAN:
        kind = participant.participant_type
        return [_build_blocker("participant", f"participants of type {kind} do not sign in", "")]
    return [*_person_blockers(participant), *_tenant_blockers(participant.tenant)]


def _person_blockers(person: Participant) -> Iterator[Row]:
    if person.scaikey_id is None:
        yield _build_blocker(
            "participant",
            "the person is not linked to ScaiKey, which signs people in",
            "Create the person in ScaiKey, then run `scaiwave sync`.",
        )
    yield from _status_blockers("participant", "the person", person)


def _tenant_blockers(tenant: Tenant) -> Iterator[Row]:
    if tenant.scaikey_tenant_id is None:
        yield _build_blocker(
            "tenant",
            f"tenant {tenant.slug} is not linked to ScaiKey, which signs people in",
            f"Link it: `scaiwave admin link-tenant {tenant.slug} --scaikey-tenant-id <id>`.",
        )
    yield from _status_blockers("tenant", f"tenant {tenant.slug}", tenant)
    if tenant.partner is not None:
        yield from _status_blockers("partner", f"partner {tenant.partner}", tenant.partner)


def _status_blockers(about: str, name: str, thing: Participant | Tenant | Partner) -> Iterator[Row]:
    """Each of the three facts that is against it; one fact may hide another."""
    if thing.suspended_by_hand_at is not None:
        row = _build_blocker(about, f"{name} is suspended by hand", _format_resume_fix(thing))
        yield {**row, "since": thing.suspended_by_hand_at}
    if thing.absent_since is not None:
        row = _build_blocker(
            about, f"{name} is gone from ScaiKey", "Restore in ScaiKey, then run `scaiwave sync`."
        )
        yield {**row, "since": thing.absent_since}
    if thing.scaikey_status not in ACTIVE_STATUSES:
        status = thing.scaikey_status.lower()
        yield _build_blocker(
            about,
            f"{name} is {status} in ScaiKey",
            "Activate in ScaiKey, then run `scaiwave sync`.",
        )


def _format_resume_fix(thing: Participant | Tenant | Partner) -> str:
    if isinstance(thing, Tenant):
        return f"`scaiwave admin resume-tenant {thing.slug}` lifts that; ScaiKey can't."
    return "Lift the suspension here; ScaiKey can't."


def _build_blocker(about: str, reason: str, fix: str) -> Row:
    return {"about": about, "reason": reason, "since": None, "fix": fix or None}

"""List participants, show one, and find what blocks a sign-in."""

from __future__ import annotations

from uuid import UUID

from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from scaiwave import extensions
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page, one_more
from scaiwave.core.sql import iter_objects
from tenants.lookup.group_nesting import effective_groups
from tenants.lookup.resolve import contains_q, resolve_participant, resolve_tenant
from tenants.lookup.serializers import Row, get_server_name, last_audit_entries, participant_row
from tenants.lookup.sign_in_blockers import sign_in_blockers
from tenants.lookup.sorting import SortKey, sort_rows
from tenants.lookup.status_filters import status_q
from tenants.lookup.visibility import visible_participants
from tenants.models import AuditEntry, Group, Participant
from tenants.roles.queries.roles import assignment_row, effective_roles

SEARCH_FIELDS = ("display_name", "email", "local_id")
MAX_OTHER_ACCOUNTS = 10


def list_participants(
    *,
    operator: Operator,
    tenant: str | None = None,
    status: str = "all",
    participant_type: str | None = None,
    search: str | None = None,
    after: UUID | None = None,
    limit: int | None = None,
) -> Page:
    """Return participants by name, of one tenant or of all that the operator may see.

    They continue after the one with the ID `after`. Errors are raised at once, not at the first
    row. `search` is a part of a name, an e-mail address or a local ID, in any case.
    """
    operator.require(Permission.VIEW)
    participants = visible_participants(operator).filter(status_q(status))
    if tenant is not None:
        participants = participants.filter(tenant=resolve_tenant(operator, tenant))
    keys = [SortKey(F("display_name"))]
    if participant_type is not None:
        participants = participants.filter(participant_type=participant_type)
    if search:
        participants = participants.filter(contains_q(search, *SEARCH_FIELDS))
        # By the index of names, all people of the tenant would be read in an order in which they
        # are not stored, to find a few of them.
        keys = [SortKey(Coalesce("display_name", Value(""))), SortKey(F("tenant__slug"))]
    ordered = sort_rows(participants, keys, after=after)
    rows = iter_objects(ordered.select_related("tenant")[: one_more(limit)])
    server_name = get_server_name()
    found = (
        {**participant_row(person, server_name=server_name), "tenant": person.tenant.slug}
        for person in rows
    )
    return Page(found, limit, count=participants.count)


def show_participant(*, operator: Operator, name: str, tenant: str | None = None) -> Row:
    """Return everything about one participant, first whether they can sign in and if not why.

    Raises `ParticipantNotFound`, `TenantNotFound` or `AmbiguousName`.
    """
    operator.require(Permission.VIEW)
    resolved_tenant = resolve_tenant(operator, tenant) if tenant is not None else None
    person = resolve_participant(operator, name, tenant=resolved_tenant)
    blockers = sign_in_blockers(person)
    audit = AuditEntry.objects.filter(tenant_id=str(person.tenant_id), subject_id=str(person.pk))
    return {
        **participant_row(person, server_name=get_server_name()),
        "tenant": person.tenant.slug,
        "avatar_url": person.avatar_url,
        "can_sign_in": not blockers,
        "sign_in_blockers": blockers,
        "groups": list_groups_of(person),
        "roles": [assignment_row(assignment) for assignment in effective_roles(person)],
        "other_accounts": _list_other_accounts(operator, person),
        "facts": [
            {"title": title, "value": value}
            for extension in extensions.PARTICIPANT_FACTS
            for title, value in extension.load()(person.pk)
        ],
        "sync_changes": extensions.PARTICIPANT_CHANGES.load()(person.pk),
        "audit_entries": last_audit_entries(audit),
    }


def list_groups_of(person: Participant) -> list[Row]:
    """Return the groups that a participant is in, by name.

    `through` names the direct groups that lead to an indirect one.
    """
    via = effective_groups(person)
    groups = Group.objects.in_bulk([*via])
    rows = [
        {
            "id": group.pk,
            "name": group.name,
            "type": group.group_type,
            "direct": group.pk in via[group.pk],
            "through": sorted(
                groups[key].name for key in via[group.pk] if group.pk not in via[group.pk]
            ),
        }
        for group in groups.values()
    ]
    return sorted(rows, key=lambda row: (str(row["name"]).casefold(), str(row["id"])))


def _list_other_accounts(operator: Operator, person: Participant) -> list[Row]:
    """Return other participants with the same ScaiKey user or e-mail address.

    A person who has moved to another tenant, or has two accounts, often tries the wrong one.
    """
    same = Q(pk__in=[])
    if person.scaikey_id:
        same |= Q(scaikey_id=person.scaikey_id)
    if person.email:
        same |= Q(email=person.email)
    others = visible_participants(operator).filter(same).exclude(pk=person.pk)
    server_name = get_server_name()
    return [
        {**participant_row(other, server_name=server_name), "tenant": other.tenant.slug}
        for other in others.select_related("tenant").order_by("pk")[:MAX_OTHER_ACCOUNTS]
    ]

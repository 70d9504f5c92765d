from __future__ import annotations

from uuid import UUID

from django.db.models import Q

from scaiwave import registry
from scaiwave.auth.operators import Operator, Permission
from tenants.models import AuditEntry, Group, Participant
from tenants.queries.group_nesting import Through, effective_groups
from tenants.queries.resolve import resolve_participant, resolve_tenant
from tenants.queries.role_paths import assignment_row, effective_roles
from tenants.queries.serializers import Row, get_server_name, last_audit_entries, participant_row
from tenants.queries.sign_in import sign_in_blockers
from tenants.queries.visibility import visible_participants


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
        "groups": _groups(groups, through),
        "roles": [assignment_row(held) for held in effective_roles(person)],
        "elsewhere": _elsewhere(operator, person),
        "facts": [
            {"title": title, "value": value}
            for title, value in registry.participant_facts(person.pk)
        ],
        "audit": last_audit_entries(audit),
    }


def _groups(groups: dict[UUID, Group], through: Through) -> list[Row]:
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


def _elsewhere(operator: Operator, person: Participant) -> list[Row]:
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

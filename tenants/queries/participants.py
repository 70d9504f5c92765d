"""List participants, show one, and find what blocks a sign-in."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from shlex import quote
from uuid import UUID

from django.db.models import F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from scaiwave import registry
from scaiwave.auth.operators import Operator, Permission
from scaiwave.paging import Page, one_more
from tenants.models import AuditEntry, Group, Participant, ParticipantType, Partner, Tenant
from tenants.models.directory import ACTIVE_STATUSES
from tenants.queries.group_nesting import effective_groups
from tenants.queries.resolve import contains_q, resolve_participant, resolve_tenant
from tenants.queries.roles import assignment_row, effective_roles
from tenants.queries.serializers import Row, get_server_name, last_audit_entries, participant_row
from tenants.queries.sorting import SortKey, sort_rows
from tenants.queries.status_filters import status_q
from tenants.queries.visibility import visible_participants

BATCH_SIZE = 2000
SEARCH_FIELDS = ("display_name", "email", "local_id")
MAX_OTHER_ACCOUNTS = 10


def list_participants(
    *,
    operator: Operator,
    tenant: str,
    status: str = "all",
    participant_type: str | None = None,
    search: str | None = None,
    after: UUID | None = None,
    limit: int | None = None,
) -> Page:
    """Return the participants of one tenant by name, continuing after the one with that ID.

    Errors are raised at once, not at the first row. `search` is a part of a name, an e-mail address
    or a local ID, in any case.
    """
    operator.require(Permission.VIEW)
    resolved = resolve_tenant(operator, tenant)
    participants = Participant.objects.filter(status_q(status), tenant=resolved)
    key: Combinable = F("display_name")
    if participant_type is not None:
        participants = participants.filter(participant_type=participant_type)
    if search:
        participants = participants.filter(contains_q(search, *SEARCH_FIELDS))
        # By the index of names, all people of the tenant would be read in an order in which they
        # are not stored, to find a few of them.
        key = Coalesce(key, Value(""))
    ordered = sort_rows(participants, [SortKey(key)], after=after)
    rows = ordered[: one_more(limit)].iterator(chunk_size=BATCH_SIZE)
    return Page(_iter_rows(rows), limit)


def _iter_rows(participants: Iterator[Participant]) -> Generator[Row, None, None]:
    server_name = get_server_name()
    for participant in participants:
        yield participant_row(participant, server_name=server_name)


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
            for title, value in registry.get_participant_details(person.pk)
        ],
        "sync_changes": registry.get_participant_changes(person.pk),
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


def sign_in_blockers(participant: Participant) -> list[Row]:
    """Return every reason why the participant can't sign in, each with a fix."""
    if participant.participant_type != ParticipantType.HUMAN:
        reason = f"participants of type {participant.participant_type} do not sign in"
        return [_build_blocker("participant", reason, "")]
    return [*_person_blockers(participant), *tenant_blockers(participant.tenant)]


def _person_blockers(person: Participant) -> Iterator[Row]:
    if person.scaikey_id is None:
        yield _build_blocker(
            "participant",
            "the person is not linked to ScaiKey, which signs people in",
            "Create the person in ScaiKey, then run `scaiwave sync`.",
        )
    yield from _status_blockers("participant", "the person", person)


def tenant_blockers(tenant: Tenant) -> list[Row]:
    """Return every reason why no one of the tenant can sign in, each with a fix."""
    return [*_own_tenant_blockers(tenant), *partner_blockers(tenant.partner)]


def partner_blockers(partner: Partner | None) -> list[Row]:
    """Return every reason why no one of the partner can sign in, each with a fix."""
    return [*_status_blockers("partner", f"partner {partner}", partner)] if partner else []


def _own_tenant_blockers(tenant: Tenant) -> Iterator[Row]:
    if tenant.scaikey_tenant_id is None:
        yield _build_blocker(
            "tenant",
            f"tenant {tenant.slug} is not linked to ScaiKey, which signs people in",
            f"Link it: `scaiwave admin link-tenant {quote(tenant.slug)} --scaikey-tenant-id <id>`.",
        )
    yield from _status_blockers("tenant", f"tenant {tenant.slug}", tenant)


def _status_blockers(
    about: str, label: str, entity: Participant | Tenant | Partner
) -> Iterator[Row]:
    """Check each of the three status fields, since one of them may hide another."""
    if entity.suspended_by_hand_at is not None:
        row = _build_blocker(about, f"{label} is suspended manually", _resume_fix(entity))
        yield {**row, "started_at": entity.suspended_by_hand_at}
    if entity.absent_since is not None:
        row = _build_blocker(
            about,
            f"{label} is removed from ScaiKey",
            "Restore it in ScaiKey, then run `scaiwave sync`.",
        )
        yield {**row, "started_at": entity.absent_since}
    if entity.scaikey_status not in ACTIVE_STATUSES:
        yield _build_blocker(
            about,
            f"{label} is {entity.scaikey_status.lower()} in ScaiKey",
            "Activate it in ScaiKey, then run `scaiwave sync`.",
        )


def _resume_fix(entity: Participant | Tenant | Partner) -> str:
    if isinstance(entity, Partner):
        command = f"resume-partner {quote(str(entity))}"
    elif isinstance(entity, Tenant):
        command = f"resume-tenant {quote(entity.slug)}"
    else:
        command = f"resume-participant {quote(entity.fqid(get_server_name()))}"
    return f"Run `scaiwave admin {command}`; a sync can't lift the suspension."


def _build_blocker(about: str, reason: str, fix: str) -> Row:
    return {"subject_type": about, "reason": reason, "started_at": None, "fix": fix or None}

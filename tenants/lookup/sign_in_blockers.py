"""Why someone can't sign in, each reason with its fix."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from tenants.lookup.serializers import Row, get_server_name
from tenants.models import Participant, ParticipantType, Partner, Tenant
from tenants.models.directory import ACTIVE_STATUSES


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

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
    blockers = []
    if participant.scaikey_id is None:
        reason = "the person is not linked to ScaiKey, which signs people in"
        fix = "Create the person in ScaiKey, then run `scaiwave sync`."
        blockers.append(_build_blocker("participant", reason, fix))
    blockers += _status_blockers("participant", "the person", participant)
    return blockers + tenant_blockers(participant.tenant)


def tenant_blockers(tenant: Tenant) -> list[Row]:
    """Return every reason why no one of the tenant can sign in, each with a fix."""
    blockers, label = [], f"tenant {tenant.slug}"
    if tenant.scaikey_tenant_id is None:
        link = f"scaiwave admin link-tenant {quote(tenant.slug)} --scaikey-tenant-id <id>"
        reason = f"{label} is not linked to ScaiKey, which signs people in"
        blockers.append(_build_blocker("tenant", reason, f"Link it: `{link}`."))
    blockers += _status_blockers("tenant", label, tenant)
    return blockers + partner_blockers(tenant.partner)


def partner_blockers(partner: Partner | None) -> list[Row]:
    """Return every reason why no one of the partner can sign in, each with a fix."""
    return [*_status_blockers("partner", f"partner {partner}", partner)] if partner else []


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

"""Why somebody can't sign in: everything that stands in the way, not only the first thing."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.models import Participant, ParticipantType, Partner, Tenant
from tenants.models.directory import ACTIVE_STATUSES
from tenants.queries.serializers import Row


def sign_in_blockers(participant: Participant) -> list[Row]:
    """What keeps this participant from signing in, with what to do; nothing if they may."""
    if participant.participant_type != ParticipantType.HUMAN:
        kind = participant.participant_type
        return [_obstacle("participant", f"participants of type {kind} do not sign in", "")]
    return [*_of_person(participant), *_of_tenant(participant.tenant)]


def _of_person(person: Participant) -> Iterator[Row]:
    if person.scaikey_id is None:
        yield _obstacle(
            "participant",
            "the person is not linked to ScaiKey, which signs people in",
            "Create the person in ScaiKey, then run `scaiwave sync`.",
        )
    yield from _of_standing("participant", "the person", person)


def _of_tenant(tenant: Tenant) -> Iterator[Row]:
    if tenant.scaikey_tenant_id is None:
        yield _obstacle(
            "tenant",
            f"tenant {tenant.slug} is not linked to ScaiKey, which signs people in",
            f"Link it: `scaiwave admin link-tenant {tenant.slug} --scaikey-tenant-id <id>`.",
        )
    yield from _of_standing("tenant", f"tenant {tenant.slug}", tenant)
    if tenant.partner is not None:
        yield from _of_standing("partner", f"partner {tenant.partner}", tenant.partner)


def _of_standing(about: str, name: str, thing: Participant | Tenant | Partner) -> Iterator[Row]:
    """Each of the three facts that is against it; one fact may hide another."""
    if thing.suspended_by_hand_at is not None:
        row = _obstacle(about, f"{name} is suspended by hand", _resuming(thing))
        yield {**row, "since": thing.suspended_by_hand_at}
    if thing.absent_since is not None:
        row = _obstacle(
            about, f"{name} is gone from ScaiKey", "Restore in ScaiKey, then run `scaiwave sync`."
        )
        yield {**row, "since": thing.absent_since}
    if thing.scaikey_status not in ACTIVE_STATUSES:
        status = thing.scaikey_status.lower()
        yield _obstacle(
            about,
            f"{name} is {status} in ScaiKey",
            "Activate in ScaiKey, then run `scaiwave sync`.",
        )


def _resuming(thing: Participant | Tenant | Partner) -> str:
    if isinstance(thing, Tenant):
        return f"`scaiwave admin resume-tenant {thing.slug}` lifts that; ScaiKey can't."
    return "Lift the suspension here; ScaiKey can't."


def _obstacle(about: str, reason: str, fix: str) -> Row:
    return {"about": about, "reason": reason, "since": None, "fix": fix or None}

"""Whether somebody is active, as a condition for the database."""

from __future__ import annotations

from django.db.models import Q

from tenants.models import ACTIVE, ParticipantType

STATUSES = ("active", "inactive", "suspended", "absent", "all")

_ABSENT = Q(suspended_by_hand_at=None, absent_since__isnull=False)
# The members of a tenant: those of its people who are active. AI, bridge shadows and people of
# other servers are participants and not members.
MEMBERS = ACTIVE & Q(participant_type=ParticipantType.HUMAN)


def status_q(status: str) -> Q:
    """Those whose `status` is this one; `inactive` is suspended or absent."""
    return {
        "active": ACTIVE,
        "inactive": ~ACTIVE,
        "suspended": ~ACTIVE & ~_ABSENT,
        "absent": _ABSENT,
        "all": Q(),
    }[status]

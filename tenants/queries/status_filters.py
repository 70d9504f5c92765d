"""Q objects that select partners, tenants and participants by status."""

from __future__ import annotations

from django.db.models import Q

from tenants.models import ACTIVE, ParticipantType

STATUSES = ("active", "inactive", "suspended", "deactivated", "all")

_DEACTIVATED = Q(suspended_by_hand_at=None, absent_since__isnull=False)
# The members of a tenant are its active people. AI, bridge shadows and people of other servers are
# participants, but not members.
MEMBERS = ACTIVE & Q(participant_type=ParticipantType.HUMAN)


def status_q(status: str) -> Q:
    """Match the `status` property of the models; `inactive` is suspended or deactivated."""
    return {
        "active": ACTIVE,
        "inactive": ~ACTIVE,
        "suspended": ~ACTIVE & ~_DEACTIVATED,
        "deactivated": _DEACTIVATED,
        "all": Q(),
    }[status]

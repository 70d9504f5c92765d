"""Q objects that select partners, tenants and participants by status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q, Value

from tenants.models import ACTIVE, ParticipantType
from tenants.models.directory import ACTIVE_STATUSES

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

STATUSES = ("active", "inactive", "suspended", "deactivated", "all")

_DEACTIVATED = Q(suspended_by_hand_at=None, absent_since__isnull=False)


class _Literal(Value):
    """One of our own words as a literal in the SQL: SQLite does not compare parameters with the
    condition of an index."""

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str | int, ...]]:
        return f"'{self.value}'", ()


# The members of a tenant are its active people. AI, bridge shadows and people of other servers are
# participants, but not members. This is the condition of the index sw_participants_members.
MEMBERS = Q(
    absent_since=None,
    participant_type=_Literal(ParticipantType.HUMAN.value),
    scaikey_status__in=[_Literal(status) for status in ACTIVE_STATUSES],
    suspended_by_hand_at=None,
)


def status_q(status: str) -> Q:
    """Match the `status` property of the models; `inactive` is suspended or deactivated."""
    return {
        "active": ACTIVE,
        "inactive": ~ACTIVE,
        "suspended": ~ACTIVE & ~_DEACTIVATED,
        "deactivated": _DEACTIVATED,
        "all": Q(),
    }[status]

"""How many there are who may do everything on the platform, or would be."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tenants.models import Participant, RoleGrant, Tenant
from tenants.queries.group_nesting import find_group_members
from tenants.queries.participants import sign_in_blockers
from tenants.queries.roles import SUPER_ADMIN

GRANT_COMMAND = "`scaiwave role grant super_admin --tenant <slug> --to <who>`"


@dataclass(frozen=True)
class SuperAdmins:
    """`active` are active, in an active tenant; `able` are those of them who can sign in."""

    active: int
    able: int

    def lost(self, after: SuperAdmins) -> str:
        """Who is no more, if there was one of them before: "nobody …", or an empty text."""
        if self.active and not after.active:
            return "nobody active on this platform"
        if self.able and not after.able:
            return "nobody who can sign in"
        return ""


def count_super_admins(*, besides: RoleGrant | Tenant | None = None) -> SuperAdmins:
    """Count them, directly granted or through groups; without a grant, or the people of a tenant,
    if one is given.

    A sync counts them after a bulk insert, when PostgreSQL has no statistics of what was inserted.
    So it goes from the few grants to the people they reach, by keys alone: the number of rows read
    does not depend on how many tenants and people there are.
    """
    grant = besides if isinstance(besides, RoleGrant) else None
    people = Participant.objects.prefetch_related("tenant__partner").in_bulk(_find_holders(grant))
    active = able = 0
    for person in people.values():
        if person.is_active and person.tenant.is_active and person.tenant != besides:
            active += 1
            able += not sign_in_blockers(person)
    return SuperAdmins(active=active, able=able)


def _find_holders(excluded: RoleGrant | None) -> set[UUID]:
    """Return the ids of all participants with a grant, active or not, through groups too."""
    grants = RoleGrant.objects.filter(role__slug=SUPER_ADMIN)
    if excluded is not None:
        grants = grants.exclude(pk=excluded.pk)
    group_ids = {grant.group_id for grant in grants if grant.group_id is not None}
    direct = {grant.participant_id for grant in grants if grant.participant_id is not None}
    return direct | find_group_members(group_ids)

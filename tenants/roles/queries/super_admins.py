"""Count the participants who hold super_admin."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from tenants.lookup.group_nesting import find_group_members
from tenants.lookup.sign_in_blockers import sign_in_blockers
from tenants.models import Participant, Partner, RoleGrant, Tenant
from tenants.roles.queries.roles import SUPER_ADMIN

GRANT_COMMAND = "`scaiwave role grant super_admin --tenant <slug> --to <who>`"


@dataclass(frozen=True)
class SuperAdmins:
    """`active` are active, in an active tenant; of them, `able` can sign in."""

    active: int
    able: int

    def describe_loss(self, after: SuperAdmins) -> str:
        """Name the kind of super_admin that was lost entirely, or return an empty text."""
        if self.active and not after.active:
            return "no active super_admin"
        if self.able and not after.able:
            return "no super_admin who can sign in"
        return ""


def count_super_admins(
    *, excluding: Collection[RoleGrant | Partner | Tenant | Participant] = ()
) -> SuperAdmins:
    """Count holders of super_admin, directly or through groups.

    `excluding` leaves out grants, the people of partners or of tenants, or persons.

    A sync counts them after a bulk insert, when PostgreSQL has no statistics of the new rows. So
    this goes from the few grants to the people they reach, by keys alone: the number of rows read
    does not depend on how many tenants and people there are.
    """
    grants = [each.pk for each in excluding if isinstance(each, RoleGrant)]
    people = Participant.objects.prefetch_related("tenant__partner").in_bulk(
        find_super_admin_holders(grants)
    )
    left_out = set(excluding)
    active = able = 0
    for person in people.values():
        if left_out & {person, person.tenant, person.tenant.partner}:
            continue
        if person.is_active and person.tenant.is_active:
            active += 1
            able += not sign_in_blockers(person)
    return SuperAdmins(active=active, able=able)


def find_super_admin_holders(
    excluded: Collection[UUID] = (),
    roles: Collection[str] = (SUPER_ADMIN,),
    *,
    with_absent: bool = False,
) -> set[UUID]:
    """Return the ids of all participants with a grant, active or not, through groups too.

    `with_absent` adds the people of groups and memberships that ScaiKey might bring back.
    """
    left_out = set(excluded)
    found = RoleGrant.objects.filter(role__slug__in=roles)
    grants = [grant for grant in found if grant.pk not in left_out]
    group_ids = {grant.group_id for grant in grants if grant.group_id is not None}
    direct = {grant.participant_id for grant in grants if grant.participant_id is not None}
    return direct | find_group_members(group_ids, with_absent=with_absent)

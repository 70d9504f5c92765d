"""How many there are who may do everything on the platform, or would be."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from tenants.models import ACTIVE, Participant, ParticipantType, RoleGrant, Tenant, active_q
from tenants.queries.group_nesting import holders_of_role
from tenants.queries.roles import SUPER_ADMIN

# As `tenants.queries.sign_in` says it; a test holds the two against each other.
_SIGNS_IN = (
    Q(participant_type=ParticipantType.HUMAN)
    & Q(scaikey_id__isnull=False, tenant__scaikey_tenant_id__isnull=False)
    & (Q(tenant__partner=None) | active_q("tenant__partner__"))
)

GRANT_IT = "`scaiwave role grant super_admin --tenant <slug> --to <who>`"


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
    if one is given."""
    grant = besides if isinstance(besides, RoleGrant) else None
    holding = Q(pk__in=holders_of_role(SUPER_ADMIN, besides=grant))
    people = Participant.objects.filter(holding, ACTIVE, active_q("tenant__"))
    if isinstance(besides, Tenant):
        people = people.exclude(tenant=besides)
    return SuperAdmins(**people.aggregate(active=Count("pk"), able=Count("pk", filter=_SIGNS_IN)))

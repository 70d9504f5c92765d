"""Who calls the HTTP API: a participant for themselves, in the one tenant of their token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaiwave.auth.operators import Operator, Role
from scaiwave.errors import InsufficientPermission
from tenants.errors import TenantNotFound
from tenants.models import Participant, Tenant
from tenants.queries.participants import sign_in_blockers
from tenants.queries.resolve import is_storable_text
from tenants.queries.serializers import get_server_name

if TYPE_CHECKING:
    from scaiwave.auth.tokens import Claims


@dataclass(frozen=True)
class Caller:
    """`operator` is the same person as services know them."""

    tenant: Tenant
    participant: Participant
    operator: Operator


def get_caller(claims: Claims, *, origin: str) -> Caller:
    """The participant that a token was given to; `origin` is the address they call from.

    Raises `TenantNotFound` for a tenant that is none of ours, and `InsufficientPermission` for
    somebody whom it has no participant for, or who may not sign in.
    """
    tenant = _get_tenant(claims.tenant_id)
    participant = _get_participant(tenant, claims.subject)
    if found := sign_in_blockers(participant):
        raise InsufficientPermission(f"You may not sign in: {found[0]['reason']}.")
    operator = Operator(
        name=participant.fqid(get_server_name()),
        role=Role.PARTICIPANT,
        tenant_id=tenant.scaikey_tenant_id,
        origin=origin,
        subject=claims.subject,
    )
    return Caller(tenant, participant, operator)


def _get_tenant(scaikey_tenant_id: str) -> Tenant:
    if not scaikey_tenant_id:
        raise TenantNotFound("The token names no tenant.")
    if is_storable_text(scaikey_tenant_id):
        tenants = Tenant.objects.select_related("partner")
        if found := tenants.filter(scaikey_tenant_id=scaikey_tenant_id).first():
            return found
    raise TenantNotFound("The tenant of the token is unknown here.")


def _get_participant(tenant: Tenant, scaikey_id: str) -> Participant:
    if is_storable_text(scaikey_id):
        found = Participant.objects.filter(tenant=tenant, scaikey_id=scaikey_id).first()
        if found is not None:
            found.tenant = tenant
            return found
    raise InsufficientPermission(f"The token's user is no participant of tenant {tenant.slug}.")

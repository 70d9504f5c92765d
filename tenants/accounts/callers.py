"""Identify callers of the HTTP API: a participant, in the one tenant of their token.

The tokens of participants who are suspended manually are refused, there and on the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import Error
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject

from scaiwave.core.errors import InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole, find_room_permissions
from scaiwave.extensions import OperatorScope
from tenants.errors import TenantNotFound
from tenants.lookup.resolve import is_storable_text
from tenants.lookup.serializers import get_server_name
from tenants.lookup.sign_in_blockers import partner_blockers, sign_in_blockers, tenant_blockers
from tenants.models import AdminUser, Participant, Partner, Tenant
from tenants.models.directory import DECIDED_HERE

if TYPE_CHECKING:
    from scaiwave.auth.tokens import Claims


@dataclass(frozen=True)
class Caller:
    """`operator` is the same person, in the form that services take."""

    tenant: Tenant
    participant: Participant
    operator: Operator


def get_caller(claims: Claims, *, origin: str) -> Caller:
    """Return the participant that a token was issued to. `origin` is the caller's address.

    Raises `TenantNotFound` if this server does not have the tenant, and `InsufficientPermission`
    if the tenant does not have the participant, or they can't sign in.
    """
    tenant = _get_tenant(claims.tenant_id)
    participant = None
    if is_storable_text(claims.subject):
        people = Participant.objects.filter(tenant=tenant, scaikey_id=claims.subject)
        participant = people.first()
    if participant is None:
        raise InsufficientPermission(
            f"The token's user is not a participant of tenant {tenant.slug}."
        )
    participant.tenant = tenant
    if blockers := sign_in_blockers(participant):
        raise InsufficientPermission(f"You can't sign in: {blockers[0]['reason']}.")
    operator = Operator(
        name=participant.fqid(get_server_name()),
        role=OperatorRole.PARTICIPANT,
        tenant_id=tenant.scaikey_tenant_id,
        origin=origin,
        subject=claims.subject,
        room_permissions=find_room_permissions(claims.scopes),
    )
    return Caller(tenant, participant, operator)


def find_sign_in_blocker(scaikey_id: str) -> str | None:
    """Return why this server does not let a ScaiKey user sign in; None if they may.

    Someone whom no sync has seen may: ScaiKey has operators who belong to no tenant of this server.
    """
    if not is_storable_text(scaikey_id):
        return "the ID is invalid"
    person = _list_people(scaikey_id).select_related("tenant__partner").first()
    blockers = sign_in_blockers(person) if person is not None else []
    return str(blockers[0]["reason"]) if blockers else None


def _list_people(scaikey_id: Any) -> QuerySet[Participant]:
    """Return the rows of a person. The first one, of the present tenant, decides; the others are of
    tenants that the person has left."""
    people = Participant.objects.filter(DECIDED_HERE, scaikey_id=scaikey_id)
    return people.order_by(F("absent_since").desc(nulls_first=True))


_STATUS = ("scaikey_status", "absent_since", "suspended_by_hand_at")
_PARTNER, _TENANT = "tenant__partner__", "tenant__"
_PERSON_PATHS = [
    f"{prefix}{name}"
    for prefix, names in (
        ("", ("participant_type", "scaikey_id", "local_id", "server_name")),
        (_TENANT, ("slug", "scaikey_tenant_id")),
        (_PARTNER, ("id", "slug", "scaikey_id", "name")),
    )
    for name in (*names, *_STATUS)
]
"""What decides whether a person may sign in, and what names them."""


def find_account(account_id: Any) -> AdminUser | None:
    """Return the account of someone who signs in with ScaiKey, if they may still do so.

    Reads one row, since each page of the admin site asks.
    """
    people = _list_people(OuterRef("scaikey_id"))
    person = people.values(values=JSONObject(**{path: path for path in _PERSON_PATHS}))[:1]
    accounts = AdminUser.objects.filter(pk=account_id, is_active=True, scaikey_id__isnull=False)
    account: Any = accounts.annotate(person=Subquery(person)).first()
    if account is None or (account.person and sign_in_blockers(_build_person(account.person))):
        return None
    found: AdminUser = account
    return found


def _build_person(values: dict[str, Any]) -> Participant:
    """Return an unsaved person, with the fields of `_PERSON_PATHS`."""
    of_partner = _pick(values, _PARTNER)
    partner = None if of_partner["id"] is None else Partner(**of_partner)
    tenant = Tenant(**_pick(values, _TENANT), partner=partner)
    return Participant(**_pick(values, ""), tenant=tenant)


def _pick(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the values whose paths are the prefix and the name of a field."""
    names = {path.removeprefix(prefix): path for path in values if path.startswith(prefix)}
    return {name: values[path] for name, path in names.items() if "__" not in name}


def find_scope(operator: Operator) -> OperatorScope:
    """Return the tenant or partner of the operator's role, and why no one may sign in for it.

    Their administrators need not be participants that a sync has seen. They may also sign in if
    this server does not have the partner or tenant: then they see nothing.
    """
    if not is_storable_text(operator.partner_id or operator.tenant_id or ""):
        return OperatorScope("the ID of the partner or tenant is invalid")
    blockers, tenant_ids = [], None
    if operator.role is OperatorRole.PARTNER_ADMIN:
        if partner := Partner.objects.filter(scaikey_id=operator.partner_id).first():
            blockers = partner_blockers(partner)
    elif operator.role is OperatorRole.TENANT_ADMIN:
        tenants = Tenant.objects.select_related("partner")
        tenant = tenants.filter(scaikey_tenant_id=operator.tenant_id).first()
        tenant_ids = () if tenant is None else (tenant.pk,)
        blockers = [] if tenant is None else tenant_blockers(tenant)
    return OperatorScope(str(blockers[0]["reason"]) if blockers else None, tenant_ids)


def is_suspended_manually(scaikey_id: str) -> bool:
    """Whether the ScaiKey user is a participant that an operator of this server has suspended.

    False if the database can't be read: then nothing can be changed in it either, and `doctor` and
    `show-config` must still show why.
    """
    if not is_storable_text(scaikey_id):
        return False
    people = Participant.objects.filter(scaikey_id=scaikey_id, absent_since=None)
    try:
        return people.exclude(suspended_by_hand_at=None).exists()
    except Error:
        return False


def _get_tenant(scaikey_tenant_id: str) -> Tenant:
    if not scaikey_tenant_id:
        raise TenantNotFound("The token does not name a tenant.")
    if is_storable_text(scaikey_tenant_id):
        tenants = Tenant.objects.select_related("partner")
        if tenant := tenants.filter(scaikey_tenant_id=scaikey_tenant_id).first():
            return tenant
    raise TenantNotFound("This server does not have the tenant of the token.")

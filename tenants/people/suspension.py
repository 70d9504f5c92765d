"""Suspend partners, tenants and participants manually, and resume them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from shlex import quote
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from scaiwave.console.text import pluralize
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_participant_in, resolve_partner, resolve_tenant
from tenants.lookup.serializers import (
    Row,
    get_server_name,
    participant_row,
    partner_row,
    tenant_row,
)
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.lookup.validators import validate_reason
from tenants.models import Participant, Partner, Tenant, active_q
from tenants.roles.rules import (
    describe,
    ensure_may_change_access,
    ensure_super_admin_can_sign_in,
    ensure_super_admin_remains,
    lock_super_admins,
)

_SUSPENSION = (
    "Would suspend {kind} {entity}.",
    "{Kind} {entity} suspended.",
    "{Kind} {entity} is already suspended (manually).",
)
_RESUMPTION = (
    "Would resume {kind} {entity}.",
    "{Kind} {entity} resumed{still}.",
    "{Kind} {entity} is not suspended manually{state}.",
)


@dataclass(frozen=True)
class SuspensionRules:
    """How the suspension of partners, of tenants and of participants differ.

    `resolve` finds one by a name, in a tenant. `get_name` is how messages and commands refer to it.
    `describe_effect` names who can't sign in then. `ensure_remains` raises `LastSuperAdmin`.
    """

    kind: str
    permission: Permission
    resolve: Callable[[Operator, str, str | None], Any]
    lock: Callable[[], QuerySet[Any]]
    build_row: Callable[[Any], Row]
    get_name: Callable[[Any], str]
    get_tenant: Callable[[Any], Tenant | None]
    describe_effect: Callable[[Any], str]
    ensure_remains: Callable[[Any], None]
    ensure_permitted: Callable[[Operator, Any], None] = lambda operator, entity: None

    @property
    def suspend_action(self) -> str:
        return f"suspend-{self.kind}"

    @property
    def resume_action(self) -> str:
        return f"resume-{self.kind}"

    def build_result(
        self,
        entity: Any,
        texts: tuple[str, str, str],
        *,
        changed: bool = False,
        dry_run: bool = False,
    ) -> Change:
        reason = entity.inactive_reason
        is_person = isinstance(entity, Participant)
        names = {
            "kind": self.kind,
            "Kind": self.kind.capitalize(),
            "entity": self.get_name(entity),
            "state": f"{', but' if is_person else '; it is'} {reason or 'active'}",
            "still": f", but {'' if is_person else 'it '}is still {reason}" if reason else "",
        }
        words = ChangeWords(self.kind, *texts)
        return Change(words, self.build_row(entity), changed, dry_run, names)


def suspend(
    rules: SuspensionRules,
    *,
    operator: Operator,
    name: str,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    tenant: str | None = None,
    dry_run: bool = False,
) -> Change:
    """Suspend one manually, whatever its status in ScaiKey. Syncs do not change this.

    The reason goes into the audit log and may be empty. `confirm` gets the question to ask, and
    raises if the answer is not yes. `tenant` restricts the search for a participant. Raises
    LastSuperAdmin, AmbiguousName, InvalidName, the error of a name that is not found, and for a
    participant SuperAdminOnly.
    """
    operator.require(rules.permission)
    validate_reason(reason)
    entity = rules.resolve(operator, name, tenant)
    rules.ensure_permitted(operator, entity)
    if entity.suspended_by_hand_at is not None:
        return rules.build_result(entity, _SUSPENSION)
    rules.ensure_remains(entity)
    if dry_run:
        return rules.build_result(entity, _SUSPENSION, dry_run=True)
    kind = rules.kind
    confirm(
        f"This blocks {rules.describe_effect(entity)} until you run `scaiwave admin "
        f"resume-{kind} {quote(rules.get_name(entity))}`; syncs do not change this."
    )
    with transaction.atomic():
        lock_super_admins()
        entity = rules.lock().get(pk=entity.pk)
        if entity.suspended_by_hand_at is not None:
            return rules.build_result(entity, _SUSPENSION)
        rules.ensure_remains(entity)
        entity.suspended_by_hand_at = entity.updated_at = now
        entity.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action=rules.suspend_action,
            subject=entity,
            tenant=rules.get_tenant(entity),
            now=now,
            details={"reason": reason},
        )
    return rules.build_result(entity, _SUSPENSION, changed=True)


def resume(
    rules: SuspensionRules,
    *,
    operator: Operator,
    name: str,
    reason: str,
    now: datetime,
    tenant: str | None = None,
    dry_run: bool = False,
) -> Change:
    """Lift a manual suspension. The status in ScaiKey applies again.

    The reason goes into the audit log and may be empty. `tenant` restricts the search for a
    participant. Raises AmbiguousName, InvalidName, the error of a name that is not found, and for a
    participant SuperAdminOnly.
    """
    operator.require(rules.permission)
    validate_reason(reason)
    entity = rules.resolve(operator, name, tenant)
    rules.ensure_permitted(operator, entity)
    if entity.suspended_by_hand_at is None:
        return rules.build_result(entity, _RESUMPTION)
    if dry_run:
        return rules.build_result(entity, _RESUMPTION, dry_run=True)
    with transaction.atomic():
        entity = rules.lock().get(pk=entity.pk)
        since = entity.suspended_by_hand_at
        if since is None:
            return rules.build_result(entity, _RESUMPTION)
        entity.suspended_by_hand_at, entity.updated_at = None, now
        entity.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action=rules.resume_action,
            subject=entity,
            tenant=rules.get_tenant(entity),
            now=now,
            details={"reason": reason, "suspended_by_hand_at": since.isoformat()},
        )
    return rules.build_result(entity, _RESUMPTION, changed=True)


def _describe_partner(partner: Partner) -> str:
    """Count the people who could sign in, and the active tenants they are in."""
    tenants = Tenant.objects.filter(status_q("active"), partner=partner).count()
    people = Participant.objects.filter(
        MEMBERS, active_q("tenant__"), tenant__partner=partner
    ).count()
    return (
        f"sign-in for {pluralize(people, 'person', 'people')} in "
        f"{pluralize(tenants, 'tenant', 'tenants')} of partner {partner}"
    )


def describe_members(tenant: Tenant) -> str:
    """Format the number of active people in a tenant, as `all 36 people in acme`."""
    count = Participant.objects.filter(MEMBERS, tenant=tenant).count()
    people = f"all {count:,} people" if count > 1 else pluralize(count, "person", "people")
    return f"{people} in {tenant.slug}"


PARTNER = SuspensionRules(
    "partner",
    Permission.MANAGE_PLATFORM,
    resolve=lambda operator, name, tenant: resolve_partner(operator, name),
    lock=Partner.objects.select_for_update,
    build_row=partner_row,
    get_name=str,
    get_tenant=lambda partner: None,
    describe_effect=_describe_partner,
    ensure_remains=lambda partner: ensure_super_admin_can_sign_in(without=partner),
)
TENANT = SuspensionRules(
    "tenant",
    Permission.MANAGE_TENANTS,
    resolve=lambda operator, name, tenant: resolve_tenant(operator, name),
    lock=Tenant.objects.select_for_update,
    build_row=tenant_row,
    get_name=lambda tenant: tenant.slug,
    get_tenant=lambda tenant: tenant,
    describe_effect=lambda tenant: f"sign-in for {describe_members(tenant)}",
    ensure_remains=ensure_super_admin_remains,
)
PARTICIPANT = SuspensionRules(
    "participant",
    Permission.MANAGE_TENANTS,
    resolve=resolve_participant_in,
    # Those who only refer to a person, such as an import in progress, need not wait.
    lock=lambda: Participant.objects.select_related("tenant").select_for_update(
        of=("self",), no_key=True
    ),
    build_row=lambda person: participant_row(person, server_name=get_server_name()),
    get_name=lambda person: person.fqid(get_server_name()),
    get_tenant=lambda person: person.tenant,
    describe_effect=describe,
    ensure_remains=ensure_super_admin_remains,
    ensure_permitted=ensure_may_change_access,
)

suspend_partner, resume_partner = partial(suspend, PARTNER), partial(resume, PARTNER)
suspend_tenant, resume_tenant = partial(suspend, TENANT), partial(resume, TENANT)
suspend_participant = partial(suspend, PARTICIPANT)
resume_participant = partial(resume, PARTICIPANT)

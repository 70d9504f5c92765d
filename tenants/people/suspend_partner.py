"""Suspend partners manually, and resume them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from uuid import UUID

from django.db import transaction

from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_partner
from tenants.lookup.serializers import Row, partner_row
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.lookup.validators import validate_reason
from tenants.models import Participant, Partner, Tenant, active_q
from tenants.roles.rules import ensure_super_admin_can_sign_in, lock_super_admins


@dataclass(frozen=True)
class PartnerChangeResult:
    """`name` is how messages refer to the partner: the slug, or its ScaiKey ID without one.

    `changed` is False if there was nothing to change, and in a dry run.
    """

    partner: Row
    name: str
    changed: bool
    dry_run: bool = False

    def document(self) -> Row:
        """Return the --json document. In a dry run, `changed` is whether something would change."""
        return {"partner": self.partner, "changed": self.changed or self.dry_run}


class SuspendPartnerResult(PartnerChangeResult):
    @property
    def sentence(self) -> str:
        if self.dry_run:
            return f"Would suspend partner {self.name}."
        if self.changed:
            return f"Partner {self.name} suspended."
        return f"Partner {self.name} is already suspended (manually)."


def suspend_partner(
    *,
    operator: Operator,
    name: str,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> SuspendPartnerResult:
    """Suspend a partner manually: the people of its tenants can't sign in. Syncs do not change
    this.

    The reason goes into the audit log and may be empty. `confirm` gets the question to ask, and
    raises if the answer is not yes. Raises PartnerNotFound, AmbiguousName, InvalidName and
    LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_reason(reason)
    partner = resolve_partner(operator, name)
    if partner.suspended_by_hand_at is not None:
        return SuspendPartnerResult(partner_row(partner), str(partner), changed=False)
    ensure_super_admin_can_sign_in(without=partner)
    if dry_run:
        return SuspendPartnerResult(partner_row(partner), str(partner), changed=False, dry_run=True)
    confirm(_describe_effect(partner))
    return _suspend(operator, partner.pk, reason, now)


def _describe_effect(partner: Partner) -> str:
    """Count the people who could sign in, and the active tenants they are in."""
    tenants = Tenant.objects.filter(status_q("active"), partner=partner).count()
    people = Participant.objects.filter(
        MEMBERS, active_q("tenant__"), tenant__partner=partner
    ).count()
    return (
        f"This blocks sign-in for {pluralize(people, 'person', 'people')} in "
        f"{pluralize(tenants, 'tenant', 'tenants')} of partner {partner} until you run `scaiwave "
        f"admin resume-partner {quote(str(partner))}`; syncs do not change this."
    )


def _suspend(
    operator: Operator, partner_id: UUID, reason: str, now: datetime
) -> SuspendPartnerResult:
    with transaction.atomic():
        lock_super_admins()
        partner = Partner.objects.select_for_update().get(pk=partner_id)
        if partner.suspended_by_hand_at is not None:
            return SuspendPartnerResult(partner_row(partner), str(partner), changed=False)
        ensure_super_admin_can_sign_in(without=partner)
        partner.suspended_by_hand_at = partner.updated_at = now
        partner.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action="suspend-partner",
            subject=partner,
            now=now,
            details={"reason": reason},
        )
    return SuspendPartnerResult(partner_row(partner), str(partner), changed=True)


class ResumePartnerResult(PartnerChangeResult):
    @property
    def sentence(self) -> str:
        reason = self.partner["reason"]
        if self.dry_run:
            return f"Would resume partner {self.name}."
        if not self.changed:
            return f"Partner {self.name} is not suspended manually; it is {reason or 'active'}."
        return f"Partner {self.name} resumed{f', but it is still {reason}' if reason else ''}."


def resume_partner(
    *, operator: Operator, name: str, reason: str, now: datetime, dry_run: bool = False
) -> ResumePartnerResult:
    """Lift a manual suspension. The partner's status in ScaiKey applies again.

    The reason goes into the audit log and may be empty. Raises PartnerNotFound, AmbiguousName and
    InvalidName.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_reason(reason)
    partner = resolve_partner(operator, name)
    if partner.suspended_by_hand_at is None:
        return ResumePartnerResult(partner_row(partner), str(partner), changed=False)
    if dry_run:
        return ResumePartnerResult(partner_row(partner), str(partner), changed=False, dry_run=True)
    return _resume(operator, partner.pk, reason, now)


def _resume(
    operator: Operator, partner_id: UUID, reason: str, now: datetime
) -> ResumePartnerResult:
    with transaction.atomic():
        partner = Partner.objects.select_for_update().get(pk=partner_id)
        since = partner.suspended_by_hand_at
        if since is None:
            return ResumePartnerResult(partner_row(partner), str(partner), changed=False)
        partner.suspended_by_hand_at = None
        partner.updated_at = now
        partner.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action="resume-partner",
            subject=partner,
            now=now,
            details={"reason": reason, "suspended_by_hand_at": since.isoformat()},
        )
    return ResumePartnerResult(partner_row(partner), str(partner), changed=True)

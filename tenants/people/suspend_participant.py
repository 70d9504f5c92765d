"""Suspend participants manually, and resume them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from uuid import UUID

from django.db import transaction

from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_participant, resolve_tenant
from tenants.lookup.serializers import Row, get_server_name, participant_row
from tenants.lookup.validators import validate_reason
from tenants.models import Participant
from tenants.roles.rules import (
    describe,
    ensure_may_change_access,
    ensure_super_admin_remains,
    lock_super_admins,
)


@dataclass(frozen=True)
class ParticipantChangeResult:
    """`changed` is False if there was nothing to change, and in a dry run."""

    participant: Row
    changed: bool
    dry_run: bool = False

    def document(self) -> Row:
        """Return the --json document. In a dry run, `changed` is whether something would change."""
        return {"participant": self.participant, "changed": self.changed or self.dry_run}


class SuspendParticipantResult(ParticipantChangeResult):
    @property
    def sentence(self) -> str:
        fqid = self.participant["fqid"]
        if self.dry_run:
            return f"Would suspend participant {fqid}."
        if self.changed:
            return f"Participant {fqid} suspended."
        return f"Participant {fqid} is already suspended (manually)."


def suspend_participant(
    *,
    operator: Operator,
    name: str,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    tenant: str | None = None,
    dry_run: bool = False,
) -> SuspendParticipantResult:
    """Suspend a participant manually, whatever their status in ScaiKey. Syncs do not change this.

    The reason goes into the audit log and may be empty. `confirm` gets the question to ask, and
    raises if the answer is not yes. `tenant` restricts the search for the name. Raises
    ParticipantNotFound, TenantNotFound, AmbiguousName, InvalidName, SuperAdminOnly and
    LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    person = _resolve(operator, name, tenant)
    ensure_may_change_access(operator, person)
    if person.suspended_by_hand_at is not None:
        return SuspendParticipantResult(_row(person), changed=False)
    ensure_super_admin_remains(person)
    if dry_run:
        return SuspendParticipantResult(_row(person), changed=False, dry_run=True)
    confirm(
        f"This blocks {describe(person)} until you run `scaiwave admin resume-participant "
        f"{quote(person.fqid(get_server_name()))}`; syncs do not change this."
    )
    return _suspend(operator, person.pk, reason, now)


def _suspend(
    operator: Operator, participant_id: UUID, reason: str, now: datetime
) -> SuspendParticipantResult:
    with transaction.atomic():
        lock_super_admins()
        person = _lock(participant_id)
        if person.suspended_by_hand_at is not None:
            return SuspendParticipantResult(_row(person), changed=False)
        ensure_super_admin_remains(person)
        person.suspended_by_hand_at = person.updated_at = now
        person.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action="suspend-participant",
            subject=person,
            tenant=person.tenant,
            now=now,
            details={"reason": reason},
        )
    return SuspendParticipantResult(_row(person), changed=True)


class ResumeParticipantResult(ParticipantChangeResult):
    @property
    def sentence(self) -> str:
        fqid, reason = self.participant["fqid"], self.participant["reason"]
        if self.dry_run:
            return f"Would resume participant {fqid}."
        if not self.changed:
            return (
                f"Participant {fqid} is not suspended manually, but {reason}."
                if reason
                else f"Participant {fqid} is not suspended manually, but active."
            )
        return f"Participant {fqid} resumed{f', but is still {reason}' if reason else ''}."


def resume_participant(
    *,
    operator: Operator,
    name: str,
    reason: str,
    now: datetime,
    tenant: str | None = None,
    dry_run: bool = False,
) -> ResumeParticipantResult:
    """Lift a manual suspension. The participant's status in ScaiKey applies again.

    The reason goes into the audit log and may be empty. `tenant` restricts the search for the name.
    Raises ParticipantNotFound, TenantNotFound, AmbiguousName, InvalidName and SuperAdminOnly.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    person = _resolve(operator, name, tenant)
    ensure_may_change_access(operator, person)
    if person.suspended_by_hand_at is None:
        return ResumeParticipantResult(_row(person), changed=False)
    if dry_run:
        return ResumeParticipantResult(_row(person), changed=False, dry_run=True)
    return _resume(operator, person.pk, reason, now)


def _resume(
    operator: Operator, participant_id: UUID, reason: str, now: datetime
) -> ResumeParticipantResult:
    with transaction.atomic():
        person = _lock(participant_id)
        since = person.suspended_by_hand_at
        if since is None:
            return ResumeParticipantResult(_row(person), changed=False)
        person.suspended_by_hand_at = None
        person.updated_at = now
        person.save(update_fields=["suspended_by_hand_at", "updated_at"])
        record_audit(
            operator=operator,
            action="resume-participant",
            subject=person,
            tenant=person.tenant,
            now=now,
            details={"reason": reason, "suspended_by_hand_at": since.isoformat()},
        )
    return ResumeParticipantResult(_row(person), changed=True)


def _resolve(operator: Operator, name: str, tenant: str | None) -> Participant:
    resolved = resolve_tenant(operator, tenant) if tenant is not None else None
    return resolve_participant(operator, name, tenant=resolved)


def _lock(participant_id: UUID) -> Participant:
    """Lock the person, but not for those who only refer to them, such as an import in progress."""
    people = Participant.objects.select_related("tenant")
    return people.select_for_update(of=("self",), no_key=True).get(pk=participant_id)


def _row(person: Participant) -> Row:
    return participant_row(person, server_name=get_server_name())

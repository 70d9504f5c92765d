"""List the losses of access of all runs: who lost what, when, why, and whether it has come back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings
from django.db.models import QuerySet

from identity_sync.models import PendingRemoval, RemovalState, SyncChange, SyncRun
from identity_sync.reasons import SUSPENSIONS, Loss
from identity_sync.reports.loss_kinds import build_candidate_q, find_losses
from identity_sync.reports.runs import (
    BATCH_SIZE,
    MAX_EDGES,
    get_stored_values,
    visible_changes,
    visible_runs,
)
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import batched, to_uuid
from tenants.audit.queries.entries import get_uuid7_time, min_uuid7_at
from tenants.lookup.resolve import resolve_person, resolve_tenant
from tenants.lookup.serializers import Row
from tenants.lookup.visibility import visible_participants
from tenants.models import Group, GroupMembership, Participant, Partner, RoleGrant, Tenant

Subject = Partner | Tenant | Participant | Group | GroupMembership


@dataclass(frozen=True)
class LossHistory:
    """How far back losses are known; None for not at all.

    Suspensions and roles are known as long as the values of changes are kept.
    """

    begins_at: datetime | None
    values_begin_at: datetime | None


def list_losses(
    *,
    operator: Operator,
    since: datetime | None = None,
    until: datetime | None = None,
    tenant: str | None = None,
    participant: str | None = None,
    loss: str | None = None,
    limit: int | None = None,
) -> Generator[Row, None, None]:
    """Return the losses in the operator's scope, newest first, one at a time to save memory.

    `until` is exclusive. `participant` also matches losses of the person's groups, tenants and
    partners.
    Raises `TenantNotFound`, `ParticipantNotFound` or `AmbiguousName` at once.
    """
    operator.require(Permission.VIEW)
    kind = None if loss is None else Loss(loss)
    changes = visible_changes(operator).filter(build_candidate_q(kind)).only(*_COLUMNS)
    if since is not None:
        changes = changes.filter(pk__gte=min_uuid7_at(since))
    if until is not None:
        changes = changes.filter(pk__lt=min_uuid7_at(until))
    place = None if tenant is None else resolve_tenant(operator, tenant)
    if participant is not None:
        person = resolve_person(operator, participant, tenant=place)
        changes = changes.filter(subject_id__in=_list_subjects(operator, person))
    if place is not None:
        changes = changes.filter(tenant=place)
    return _iter_losses(changes.order_by("-pk"), kind, limit)


def get_loss_history(*, operator: Operator, now: datetime) -> LossHistory:
    operator.require(Permission.VIEW)
    oldest = visible_runs(operator).order_by("started_at").values_list("started_at", flat=True)
    begins_at = oldest.first()
    days = settings.CONFIG.get_int("SCAIWAVE_SYNC_VALUES_RETENTION_DAYS")
    if begins_at is None or not days:
        return LossHistory(begins_at, None)
    return LossHistory(begins_at, max(begins_at, now - timedelta(days=days)))


def _list_subjects(operator: Operator, person: Participant) -> list[UUID]:
    """Return the IDs of a person's rows, memberships, groups, tenants and partners.

    A person who moved has a row in each tenant.
    """
    people = [person]
    if person.scaikey_id is not None:
        same = visible_participants(operator).filter(scaikey_id=person.scaikey_id)
        people = list(same.select_related("tenant"))
    edges = GroupMembership.objects.filter(member_participant__in=people)
    pairs = edges.values_list("pk", "group_id")[:MAX_EDGES]
    tenants = [each.tenant for each in people]
    partners = [tenant.partner_id for tenant in tenants if tenant.partner_id]
    subjects = {each.pk for each in (*people, *tenants)} | {key for pair in pairs for key in pair}
    return [*subjects, *partners]


def _iter_losses(
    changes: QuerySet[SyncChange], loss: Loss | None, limit: int | None
) -> Generator[Row, None, None]:
    """Read the changes page by page: the database can't apply the filters of this module."""
    number, page = 0, list(changes[:BATCH_SIZE])
    while page:
        found = [
            (change, each, detail)
            for change in page
            for each, detail in find_losses(change, get_stored_values(change))
            if loss in (None, each)
        ]
        present = _Present.load(found)
        for change, each, detail in found:
            if number == limit:
                return
            number += 1
            yield present.build_row(change, each, detail)
        page = list(changes.filter(pk__lt=page[-1].pk)[:BATCH_SIZE])


# All columns of a tenant, for each change, would take most of the time.
_COLUMNS = (
    *("run_id", "kind", "action", "subject_id", "subject_scaikey_id", "subject_name"),
    *("reason_code", "detail", "tenant__slug", "stored_values__values"),
)
_MODELS: dict[str, QuerySet[Any]] = {
    "partners": Partner.objects.all(),
    "tenants": Tenant.objects.all(),
    "participants": Participant.objects.all(),
    "groups": Group.objects.all(),
    "memberships": GroupMembership.objects.select_related(
        "group", "member_participant", "member_group"
    ),
}


@dataclass(frozen=True)
class _Present:
    """What the subjects of a page of losses are now.

    `grants` are (participant, slug of a role). `people` counts those who lost access with a tenant,
    by run and tenant. `approvals` names who approved a loss, by run and subject.
    """

    rows: dict[UUID, Subject]
    grants: set[tuple[UUID | None, str]]
    people: dict[tuple[UUID, UUID], int]
    approvals: dict[tuple[UUID, UUID], str]

    @classmethod
    def load(cls, losses: Sequence[tuple[SyncChange, Loss, str]]) -> _Present:
        subjects: defaultdict[str, set[UUID]] = defaultdict(set)
        for change, _, _ in losses:
            subjects[change.kind].add(change.subject_id)
        found = [_MODELS[kind].in_bulk(keys) for kind, keys in subjects.items()]
        rows = {key: row for each in found for key, row in each.items()}
        runs = {change.run_id for change, _, _ in losses}
        with_roles = {change.subject_id for change, loss, _ in losses if loss is Loss.ROLE_TAKEN}
        grants: set[tuple[UUID | None, str]] = set()
        for batch in batched(with_roles):
            held = RoleGrant.objects.filter(participant__in=batch)
            grants.update(held.values_list("participant_id", "role__slug"))
        people: dict[tuple[UUID, UUID], int] = {}
        for batch in batched(
            {change.run_id for change, _, _ in losses if change.kind == "tenants"}
        ):
            for key, counts in SyncRun.objects.filter(pk__in=batch).values_list("pk", "losses"):
                people |= {
                    (key, to_uuid(each[1])): each[2] for each in counts if each[0] == "people"
                }
        approvals: dict[tuple[UUID, UUID], str] = {}
        applied = PendingRemoval.objects.filter(state=RemovalState.APPLIED, ended_by__in=runs)
        for batch in batched({key for keys in subjects.values() for key in keys}):
            approved = applied.filter(subject_id__in=batch).exclude(decided_by="")
            columns = approved.values_list("ended_by_id", "subject_id", "decided_by")
            approvals |= {(run_id, subject_id): name for run_id, subject_id, name in columns}
        return cls(rows, grants, people, approvals)

    def build_row(self, change: SyncChange, loss: Loss, detail: str) -> Row:
        row = self.rows.get(change.subject_id)
        member = row
        if isinstance(row, GroupMembership):
            member = row.member_participant or row.member_group
        # The name at the time of the change; a membership includes its group.
        is_edge = change.kind == "memberships" and member is not None
        is_purged = getattr(member, "purged_at", None) is not None
        if loss is Loss.ROLE_TAKEN:
            is_back = (change.subject_id, detail) in self.grants
            reason = "no longer granted in ScaiKey"
        else:
            is_back = _is_active(row)
            is_suspension = loss in SUSPENSIONS.values()
            reason = f"{detail.lower()} in ScaiKey" if is_suspension else change.reason
        return {
            # One change may take several roles.
            "id": uuid5(change.pk, f"{loss.value} {detail}"),
            "lost_at": get_uuid7_time(change.pk),
            "loss": loss,
            "kind": change.kind,
            "tenant_id": change.tenant_id,
            "tenant": change.tenant.slug if change.tenant else None,
            "subject_id": member.pk if member else change.subject_id,
            "subject": str(member) if is_edge else change.subject_name,
            "email": getattr(member, "email", "") or None,
            "scaikey_id": change.subject_scaikey_id.rpartition(" ")[2],
            "role": detail if loss is Loss.ROLE_TAKEN else None,
            "group": row.group.name if isinstance(row, GroupMembership) and not is_purged else None,
            "new_tenant": (detail or None) if loss is Loss.MOVED else None,
            "people": self.people.get((change.run_id, change.subject_id)),
            "reason": reason,
            "is_back": is_back,
            "run_id": change.run_id,
            "approved_by": self.approvals.get((change.run_id, change.subject_id)),
        }


def _is_active(row: Subject | None) -> bool:
    if isinstance(row, GroupMembership):
        return row.absent_since is None and row.group.absent_since is None
    return row is not None and row.inactive_reason is None

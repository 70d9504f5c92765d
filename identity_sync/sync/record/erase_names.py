"""Erase the names of people from the records of syncs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower, StrIndex, Substr

from identity_sync.models import (
    PRESENT_NAMES,
    PendingRemoval,
    SyncChange,
    SyncChangeValues,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
)
from scaiwave.core.sql import batched
from scaiwave.extensions import PurgedPerson
from tenants.models import GroupMembership

M = TypeVar("M", SyncSkip, SyncChange)


def erase_names(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Replace the names of these people in changes, skips and runs; delete values and plans.

    A group membership has the name of its member, and a run the name of its operator.
    """
    person_ids = [person.participant_id for person in people]
    edges = GroupMembership.objects.filter(member_participant__in=person_ids)
    for keys in batched([*person_ids, *edges.values_list("pk", flat=True)]):
        SyncChange.objects.filter(subject_id__in=keys).update(subject_name=replacement)
        SyncChangeValues.objects.filter(change__subject_id__in=keys).delete()
        SyncPlannedChange.objects.filter(subject_id__in=keys).delete()
        _erase(PendingRemoval.objects.filter(subject_id__in=keys), replacement)
    scaikey_ids = [person.scaikey_id for person in people if person.scaikey_id]
    for ids in batched(scaikey_ids):
        # A row that was planned or skipped has another ID here, or none.
        SyncPlannedChange.objects.filter(person_scaikey_id__in=ids).delete()
        _erase(PendingRemoval.objects.filter(person_scaikey_id__in=ids), replacement)
        _filter_person(SyncSkip.objects.all(), ids).update(subject_name=replacement)
        skipped = SyncChange.objects.filter(action__in=("skipped", *PRESENT_NAMES))
        _filter_person(skipped, ids).update(subject_name=replacement)
    names = {name for person in people for name in person.operator_names}
    runs = SyncRun.objects.alias(folded=Lower("operator"))
    runs.filter(Q(folded__in=names) | Q(operator__in=names)).update(operator=replacement)
    decided = PendingRemoval.objects.alias(folded=Lower("decided_by"))
    decided = decided.filter(Q(folded__in=names) | Q(decided_by__in=names))
    decided.update(decided_by=replacement)


def _erase(rows: QuerySet[PendingRemoval], replacement: str) -> None:
    """Erase the name, and the reason that an operator gave, which may have it too."""
    rows.exclude(decision_reason="").update(decision_reason=replacement)
    rows.update(subject_name=replacement)


def _filter_person(rows: QuerySet[M], scaikey_ids: Sequence[str]) -> QuerySet[M]:
    """Select the rows about these people and their group memberships, named "<group> <member>"."""
    field = "subject_scaikey_id"
    person = Substr(field, StrIndex(field, Value(" ")) + 1)
    kinds = ("participants", "memberships")
    return rows.alias(person=person).filter(person__in=scaikey_ids, kind__in=kinds)

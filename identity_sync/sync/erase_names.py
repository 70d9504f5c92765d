"""Erase the names of people from the records of syncs."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q
from django.db.models.functions import Lower

from identity_sync.models import (
    SyncChange,
    SyncChangeValues,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
)
from scaiwave.core.sql import batched
from scaiwave.extensions import PurgedPerson
from tenants.models import GroupMembership


def erase_names(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Replace the names of these people in changes, skips and runs; delete values and plans.

    A group membership has the name of its member, a run that of its operator.
    """
    person_ids = [person.participant_id for person in people]
    edges = GroupMembership.objects.filter(member_participant__in=person_ids)
    for keys in batched([*person_ids, *edges.values_list("pk", flat=True)]):
        SyncChange.objects.filter(subject_id__in=keys).update(subject_name=replacement)
        SyncChangeValues.objects.filter(change__subject_id__in=keys).delete()
        SyncPlannedChange.objects.filter(subject_id__in=keys).delete()
    scaikey_ids = [person.scaikey_id for person in people if person.scaikey_id]
    for ids in batched(scaikey_ids):
        # A row that a plan would have added has another ID here.
        SyncPlannedChange.objects.filter(person_scaikey_id__in=ids).delete()
    _erase_skips("participants", scaikey_ids, replacement)
    pairs = edges.values_list("group__scaikey_id", "member_participant__scaikey_id")
    _erase_skips("memberships", [f"{group} {member}" for group, member in pairs], replacement)
    names = {name for person in people for name in person.operator_names}
    runs = SyncRun.objects.alias(folded=Lower("operator"))
    runs.filter(Q(folded__in=names) | Q(operator__in=names)).update(operator=replacement)


def _erase_skips(kind: str, scaikey_ids: Sequence[str], replacement: str) -> None:
    for keys in batched(scaikey_ids):
        skips = SyncSkip.objects.filter(kind=kind, subject_scaikey_id__in=keys)
        skips.update(subject_name=replacement)

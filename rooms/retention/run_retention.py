"""Delete the messages and files that are older than the policies allow, room by room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Q

from rooms.errors import RetentionRunning
from rooms.imports.intents import delete_announced
from rooms.lifecycle.deletion import Deletion, open_deletion
from rooms.models import RetentionPolicy, Room, TenantImport
from rooms.retention.event_deletion import EventDeletion, HoldsChanged, temporary_tables
from rooms.retention.policies import SERVER, PolicyPlace, resolve_place
from rooms.retention.room_deletion import RoomDeletion
from rooms.search.documents import wait_for_writers
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.console.text import pluralize
from scaiwave.core.locks import process_lock
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.storage.media import collect_refusals
from tenants.audit.record import record_audit
from tenants.counters import increment_counters
from tenants.holds.queries import find_hold
from tenants.lookup.serializers import Row
from tenants.lookup.visibility import visible_tenants

ACTION = "retention run"
EVENTS_COUNTER = "retention_events"
"""Events that runs have deleted, redacted or left as tombstones."""
ROOMS_PER_QUERY = 500
EVENTS = ("deleted_events", "redacted_events", "emptied_events")
COUNTS = (*EVENTS, "attachments", "files", "file_bytes")
"""The fields of RemovedEvents and RemovedFiles."""


def run_retention(
    *,
    operator: Operator,
    confirm: Callable[[str], None],
    now: datetime,
    tenant: str | None = None,
    room: str | None = None,
    progress: ProgressCallback = null_progress,
) -> Report:
    """Delete events and files that are older than the policies allow, except under a hold.

    Each batch has its own transaction and audit entry, so an interrupted run has deleted some of
    it, and the next one continues. `confirm` gets the question to ask, and raises if the answer is
    not yes. Raises RetentionRunning, ServerRestored, MediaVersioned, the errors of `resolve_place`,
    of the search server and of the media store.
    """
    operator.require(Permission.MANAGE_TENANTS)
    place = resolve_place(operator, tenant, room)
    with open_deletion(operator, now) as deletion:
        confirm("This deletes what is older than the retention policies allow. It can't be undone.")
        with process_lock("retention") as is_free, temporary_tables():
            if not is_free:
                raise RetentionRunning("A retention run is in progress.")
            run = _Run(operator, place, now)
            rows = list(run.remove(deletion, progress))
            run.finish()
    return _build_report(rows, run.on_hold)


def preview_retention(
    *, operator: Operator, now: datetime, tenant: str | None = None, room: str | None = None
) -> Report:
    """Return the counts that a run would delete now. Raises the errors of `resolve_place`."""
    operator.require(Permission.VIEW)
    run = _Run(operator, resolve_place(operator, tenant, room), now)
    with temporary_tables():
        rows = list(run.count())
    return _build_report(rows, run.on_hold, dry_run=True)


def _build_report(rooms: list[Row], on_hold: int, *, dry_run: bool = False) -> Report:
    """`rooms` are the rooms that lost something; `on_hold` counts rooms that were left out."""
    totals = {name: sum(row[name] for row in rooms) for name in COUNTS}
    sentence = (
        f"{'Would be removed' if dry_run else 'Removed'} in {pluralize(len(rooms), 'room')}: "
        f"{pluralize(totals['deleted_events'], 'event')} deleted, "
        f"{totals['redacted_events']:,} redacted, "
        f"{totals['emptied_events']:,} emptied, {pluralize(totals['files'], 'file')} deleted."
    )
    return Report(
        {"rooms": rooms, "totals": totals, "on_hold": on_hold},
        sentence if rooms else "Nothing is older than the retention policies allow.",
        warnings=[f"Left out because of a hold: {pluralize(on_hold, 'room')}."] if on_hold else [],
        changed=bool(rooms),
    )


class _Run:
    def __init__(self, operator: Operator, place: PolicyPlace, now: datetime) -> None:
        self.operator, self.place, self.now = operator, place, now
        self.on_hold = 0
        self._policies = {
            each.scope: each for each in RetentionPolicy.objects.select_related("tenant", "room")
        }

    def remove(self, deletion: Deletion, progress: ProgressCallback) -> Iterator[Row]:
        """Yield a row for each room that has lost something.

        A file that can't be deleted is reported at the end; everything else goes.
        """
        removed, tenants = 0, set[UUID]()
        with collect_refusals() as attempt:
            for room, policy in self._iter_rooms():
                tenants.add(room.tenant_id)
                counts = Counter[str]()
                with attempt():
                    for part in self._iter_parts(room, policy, deletion):
                        counts.update(part)
                        progress(removed + _count_events(counts), None)
                removed += _count_events(counts)
                yield from _build_rows(room, policy, counts)
            wait_for_writers()
            for tenant_id in tenants:
                deletion.index.finish_deletion(tenant_id)
                with attempt():
                    delete_announced(tenant_id)  # the files of an interrupted run

    def _iter_parts(
        self, room: Room, policy: RetentionPolicy, deletion: Deletion
    ) -> Iterator[dict[str, int]]:
        is_done = False
        while not is_done:
            try:
                due = self._build_deletion(room, policy)
                yield from due.run(deletion, partial(self._record, policy))
                is_done = True
            except HoldsChanged:
                is_done = self._is_held(room)

    def count(self) -> Iterator[Row]:
        names_left: dict[UUID, int] = {}
        for room, policy in self._iter_rooms():
            counts = self._build_deletion(room, policy).count(names_left)
            yield from _build_rows(room, policy, counts)

    def finish(self) -> None:
        """Record that all rooms of these policies were looked at, unless one was changed since."""
        place, policies = self.place, RetentionPolicy.objects.filter(scope__in=self._policies)
        if place.room:
            policies = policies.filter(room=place.room)
        elif place.tenant:
            policies = policies.filter(tenant=place.tenant)
        if not self.operator.sees_everything:
            policies = policies.filter(tenant__in=visible_tenants(self.operator))
        policies.filter(updated_at__lte=self.now).update(last_run_at=self.now)

    def _iter_rooms(self) -> Iterator[tuple[Room, RetentionPolicy]]:
        """Yield the rooms that a policy reaches, by tenant and ID, but not those on hold."""
        rooms = self._find_rooms().order_by("pk").select_related("tenant")
        last = UUID(int=0)
        while batch := list(rooms.filter(pk__gt=last)[:ROOMS_PER_QUERY]):
            for room in batch:
                policy = self._find_policy(room)
                if policy is None or (policy.days is None and policy.media_days is None):
                    continue
                if self._is_held(room):
                    self.on_hold += 1
                else:
                    yield room, policy
            last = batch[-1].pk

    def _find_rooms(self) -> Any:
        moving = TenantImport.objects.filter(finished_at=None)
        rooms = Room.objects.exclude(tenant__in=moving.values("tenant"))
        if not self.operator.sees_everything:
            rooms = rooms.filter(tenant__in=visible_tenants(self.operator))
        if self.place.room:
            return rooms.filter(pk=self.place.room.pk)
        if self.place.tenant:
            rooms = rooms.filter(tenant=self.place.tenant)
        if SERVER in self._policies:
            return rooms
        policies = RetentionPolicy.objects.all()
        return rooms.filter(
            Q(pk__in=policies.filter(room__isnull=False).values("room"))
            | Q(tenant__in=policies.filter(room=None, tenant__isnull=False).values("tenant"))
        )

    def _find_policy(self, room: Room) -> RetentionPolicy | None:
        scopes = (PolicyPlace(room.tenant, room).scope, PolicyPlace(room.tenant).scope, SERVER)
        return next((self._policies[each] for each in scopes if each in self._policies), None)

    @staticmethod
    def _is_held(room: Room) -> bool:
        return find_hold(room.tenant_id, room_id=room.pk) is not None

    def _build_deletion(self, room: Room, policy: RetentionPolicy) -> RoomDeletion:
        def build(before: datetime | None) -> EventDeletion | None:
            if before is None:
                return None
            due = Q(created_at__lt=before)
            return EventDeletion(room, due, content_only=policy.content_only)

        before, files_before = (
            None if days is None else self.now - timedelta(days=days)
            for days in (policy.days, policy.get_media_days())
        )
        return RoomDeletion(room, build(before), build(files_before), files_before)

    def _record(self, policy: RetentionPolicy, room: Room, counts: dict[str, int]) -> None:
        """Add an audit entry to the transaction that deletes."""
        record_audit(
            operator=self.operator,
            action=ACTION,
            subject=room,
            tenant=room.tenant,
            now=self.now,
            details={"policy": policy.kind, "rule": str(policy), **counts},
        )
        if events := _count_events(counts):
            increment_counters({EVENTS_COUNTER: events})


def _count_events(counts: Mapping[str, int]) -> int:
    return sum(counts.get(name, 0) for name in EVENTS)


def _build_rows(room: Room, policy: RetentionPolicy, counts: Counter[str]) -> Iterator[Row]:
    if any(counts.values()):
        yield {
            "id": room.pk,
            "name": room.name,
            "tenant": room.tenant.slug,
            "policy": policy.kind,
            "rule": str(policy),
            **{name: counts[name] for name in COUNTS},
        }

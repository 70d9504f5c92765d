"""Any delivery of webhooks has the same result as a full sync.

Events are out of order, repeated, lost, about records that never changed, and about changes that
happen while a full sync reads its lists. They only name the records that changed: if a tenant is
removed, there are no events for its people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import msgspec
import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from identity_sync.models import WebhookEvent, WebhookState
from identity_sync.webhooks.process import process_events
from identity_sync.webhooks.receive import receive_event
from tests.identity_sync.scripted_scaikey.assertions import assert_nothing_lost, collect_local_facts
from tests.identity_sync.scripted_scaikey.directory import RemoteDirectory, Size
from tests.identity_sync.scripted_scaikey.helpers import (
    CHANGE_NAMES,
    EVERYTHING,
    PHASES,
    PLAIN_SCRIPT,
    serve_scripted_scaikey,
)
from tests.identity_sync.scripted_scaikey.records import COLLECTIONS, CONTAINED
from tests.identity_sync.scripted_scaikey.script import CompactRepr, DirectoryChange, Script
from tests.identity_sync.scripted_scaikey.server import ScriptedScaiKey
from tests.identity_sync.sync.helpers import HOST, get_changed_counts, sync
from tests.tools import NIGHTLY

pytestmark = pytest.mark.django_db

RESOURCES = {"partners": "partner", "tenants": "tenant", "users": "user", "groups": "group"}

Announcement = tuple[str, str]
"""A type of event and the ID of its resource."""


@dataclass(frozen=True, repr=False)
class Delivery(CompactRepr):
    """Some changes, and how they are announced.

    `repeats` and `unfounded` count further events, `lost` is the share that never arrives. With
    `during_sync` the changes happen while a full sync reads its lists.
    """

    changes: tuple[DirectoryChange, ...] = ()
    seed: int = 0
    repeats: int = 0
    unfounded: int = 0
    lost: float = 0.0
    during_sync: bool = False


@pytest.fixture
def scaikey(settings: Settings) -> Iterator[ScriptedScaiKey]:
    """Nothing waits for a decision: neither removals nor suspended tenants."""
    limits = {f"SCAIWAVE_SYNC_{name}_LIMIT": "1000000" for name in ("REMOVAL", "SUSPENSION")}
    with serve_scripted_scaikey(settings, **limits) as server:
        yield server


@dataclass(frozen=True)
class Snapshot:
    """The rows of each list and the members of each group at one time."""

    rows: dict[str, dict[str, dict[str, Any]]]
    members: dict[str, set[str]]

    @classmethod
    def of(cls, directory: RemoteDirectory) -> Snapshot:
        rows = {name: dict(directory.lists[name].rows) for name in COLLECTIONS}
        return cls(rows, {group: set(listing.rows) for group, listing in directory.members.items()})


def list_events(before: Snapshot, after: Snapshot) -> list[Announcement]:
    """Return the events that ScaiKey must send: one for each record that changed by itself."""
    events: list[Announcement] = []
    removed: set[str] = set()
    moved: set[str] = set()
    for name in COLLECTIONS:
        old, new = before.rows[name], after.rows[name]
        for key in old.keys() - new.keys():
            removed.add(key)
            if not _is_inside(name, old[key], removed):
                events.append((f"{RESOURCES[name]}.deleted", key))
        events += [(f"{RESOURCES[name]}.created", key) for key in new.keys() - old.keys()]
        for key in old.keys() & new.keys():
            if old[key] != new[key]:
                events.append((f"{RESOURCES[name]}.updated", key))
                if old[key].get("tenant_id") != new[key].get("tenant_id"):
                    moved.add(key)
    for group in before.members.keys() & after.members.keys():
        if (before.members[group] - removed - moved) - after.members[group]:
            events.append(("group.member_removed", group))
        if after.members[group] - before.members[group]:
            events.append(("group.member_added", group))
    return sorted(events)


def _is_inside(name: str, row: dict[str, Any], removed: set[str]) -> bool:
    """Return whether the record that contains this one was removed as well."""
    for outer, columns in CONTAINED.items():
        for inner, column in columns:
            if inner == name and row[column] in removed and outer:
                return True
    return False


def deliver(
    events: list[Announcement],
    delivery: Delivery,
    directory: RemoteDirectory,
    numbers: Iterator[int],
) -> bool:
    """Store the events in the order of their delivery. Return whether one was lost."""
    random = Random(delivery.seed)
    delivered = [event for event in events if random.random() >= delivery.lost]
    unfounded = [_make_unfounded_event(random, directory) for _ in range(delivery.unfounded)]
    bodies = [_make_body(event, next(numbers)) for event in (*delivered, *unfounded)]
    bodies += random.choices(bodies, k=delivery.repeats) if bodies else []
    random.shuffle(bodies)
    for body in bodies:
        assert receive_event(body, now=timezone.now())
    return len(delivered) < len(events)


def _make_unfounded_event(random: Random, directory: RemoteDirectory) -> Announcement:
    name = random.choice(COLLECTIONS)
    keys = [*directory.lists[name].rows, f"{RESOURCES[name]}_never"]
    return f"{RESOURCES[name]}.deleted", random.choice(keys)


def _make_body(event: Announcement, number: int) -> bytes:
    event_type, key = event
    resource = {"type": event_type.partition(".")[0], "id": key}
    envelope = {"event_id": f"evt_{number}", "event_type": event_type, "resource": resource}
    return msgspec.json.encode(envelope)


class Announcer:
    """Collects the events of every change of a directory, also of those during a sync."""

    def __init__(self, directory: RemoteDirectory) -> None:
        self.events: list[Announcement] = []
        apply = directory.apply

        def apply_and_announce(change: DirectoryChange) -> None:
            before = Snapshot.of(directory)
            apply(change)
            self.events += list_events(before, Snapshot.of(directory))

        directory.apply = apply_and_announce  # type: ignore[method-assign]

    def take(self) -> list[Announcement]:
        events, self.events = self.events, []
        return events


def change_and_announce(
    scaikey: ScriptedScaiKey, announcer: Announcer, delivery: Delivery, numbers: Iterator[int]
) -> bool:
    """Make the changes and store their events. Return whether one was lost."""
    if not delivery.during_sync:
        for change in delivery.changes:
            scaikey.directory.apply(change)
        scaikey.begin_run(PLAIN_SCRIPT)
        return deliver(announcer.take(), delivery, scaikey.directory, numbers)
    random = Random(delivery.seed)
    scaikey.begin_run(
        Script(
            interruptions=tuple(
                (random.choice(COLLECTIONS), random.randint(1, 2), change)
                for change in delivery.changes
            )
        )
    )
    missing = False

    def announce_changes() -> None:
        nonlocal missing
        missing = deliver(announcer.take(), delivery, scaikey.directory, numbers)

    sync(on_planned=announce_changes, allow_removals=EVERYTHING)
    return missing


def assert_handled(scaikey: ScriptedScaiKey) -> None:
    before = collect_local_facts()
    scaikey.begin_run(PLAIN_SCRIPT)
    process_events(operator=HOST)
    assert_nothing_lost(scaikey, before, None, set())
    unhandled = WebhookEvent.objects.exclude(state=WebhookState.HANDLED)
    rows = list(unhandled.values_list("event_type", "error_message"))
    known = {fact[-1] for fact in collect_local_facts()}
    for event_type, message in rows:
        # Without another record of that kind that is known, nothing proves that look-ups work.
        collection = f"{event_type.partition('.')[0]}s"
        assert "proves nothing" in message
        assert known.isdisjoint(scaikey.directory.lists[collection].rows)
    if rows:
        sync(allow_removals=EVERYTHING, allow_no_super_admin=True)


def deliveries() -> st.SearchStrategy[Delivery]:
    changes = st.builds(
        DirectoryChange, st.sampled_from(CHANGE_NAMES), st.integers(1, 4), st.integers(0, 999)
    )
    return st.builds(
        Delivery,
        changes=st.lists(changes, max_size=5).map(tuple),
        seed=st.integers(0, 999),
        repeats=st.integers(0, 3),
        unfounded=st.integers(0, 3),
        lost=st.sampled_from((0.0, 0.0, 0.4)),
        during_sync=st.booleans(),
    )


SIZE = Size(seed=4, partners=2, tenants=3, people=20, groups=5, members=5)


@settings(
    max_examples=600 if NIGHTLY else 8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=PHASES,
)
@given(
    size=st.builds(
        Size,
        seed=st.integers(0, 999),
        partners=st.integers(1, 3),
        tenants=st.integers(1, 3),
        people=st.integers(1, 25),
        groups=st.integers(0, 6),
        members=st.integers(0, 6),
    ),
    story=st.lists(deliveries(), min_size=1, max_size=4),
)
@example(size=SIZE, story=[Delivery((DirectoryChange("delete_partners"),))])
@example(size=SIZE, story=[Delivery((DirectoryChange("soft_delete_tenants"),))])
@example(size=SIZE, story=[Delivery((DirectoryChange("move_people", 4),), repeats=2)])
@example(
    size=SIZE,
    story=[
        Delivery((DirectoryChange("soft_delete_people", 4),)),
        Delivery((DirectoryChange("revive_people", 4),)),
    ],
)
@example(
    size=Size(groups=1, members=1),
    story=[
        Delivery((DirectoryChange("soft_delete_people"), DirectoryChange("revive_people"))),
    ],
)
@example(
    size=Size(),
    story=[
        Delivery((DirectoryChange("add_tenant", 3),)),
        Delivery((DirectoryChange("suspend_partners"),)),
    ],
)
@example(size=SIZE, story=[Delivery(unfounded=5)])
@example(  # The event of the only other group is lost, so that it is not known.
    size=Size(seed=27, people=3, groups=3),
    story=[
        Delivery((DirectoryChange("suspend_partners", 3),), seed=260),
        Delivery(
            (
                DirectoryChange("revive_people", 1, 264),
                DirectoryChange("activate_partners", 2, 884),
            ),
            seed=172,
            during_sync=True,
        ),
        Delivery(
            (
                DirectoryChange("activate_partners", 2, 182),
                DirectoryChange("delete_people", 3, 253),
                DirectoryChange("suspend_tenants", 4, 273),
                DirectoryChange("delete_groups", 4, 66),
                DirectoryChange("add_group", 4, 792),
            ),
            seed=396,
            lost=0.4,
        ),
    ],
)
def test_success_any_delivery_ends_in_sync(
    scaikey: ScriptedScaiKey, size: Size, story: list[Delivery]
) -> None:
    numbers = count()
    with transaction.atomic():
        scaikey.load(RemoteDirectory(size))
        announcer = Announcer(scaikey.directory)
        scaikey.begin_run(PLAIN_SCRIPT)
        sync()
        is_complete = True
        for delivery in story:
            if change_and_announce(scaikey, announcer, delivery, numbers):
                is_complete = False
            assert_handled(scaikey)
            if is_complete:
                assert collect_local_facts() == scaikey.directory.collect_facts()
        scaikey.begin_run(PLAIN_SCRIPT)
        report = sync(allow_removals=EVERYTHING)
        assert collect_local_facts() == scaikey.directory.collect_facts()
        if is_complete:
            assert get_changed_counts(report) == {}
        transaction.set_rollback(True)

"""However webhooks arrive, what is here becomes what a full sync would make of it.

Events are out of order, repeated, lost, about records that never changed, and about changes that
happen while a full sync reads its lists. They say no more than which records changed: where a
tenant is removed, nothing is announced of its people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from identity_sync.models import WebhookEvent, WebhookState
from identity_sync.services.webhooks.process import process_events
from identity_sync.services.webhooks.receive import receive_event
from scaiwave.config import Configuration
from tests.identity_sync.sync.directory import HOST, counts, sync
from tests.identity_sync.sync.scripted_scaikey import (
    ACTS,
    COLLECTIONS,
    INSIDE,
    Act,
    Brief,
    Script,
    ScriptedScaiKey,
    Size,
    Truth,
)
from tests.identity_sync.sync.test_never_removes import (
    EVERYTHING,
    NIGHTLY,
    PLAIN,
    assert_true_to,
    local_facts,
)

pytestmark = pytest.mark.django_db

RESOURCES = {"partners": "partner", "tenants": "tenant", "users": "user", "groups": "group"}
NAMES = tuple(sorted(ACTS))

Announced = tuple[str, str]
"""A type of event and the ID of its resource."""


@dataclass(frozen=True, repr=False)
class Delivery(Brief):
    """Some changes, and how they are announced.

    `repeats` and `lies` count further events, `lost` is the share that never arrives. With
    `during_sync` the changes happen while a full sync reads its lists.
    """

    acts: tuple[Act, ...] = ()
    seed: int = 0
    repeats: int = 0
    lies: int = 0
    lost: float = 0.0
    during_sync: bool = False


@pytest.fixture
def scaikey(settings: Settings) -> Iterator[ScriptedScaiKey]:
    with ScriptedScaiKey() as running:
        settings.CONFIG = Configuration(
            {
                "SCAIWAVE_SCAIKEY_URL": running.url,
                "SCAIWAVE_SCAIKEY_CLIENT_ID": running.client_id,
                "SCAIWAVE_SCAIKEY_CLIENT_SECRET": running.client_secret,
                "SCAIWAVE_SYNC_REMOVAL_LIMIT": "1000000",
            },
            Path("/nonexistent"),
            Path("/nonexistent/.env"),
        )
        yield running
    assert running.problems == []


@dataclass(frozen=True)
class Snapshot:
    """What there was: the encoded rows of each list, and the members of each group."""

    rows: dict[str, dict[str, dict[str, Any]]]
    members: dict[str, set[str]]

    @classmethod
    def of(cls, truth: Truth) -> Snapshot:
        rows = {name: dict(truth.lists[name].rows) for name in COLLECTIONS}
        return cls(rows, {group: set(listing.rows) for group, listing in truth.members.items()})


def announce(before: Snapshot, after: Snapshot) -> list[Announced]:
    """The events that ScaiKey has to send: one for each record that changed by itself."""
    events: list[Announced] = []
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
    """Whether what a record belongs to was removed as well."""
    for outer, columns in INSIDE.items():
        for inner, column in columns:
            if inner == name and row[column] in removed and outer:
                return True
    return False


def arrive(
    events: list[Announced], delivery: Delivery, truth: Truth, numbers: Iterator[int]
) -> bool:
    """Store the events as they arrive; returns whether one is missing."""
    random = Random(delivery.seed)
    kept = [event for event in events if random.random() >= delivery.lost]
    lies = [_make_lie(random, truth) for _ in range(delivery.lies)]
    bodies = [_make_body(event, next(numbers)) for event in (*kept, *lies)]
    bodies += random.choices(bodies, k=delivery.repeats) if bodies else []
    random.shuffle(bodies)
    for body in bodies:
        assert receive_event(body, now=timezone.now())
    return len(kept) < len(events)


def _make_lie(random: Random, truth: Truth) -> Announced:
    name = random.choice(COLLECTIONS)
    keys = [*truth.lists[name].rows, f"{RESOURCES[name]}_never"]
    return f"{RESOURCES[name]}.deleted", random.choice(keys)


def _make_body(event: Announced, number: int) -> bytes:
    event_type, key = event
    resource = {"type": event_type.partition(".")[0], "id": key}
    envelope = {"event_id": f"evt_{number}", "event_type": event_type, "resource": resource}
    return msgspec.json.encode(envelope)


def change_and_announce(
    scaikey: ScriptedScaiKey, delivery: Delivery, numbers: Iterator[int]
) -> bool:
    """Make the changes and store their events; returns whether one is missing."""
    before = Snapshot.of(scaikey.truth)
    if not delivery.during_sync:
        for act in delivery.acts:
            scaikey.truth.perform(act)
        scaikey.begin(PLAIN)
        return arrive(
            announce(before, Snapshot.of(scaikey.truth)), delivery, scaikey.truth, numbers
        )
    random = Random(delivery.seed)
    scaikey.begin(
        Script(
            interruptions=tuple(
                (random.choice(COLLECTIONS), random.randint(1, 2), act) for act in delivery.acts
            )
        )
    )
    missing = False

    def planned() -> None:
        nonlocal missing
        events = announce(before, Snapshot.of(scaikey.truth))
        missing = arrive(events, delivery, scaikey.truth, numbers)

    sync(on_planned=planned, allow_removals=EVERYTHING)
    return missing


def assert_handled(scaikey: ScriptedScaiKey) -> None:
    before = local_facts()
    scaikey.begin(PLAIN)
    process_events(operator=HOST)
    assert_true_to(scaikey, before, None, set())
    left = WebhookEvent.objects.exclude(state=WebhookState.HANDLED)
    assert list(left.values_list("event_type", "error_message")) == []


def deliveries() -> st.SearchStrategy[Delivery]:
    acts = st.builds(Act, st.sampled_from(NAMES), st.integers(1, 4), st.integers(0, 999))
    return st.builds(
        Delivery,
        acts=st.lists(acts, max_size=5).map(tuple),
        seed=st.integers(0, 999),
        repeats=st.integers(0, 3),
        lies=st.integers(0, 3),
        lost=st.sampled_from((0.0, 0.0, 0.4)),
        during_sync=st.booleans(),
    )


SIZE = Size(seed=4, partners=2, tenants=3, people=20, groups=5, members=5)


@settings(
    max_examples=300 if NIGHTLY else 15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
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
@example(size=SIZE, story=[Delivery((Act("delete_partners"),))])
@example(size=SIZE, story=[Delivery((Act("soft_delete_tenants"),))])
@example(size=SIZE, story=[Delivery((Act("move_people", 4),), repeats=2)])
@example(
    size=SIZE,
    story=[Delivery((Act("soft_delete_people", 4),)), Delivery((Act("revive_people", 4),))],
)
@example(size=SIZE, story=[Delivery(lies=5)])
def test_success_however_they_arrive(
    scaikey: ScriptedScaiKey, size: Size, story: list[Delivery]
) -> None:
    numbers = count()
    with transaction.atomic():
        scaikey.load(Truth(size))
        scaikey.begin(PLAIN)
        sync()
        is_whole = True
        for delivery in story:
            if change_and_announce(scaikey, delivery, numbers):
                is_whole = False
            assert_handled(scaikey)
            if is_whole:
                assert local_facts() == scaikey.truth.facts()
        scaikey.begin(PLAIN)
        report = sync(allow_removals=EVERYTHING)
        assert local_facts() == scaikey.truth.facts()
        if is_whole:
            assert counts(report) == {}
        transaction.set_rollback(True)

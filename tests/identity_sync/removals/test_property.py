"""Any mix of losses, returns, decisions and runs: no one loses access without the limit's or a
person's permission, and the end is in sync.

A failure names its seed, which repeats it: `-k 'small-17'`.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from identity_sync.models import PendingRemoval, RemovalState
from identity_sync.sync.fetch.announced import AnnouncedRecords
from scaiwave.sandbox import Sandbox
from tenants.models import Participant
from tests.identity_sync.removals.helpers import approve, keep, now, sync_anyhow
from tests.identity_sync.sync.helpers import (
    assert_synced,
    get_tenant_id,
    list_people,
    restore_user,
    sync,
)
from tests.tenants.fake_scaikey import make_config
from tests.tools import IN_CI, NIGHTLY

pytestmark = [pytest.mark.django_db, pytest.mark.once]

LIMIT, SHARE = 4, 0.1

SIZES = {
    "small": {"partners": 2, "tenants": 3, "people": 60, "groups": 4},
    "large": {"partners": 3, "tenants": 6, "people": 600, "groups": 20},
}
if NIGHTLY:
    RUNS = {"small": 900, "large": 100}
else:
    RUNS = {"small": 10, "large": 2} if IN_CI else {"small": 3, "large": 1}
CHANGED_AT_ONCE = {"small": (1, 3, 8, 20), "large": (1, 12, 60, 150)}


def list_cases() -> list[Any]:
    return [
        pytest.param(size, seed, marks=mark, id=f"{size}-{seed}")
        for size, number in RUNS.items()
        for mark in [pytest.mark.sandbox(**SIZES[size], scim=False)]
        for seed in range(number)
    ]


def list_active() -> dict[str, str]:
    rows = Participant.objects.filter(absent_since=None, scaikey_status="ACTIVE")
    keys = rows.values_list("scaikey_id", "tenant__scaikey_tenant_id")
    return {str(key): str(tenant) for key, tenant in keys}


class World:
    """Changes the sandbox at random, and syncs it in one of several ways."""

    def __init__(self, sandbox: Sandbox, size: str, seed: int) -> None:
        self.sandbox, self.chance = sandbox, random.Random(seed)
        self.numbers = CHANGED_AT_ONCE[size]
        self.removed: dict[str, str] = {}
        self.permitted: set[str] = set()

    def change(self) -> None:
        directory, chance = self.sandbox.directory, self.chance
        tenants = sorted(directory.tenants)
        people = list_people(self.sandbox)
        chosen = chance.sample(people, min(len(people), chance.choice(self.numbers)))
        for person in chosen:
            key, tenant = person["id"], get_tenant_id(person)
            match chance.choice(["remove", "remove", "suspend", "activate", "move", "rename"]):
                case "remove":
                    directory.remove_user(key)
                    self.removed[key] = tenant
                case "suspend":
                    directory.update_user(key, status="SUSPENDED")
                case "activate":
                    directory.update_user(key, status="ACTIVE")
                case "move":
                    directory.move_user(key, chance.choice(tenants))
                case "rename":
                    directory.update_user(key, display_name=f"Name {chance.randrange(99)}")
        for key in [key for key in self.removed if chance.random() < 0.2]:
            restore_user(self.sandbox, key, self.removed.pop(key))
        directory.add_user(chance.choice(tenants), display_name="New")

    def decide(self) -> None:
        rows = list(PendingRemoval.objects.open().order_by("pk"))
        chosen = [row for row in rows if self.chance.random() < 0.3]
        if not chosen:
            return
        if self.chance.random() < 0.6:
            approve([row.pk for row in chosen])
            self.permitted |= {row.person_scaikey_id for row in chosen}
        else:
            keep([row.pk for row in chosen])
            self.permitted -= {row.person_scaikey_id for row in chosen}

    def run(self) -> None:
        tenants = sorted(self.sandbox.directory.tenants)
        match self.chance.choice(["full", "full", "tenant", "webhook", "dry"]):
            case "full":
                sync_anyhow()
            case "tenant":
                sync_anyhow(tenant=self.chance.choice(tenants))
            case "webhook":
                keys = self.chance.sample(sorted(list_active()), 5)
                sync_anyhow(
                    announced=AnnouncedRecords.from_pairs([("participants", key) for key in keys])
                )
            case "dry":
                sync_anyhow(dry_run=True)


@pytest.mark.parametrize(("size", "seed"), list_cases())
def test_success_any_mix(sandbox: Sandbox, settings: Settings, size: str, seed: int) -> None:
    settings.CONFIG = make_config(
        sandbox,
        SCAIWAVE_SYNC_REMOVAL_LIMIT=str(LIMIT),
        SCAIWAVE_SYNC_REMOVAL_SHARE=str(SHARE),
    )
    sync()
    world = World(sandbox, size, seed)
    unpermitted: Counter[str] = Counter()
    for _ in range(8):
        world.change()
        if world.chance.random() < 0.5:
            world.decide()
        before = list_active()
        people = Counter(before.values())
        world.run()
        after = list_active()
        for key, tenant in before.items():
            if after.get(key) != tenant and key not in world.permitted:
                unpermitted[tenant] += 1
        # All runs are of one day, and lists and webhooks have a limit each.
        for tenant, number in unpermitted.items():
            allowed = max(LIMIT, SHARE * (people[tenant] + number))
            assert number <= 2 * allowed, (tenant, number)
        # The same loss is never two open rows.
        open_rows = PendingRemoval.objects.open()
        assert open_rows.count() == open_rows.values("subject_id", "loss", "destination").count()
    PendingRemoval.objects.filter(state=RemovalState.KEPT).update(expires_at=now())
    for _ in range(3):
        sync_anyhow()
        rows = PendingRemoval.objects.open()
        approve(list(rows.values_list("pk", flat=True)), now=now() + timedelta(seconds=1))
    assert_synced(sandbox)

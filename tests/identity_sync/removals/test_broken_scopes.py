"""Any mix of unreadable lists, losses and returns: everything else is applied in the same run."""

from __future__ import annotations

import random

import pytest
from pytest_django import Settings

from identity_sync.models import PendingRemoval
from scaiwave.sandbox import Sandbox
from tenants.models import Participant
from tests.identity_sync.removals.helpers import approve, sync_anyhow
from tests.identity_sync.removals.test_property import LIMIT, SHARE, World, list_active
from tests.identity_sync.sync.fetch.test_faults import make_impatient_client
from tests.identity_sync.sync.fetch.test_unreadable import FAULTS
from tests.identity_sync.sync.fetch.test_unreadable_parts import break_list
from tests.identity_sync.sync.helpers import (
    ADMIN,
    assert_synced,
    get_tenant_id,
    list_groups,
    list_people,
    sync,
)
from tests.tenants.fake_scaikey import make_config
from tests.tools import IN_CI, NIGHTLY

# Its statements differ by database, so a merge runs it on both.
pytestmark = [pytest.mark.django_db, pytest.mark.once]

SERVED = [fault for name, fault in FAULTS.items() if name != "400"]


def break_scopes(sandbox: Sandbox, chance: random.Random) -> set[str]:
    """Break the lists of at most two tenants and two groups; return the tenants."""
    sandbox.faults.clear()
    broken = set(chance.sample(sorted(sandbox.directory.tenants), chance.choice([0, 1, 2])))
    for name in ("users", "groups"):
        if broken and chance.random() < 0.7:
            break_list(sandbox, name, *sorted(broken), **chance.choice(SERVED))
    for group in chance.sample(list_groups(sandbox), chance.choice([0, 1, 2])):
        path = f"{ADMIN}/groups/{group['id']}/members"
        sandbox.faults.add_json({"path": path, **chance.choice(SERVED)})
    unreadable = {rule.query.get("tenant_id") for rule in sandbox.faults.list_rules()}
    return {tenant for tenant in broken if tenant in unreadable}


@pytest.mark.parametrize("seed", range(100 if NIGHTLY else 3 if IN_CI else 2))
@pytest.mark.sandbox(partners=2, tenants=6, people=120, groups=8, scim=False)
def test_success_any_mix(sandbox: Sandbox, settings: Settings, seed: int) -> None:
    settings.CONFIG = make_config(
        sandbox, SCAIWAVE_SYNC_REMOVAL_LIMIT=str(LIMIT), SCAIWAVE_SYNC_REMOVAL_SHARE=str(SHARE)
    )
    sync()
    world = World(sandbox, "small", seed)
    for _ in range(8):
        world.change()
        broken = break_scopes(sandbox, world.chance)
        before = list_active()
        sync_anyhow(connect=make_impatient_client)
        after = list_active()
        for key, tenant in before.items():
            if tenant in broken:
                assert after.get(key) == tenant, key
        names = dict(
            Participant.objects.filter(absent_since=None).values_list("scaikey_id", "display_name")
        )
        for person in list_people(sandbox):
            if get_tenant_id(person) not in broken | {before.get(person["id"])} - {None}:
                # New, or moved here: only a move out of somewhere may wait.
                assert person["id"] in names
            elif get_tenant_id(person) not in broken and person.get("display_name"):
                assert names[person["id"]] == person["display_name"]
    sandbox.faults.clear()
    for _ in range(3):
        sync_anyhow()
        approve(list(PendingRemoval.objects.open().values_list("pk", flat=True)))
    assert_synced(sandbox)

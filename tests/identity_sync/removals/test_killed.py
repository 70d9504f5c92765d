"""Syncs that are killed while they apply approved removals."""

from __future__ import annotations

import json
import random
import time

import pytest

from scaiwave.sandbox import Sandbox
from tests.identity_sync.removals.helpers import pick_tenant, remove_groups, remove_people
from tests.identity_sync.sync.processes import Server, wait_for
from tests.scaiwave.cli_helpers import ProcessResult, run_scaiwave

pytestmark = [
    pytest.mark.sandbox(partners=2, tenants=6, people=400, groups=4, scim=False),
]


def scaiwave(*words: str) -> ProcessResult:
    return run_scaiwave("sync", *words)


def get_states(server: Server) -> dict[str, int]:
    rows = server.rows("SELECT state, count(*) FROM sw_pending_removals GROUP BY state")
    return dict(rows)


def test_success_approved_rows_are_applied_once_whenever_it_is_killed(
    server: Server, sandbox: Sandbox
) -> None:
    chance = random.Random(11)
    remove_groups(sandbox)
    scaiwave()
    tenant = pick_tenant(sandbox)
    gone = remove_people(sandbox, tenant, 40)
    assert scaiwave().code == 1
    rows = json.loads(scaiwave("removals", "--json").out)["removals"]
    assert len(rows) == 40
    chosen = [row["id"] for row in rows[:25]]
    names = {row["scaikey_id"] for row in rows[:25]}
    assert scaiwave("approve", *chosen, "--yes").code == 0
    for _ in range(6):
        with server.syncing() as process:
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
            process.communicate()
        if server.is_postgres:
            wait_for(lambda: not server.locks("locktype = 'advisory'"))
        # Either all of them or none, and the rows agree with the people.
        left = server.rows("SELECT scaikey_id FROM sw_participants WHERE absent_since IS NOT NULL")
        assert {key for (key,) in left} in (set(), names)
        assert get_states(server).get("applied", 0) == len(left)
    assert scaiwave().code == 1
    assert get_states(server) == {"applied": 25, "pending": 15}
    changes = server.rows(
        "SELECT subject_scaikey_id FROM sw_sync_changes WHERE action = 'deactivate'"
    )
    assert sorted(key for (key,) in changes) == sorted(names)
    assert names < set(gone)

"""Suspending many, killed at any moment: whole batches are done, and the same command ends it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.databases import RawDatabase, copy_database
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, run_scaiwave
from tests.web_process import build_environment, run_python

pytestmark = pytest.mark.once

PEOPLE = 1_500
BATCH = 500
MAX_WAIT_SECONDS = 120.0
FILL = f"""
from tenants.models import Participant
from tests.tenants.factories import EARLIER, make_tenant
tenant = make_tenant()
Participant.objects.bulk_create(
    Participant(
        tenant=tenant, local_id=f"p{{number}}", scaikey_id=f"usr_{{number}}",
        email=f"p{{number}}@x", display_name="Person", created_at=EARLIER, updated_at=EARLIER,
    )
    for number in range({PEOPLE})
)
report(None)
"""


def count(database: RawDatabase) -> tuple[int, int]:
    """Return the numbers of people who are suspended, and of audit entries."""
    suspended = "sw_participants WHERE suspended_by_hand_at IS NOT NULL"
    counts = [
        int(database.rows(f"SELECT count(*) FROM {each}")[0][0])
        for each in (suspended, "sw_audit_entries")
    ]
    return counts[0], counts[1]


def test_success_killed_between_batches(
    database_url: str, migrated: str, home: Path, tmp_path: Path
) -> None:
    copy_database(migrated, database_url)
    run_python(FILL, build_environment(database_url, home))
    database = RawDatabase(database_url)
    file = tmp_path / "people.csv"
    file.write_text("email\n" + "".join(f"p{number}@x\n" for number in range(PEOPLE)))
    words = ("admin", "suspend-participant", "--from", str(file), "--yes", "--json")
    with subprocess.Popen(
        [*SCRIPT, *words],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while process.poll() is None and not count(database)[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    suspended, entries = count(database)
    assert 0 < suspended < PEOPLE
    assert (suspended % BATCH, entries) == (0, suspended)
    ended = run_scaiwave(*words)
    assert ended.code == 0, ended.err
    assert ended.out.count('"changed": false') == suspended
    assert count(database) == (PEOPLE, PEOPLE)

"""A purge that is killed, whenever it is, has purged each person completely or not at all."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.databases import RawDatabase, copy_database
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, run_scaiwave
from tests.web_process import build_environment, run_python

pytestmark = pytest.mark.once

KILLS = int(os.environ.get("SCAIWAVE_TEST_KILLS", "4"))
PEOPLE = 1500
MAX_WAIT_SECONDS = 60.0
PURGE = ("admin", "purge-participant", "--purge-after", "1", "--limit", str(PEOPLE), "--yes")
FILL = f"""
from identity_sync.models import SyncChange, SyncRun
from tenants.models import Participant
from tests.tenants.factories import EARLIER, make_tenant
tenant = make_tenant()
people = Participant.objects.bulk_create(
    Participant(
        tenant=tenant, local_id=f"p{{number}}", scaikey_id=f"usr_{{number}}",
        email=f"p{{number}}@x", display_name="Person", absent_since=EARLIER,
        created_at=EARLIER, updated_at=EARLIER,
    )
    for number in range({PEOPLE})
)
run = SyncRun.objects.create(operator="root", outcome="applied", started_at=EARLIER)
SyncChange.objects.bulk_create(
    SyncChange(run=run, tenant=tenant, kind="participants", action="deactivate",
               subject_id=person.pk, subject_name="Person", reason_code="removed")
    for person in people
)
report(None)
"""


@pytest.fixture
def database(database_url: str, migrated: str, home: Path) -> RawDatabase:
    copy_database(migrated, database_url)
    run_python(FILL, build_environment(database_url, home))
    return RawDatabase(database_url)


def count(database: RawDatabase, condition: str) -> int:
    """Count people, joined with their change `c` and the audit entry `a` of their purge."""
    subject = "CAST(p.id AS text)"
    if not database.is_postgres:  # An ID is stored as 32 digits, and in the audit log with hyphens.
        parts = [f"substr(p.id, {start}, {size})" for start, size in
                 ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]  # fmt: skip
        subject = " || '-' || ".join(parts)
    return int(
        database.rows(
            "SELECT count(*) FROM sw_participants p JOIN sw_sync_changes c ON c.subject_id = p.id "
            f"LEFT JOIN sw_audit_entries a ON a.subject_id = {subject} WHERE {condition}"
        )[0][0]
    )


PURGED = (
    "p.purged_at IS NOT NULL AND p.email = '' AND p.display_name = 'Deleted user' "
    "AND c.subject_name = 'Deleted user' AND a.id IS NOT NULL"
)
UNTOUCHED = (
    "p.purged_at IS NULL AND p.email <> '' AND p.display_name = 'Person' "
    "AND c.subject_name = 'Person' AND a.id IS NULL"
)


@contextmanager
def purging() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*SCRIPT, *PURGE],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_progress(database: RawDatabase, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has purged more people than before, or has ended."""
    query = "SELECT count(*) FROM sw_participants WHERE purged_at IS NOT NULL"
    before = database.rows(query)
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while process.poll() is None and database.rows(query) == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_fail_killed_between_and_inside_batches(database: RawDatabase) -> None:
    chance = random.Random(5)
    for number in range(KILLS):
        with purging() as process:
            if number % 4:
                wait_for_progress(database, process)
            time.sleep(chance.uniform(0, 0.05))
        assert count(database, PURGED) + count(database, UNTOUCHED) == PEOPLE
    ended = run_scaiwave(*PURGE)
    assert ended.code == 0, ended.err
    assert count(database, PURGED) == PEOPLE
    assert int(database.rows("SELECT count(*) FROM sw_audit_entries")[0][0]) == PEOPLE

"""A seal that is killed, whenever it is, leaves days without a seal and never a changed log."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.databases import RawDatabase, copy_database
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, run_scaiwave
from tests.web_process import build_environment, run_python

pytestmark = pytest.mark.once

KILLS = int(os.environ.get("SCAIWAVE_TEST_KILLS", "4"))
DAYS = 400
SEAL, VERIFY = ("admin", "audit", "seal"), ("admin", "audit", "verify", "--json")
FILL = f"""
from datetime import timedelta
from django.utils import timezone
from federation.keys.lifecycle import generate_key
from tests.tenants.audit.seals import make_entry
from tests.tenants.factories import HOST_OPERATOR
now = timezone.now()
generate_key(operator=HOST_OPERATOR, now=now)
for number in range({DAYS}):
    make_entry(now.date() - timedelta(days=number + 1))
report(None)
"""


@pytest.fixture
def database(database_url: str, migrated: str, home: Path) -> RawDatabase:
    copy_database(migrated, database_url)
    run_python(FILL, build_environment(database_url, home))
    return RawDatabase(database_url)


def kill_after(seconds: float, database: RawDatabase, query: str) -> None:
    """Start sealing, and kill it some time after the database shows progress."""
    before = database.rows(query)
    process = subprocess.Popen([*SCRIPT, *SEAL, "--quiet"], cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    with process:
        while process.poll() is None and database.rows(query) == before:
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()


def test_fail_killed_at_any_moment(database: RawDatabase, home: Path) -> None:
    chance = random.Random(3)
    codes = set()
    for number in range(KILLS):
        table = ("sw_audit_chain", "sw_audit_seals", "sw_audit_seal_parts")[min(number, 2)]
        seconds = 0 if number < 3 else chance.uniform(0, 0.1)
        kill_after(seconds, database, f"SELECT count(*) FROM {table}")
        ended = run_scaiwave(*VERIFY)
        kinds = {problem["kind"] for problem in json.loads(ended.out)["problems"]}
        error = json.loads(ended.err)["error"] if ended.err else {"code": None}
        assert kinds <= {"not_sealed"}, ended.out
        codes.add((ended.code, error["code"]))
    assert codes <= {(0, None), (1, "SW_AUDIT_UNSEALED")}
    assert (1, "SW_AUDIT_UNSEALED") in codes
    ended = run_scaiwave(*SEAL, "--quiet")
    assert ended.code == 0, ended.err
    ended = run_scaiwave(*VERIFY)
    assert ended.code == 0, ended.err
    newest = json.loads(ended.out)["newest_seal"]
    (remembered,) = home.glob("audit-seal-*")
    assert remembered.read_text() == f"{newest}\n"
    assert remembered.stat().st_mode & 0o777 == 0o600
    assert not list(home.glob(".audit-seal-*"))

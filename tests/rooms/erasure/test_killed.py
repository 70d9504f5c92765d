"""An erasure that is killed again and again ends like another, and leaves other tenants alone."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.databases import RawDatabase, copy_database, environment, prepared
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, run_scaiwave, start_process

pytestmark = pytest.mark.once
PHASES = ("rooms", "records", "tables", "files")
OTHER = "tenant_id = (SELECT id FROM sw_tenants WHERE slug = 'other')"


def list_other(site: RawDatabase) -> list[list[tuple[object, ...]]]:
    tables = ("events", "participants", "rooms", "room_members", "media", "search_documents")
    return [
        sorted(site.rows(f"SELECT * FROM sw_{table} WHERE {OTHER}"), key=str) for table in tables
    ]


def test_fail_killed_in_each_phase(
    request: pytest.FixtureRequest, database_url: str, home: Path, tmp_path: Path
) -> None:
    def fill(url: str) -> None:
        for command in (
            ("manage", "seed_rooms", "--tenant=acme", "--events=3000", "--rooms=3", "--media=3"),
            ("manage", "seed_rooms", "--tenant=other", "--events=50", "--media=2"),
            ("admin", "federation", "key", "generate"),
            ("admin", "suspend-tenant", "acme", "--yes"),
        ):
            subprocess.run(
                [*SCRIPT, *command], env=environment(home, url), cwd=CHECKOUT, check=True
            )

    with prepared(request, home, fill=fill) as url:
        copy_database(url, database_url)
    site = RawDatabase(database_url)
    plan, proof = str(tmp_path / "plan"), str(tmp_path / "proof.json")
    words = ("admin", "erase-tenant", "acme")
    planned = run_scaiwave(*words, "--plan", plan, "--without-export", "--now", "--reason", "over")
    assert planned.code == 0, planned.err
    before = list_other(site)
    apply = (*words, "--apply", plan, "--certificate", proof, "--reason", "over", "--yes")
    for phase in PHASES:
        with start_process([*SCRIPT, *apply]) as process:
            while process.poll() is None:
                if site.rows(f"SELECT 1 FROM sw_tenant_erasures WHERE phase = '{phase}'"):
                    process.kill()
                    process.wait()
                time.sleep(0.002)
    ended = run_scaiwave(*apply)
    assert ended.code == 0, ended.err
    assert site.rows("SELECT phase FROM sw_tenant_erasures") == [("done",)]
    assert site.rows("SELECT slug FROM sw_tenants") == [("other",)]
    assert list_other(site) == before
    verified = run_scaiwave("admin", "verify-certificate", proof)
    assert verified.code == 0, verified.err

"""Runs of retention that are killed, have no disk, or have other commands beside them."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import copy_database, prepared
from tests.rooms.exports.processes import (
    ANNA,
    EVENTS,
    EXPORT,
    NOW,
    ROOM,
    TENANT,
    WORKSPACE,
    Server,
    fill_database,
)
from tests.scaiwave.cli_helpers import CHECKOUT, NO_BYTECODE, SCRIPT, run_scaiwave

pytestmark = pytest.mark.once

KILLS = int(os.environ.get("SCAIWAVE_TEST_KILLS", "3"))
RUN = ("admin", "retention", "run", "--yes", "--json")
IMPORT = ("main", "--tenant", "acme", "--as", "@anna:localhost")
COUNT = "SELECT count(*) FROM sw_events"
ORPHANS = (
    "SELECT count(*) FROM sw_search_documents d LEFT JOIN sw_events e ON e.id = d.event_id "
    "WHERE e.id IS NULL"
)


@pytest.fixture(scope="session")
def indexed_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    home = tmp_path_factory.mktemp("indexed")
    with prepared(request, home, fill=lambda url: fill_database(Server(url))) as url:
        yield url


@pytest.fixture
def server(indexed_database: str, database_url: str) -> Server:
    """A database with a room of old events, a policy that reaches them, and a search index."""
    copy_database(indexed_database, database_url)
    policy = ("admin", "retention", "set", "--tenant", "acme", "--days", "1", "--yes")
    assert run_scaiwave(*policy).code == 0
    assert run_scaiwave("room", "search-index", "--inline").code == 0
    return Server(database_url)


def count(server: Server, sql: str = COUNT) -> int:
    return int(server.rows(sql)[0][0])


def add_importer(server: Server) -> None:
    server.execute(
        "INSERT INTO sw_workspace_members (id, tenant_id, workspace_id, participant_id, role, "
        f"created_at) VALUES ({server.key(ROOM)}, {server.key(TENANT)}, {server.key(WORKSPACE)}, "
        f"{server.key(ANNA)}, 'owner', '{NOW}')"
    )


def count_audited(server: Server) -> int:
    rows = server.rows("SELECT details FROM sw_audit_entries WHERE action = 'retention run'")
    details = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in rows]
    return sum(each["deleted_events"] for each in details)


def start(*words: str, limit: int | None = None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*SCRIPT, *words],
        env={**os.environ, **(NO_BYTECODE if limit is not None else {})},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if limit is not None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    return process


def test_fail_killed_between_and_inside_batches(server: Server) -> None:
    """What was deleted is in the audit log, whenever it ends, and the next run does the rest."""
    chance = random.Random(7)
    for _ in range(KILLS):
        before, deadline = count(server), time.monotonic() + 60
        with start(*RUN) as process:
            while process.poll() is None and count(server) == before:
                assert time.monotonic() < deadline
            time.sleep(chance.uniform(0, 0.03))
            process.kill()
        assert count_audited(server) == EVENTS - count(server)
    ended = run_scaiwave(*RUN)
    assert ended.code == 0, ended.err
    assert (count(server), count_audited(server), count(server, ORPHANS)) == (0, EVENTS, 0)
    assert count(server, "SELECT count(*) FROM sw_search_documents") == 0


@pytest.mark.only_on("sqlite")
def test_fail_disk_full(server: Server) -> None:
    """A file may not grow, as on a full disk, at first or after some batches."""
    size = Path(server.url.removeprefix("sqlite:///")).stat().st_size
    for limit in (1_000, size // 8):
        with start(*RUN, limit=limit) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert b"SW_DISK_FULL" in err
        assert count_audited(server) == EVENTS - count(server)
    assert run_scaiwave(*RUN).code == 0
    assert (count(server), count_audited(server)) == (0, EVENTS)


def test_success_beside_an_export_an_import_and_a_backfill(server: Server, tmp_path: Path) -> None:
    bundle, beside = tmp_path / "before.zip", tmp_path / "beside.zip"
    assert run_scaiwave(*EXPORT, "--output", str(bundle)).code == 0
    add_importer(server)
    others = (
        start(*EXPORT, "--output", str(beside)),
        start("room", "import", *IMPORT, "--input", str(bundle)),
        start("room", "search-index", "--inline", "--restart"),
        start(*RUN),
    )
    for process in others:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert run_scaiwave("room", "verify", str(beside)).code == 0
    # The imported room has the times of the exported one.
    assert run_scaiwave(*RUN).code == 0
    assert (count(server), count(server, ORPHANS)) == (0, 0)


def test_success_a_purge_beside_an_export_an_import_and_a_backfill(
    server: Server, tmp_path: Path
) -> None:
    """An export that has begun is whole. The import is another room with the same messages."""
    bundle, beside = tmp_path / "before.zip", tmp_path / "beside.zip"
    assert run_scaiwave(*EXPORT, "--output", str(bundle)).code == 0
    add_importer(server)
    words = ("lobby", "--tenant", "acme", "--reason", "over", "--archive", "--now", "--yes")
    export, *others = (
        start(*EXPORT, "--output", str(beside)),
        start("room", "import", *IMPORT, "--input", str(bundle)),
        start("room", "search-index", "--inline", "--restart"),
        start("room", "delete", *words),
    )
    for process in others:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    _, err = export.communicate(timeout=120)
    if export.returncode:
        assert b"SW_ROOM_NOT_FOUND" in err or b"deleted" in err
        assert not beside.exists()
    else:
        assert run_scaiwave("room", "verify", str(beside)).code == 0
    assert count(server, f"{COUNT} WHERE room_id = {server.key(ROOM)}") == 0
    assert (count(server), count(server, ORPHANS)) == (EVENTS, 0)
    assert count(server, "SELECT count(*) FROM sw_rooms") == 1

"""A tenant moves between two servers whose commands are processes, while people write."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.databases import RawDatabase, copy_database
from tests.rooms.imports.import_environment import wait_for
from tests.scaiwave.cli_helpers import SCRIPT, run_scaiwave, start_process
from tests.services.postgres import create_database
from tests.settings_env import own_settings

EVENTS = 4000
NOW = "2026-11-24 12:00:00"


@dataclass(frozen=True)
class Server(RawDatabase):
    environment: dict[str, str]

    def run(self, *words: str, code: int = 0) -> Any:
        ended = run_scaiwave(*words, "--json", **self.environment)
        assert ended.code == code, ended.err
        return json.loads(ended.out)

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM sw_{table}")[0][0])

    def key(self) -> str:
        return str(self.run("admin", "federation", "descriptor")["public_key"])

    def kill(self, words: tuple[str, ...], is_there: Callable[[], object]) -> None:
        """Run a command, and kill it as soon as something is there, or it has ended."""
        with start_process([*SCRIPT, *words, "--no-input"], **self.environment) as process:
            wait_for(lambda: process.poll() is not None or is_there())
            process.kill()
            process.communicate()
        if self.is_postgres:
            wait_for(lambda: not self.locks("locktype = 'advisory'"))


@pytest.fixture
def servers(
    tmp_path: Path, migrated: str, request: pytest.FixtureRequest
) -> Iterator[list[Server]]:
    """The old server and the new one, each with its own key, home and database."""

    def make(name: str, url: str) -> Server:
        home = tmp_path / name
        home.mkdir(mode=0o700)
        copy_database(migrated, url)
        settings = {
            **own_settings(home),
            "SCAIWAVE_DB_URL": url,
            "SCAIWAVE_SERVER_NAME": f"{name}.example",
        }
        made = Server(url, settings)
        made.run("admin", "federation", "key", "generate")
        return made

    if not migrated.startswith("postgres"):
        yield [make(name, f"sqlite:///{tmp_path / name}.sqlite3") for name in ("old", "new")]
        return
    server = request.getfixturevalue("postgres_url")
    with create_database(server) as one, create_database(server) as two:
        yield [make("old", one), make("new", two)]


@dataclass
class Writers:
    """People who write, edit and delete without an end, unless their tenant is suspended.

    The check and the act are one transaction, as in the platform's servers.
    """

    server: Server
    written: int = 0
    refused: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, seed: int) -> None:
        luck = Random(seed)
        with self.server.connected() as connection:
            rooms = connection.execute(
                "SELECT r.tenant_id, r.id, r.creator_id FROM sw_rooms r ORDER BY r.id"
            ).fetchall()
            while not self.stopped.wait(0.01):
                self._write(connection, luck, *luck.choice(rooms))

    def _write(self, connection: Any, luck: Random, tenant: Any, room: Any, sender: Any) -> None:
        lock, mark = (" FOR SHARE", "%s") if self.server.is_postgres else ("", "?")

        def execute(sql: str, *values: Any) -> Any:
            return connection.execute(sql.replace("?", mark), values)

        execute("BEGIN" if self.server.is_postgres else "BEGIN IMMEDIATE")
        tenants = execute(f"SELECT suspended_by_hand_at FROM sw_tenants WHERE id = ?{lock}", tenant)
        if tenants.fetchone()[0] is not None:
            execute("ROLLBACK")
            self.refused += 1
            return
        key = uuid.uuid4() if self.server.is_postgres else uuid.uuid4().hex
        body = json.dumps({"body": f"written {luck.random()}"})
        (first,) = execute("SELECT max(stream_position) FROM sw_events").fetchone()
        execute(
            "INSERT INTO sw_events (id, tenant_id, room_id, sender_id, event_type, content, "
            "stream_position, origin_ts, do_not_index, created_at) VALUES "
            f"(?, ?, ?, ?, 'swp.room.message', ?, ?, 1772600000, ?, '{NOW}')",
            *(key, tenant, room, sender, body, first + 1, False),
        )
        place = luck.randrange(1, EVENTS)
        execute(
            f"UPDATE sw_events SET content = ?, edited_at = '{NOW}' "
            "WHERE stream_position = ? AND event_type = 'swp.room.message'",
            *(body, place),
        )
        execute(
            "DELETE FROM sw_events WHERE stream_position = ? AND event_type = 'swp.call.ended'",
            place + 1,
        )
        execute("COMMIT")
        self.written += 1


@contextmanager
def writing(server: Server) -> Iterator[Writers]:
    writers = Writers(server)
    # Two writers at the same position would break the table of SQLite's and PostgreSQL's alike.
    threads = [threading.Thread(target=writers.run, args=(1,))]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        writers.stopped.set()
        for thread in threads:
            thread.join()


def seed(server: Server) -> None:
    words = ("--rooms", "2", "--events", str(EVENTS // 2), "--media", "4", "--media-bytes", "99")
    server.run("manage", "seed_rooms", "--tenant", "acme", *words)


def test_success_cut_over(servers: list[Server], tmp_path: Path) -> None:
    """Base while people write, then frozen: the new server has all that was ever accepted."""
    old, new = servers
    seed(old)
    out, key = str(tmp_path / "out"), old.key()
    export = ("admin", "export-tenant", "acme", "--output-dir", out)
    bring = ("admin", "import-tenant", out, "--slug", "acme", "--key", key)
    with writing(old) as writers:
        assert not old.run(*export)["frozen"]
        wait_for(lambda: writers.written > 20)
        assert new.run(*bring)["opened"] is False
        old.run(*export, "--incremental")
        new.run(*bring)
        last = old.run(*export, "--incremental", "--freeze", "--no-input", "--reason", "move")
        refused = writers.refused
        wait_for(lambda: writers.refused > refused)
        assert last["frozen"]
        done = new.run(*bring)
        assert (done["opened"], done["rooms"]) == (True, 2)
        compared = new.run("admin", "verify-tenant-export", out, "--key", key, "--against", "acme")
        assert compared["differences"] == []
    order = "ORDER BY stream_position"
    columns = "stream_position, event_type, origin_ts, do_not_index"
    sql = f"SELECT {columns} FROM sw_events {order}"
    assert new.rows(sql) == old.rows(sql)
    bodies = "SELECT content FROM sw_events WHERE edited_at IS NOT NULL AND sender_id IS NOT NULL"
    assert len(new.rows(bodies)) == len(old.rows(bodies)) > 0


@pytest.mark.once
def test_fail_killed(servers: list[Server], tmp_path: Path) -> None:
    """Wherever an export or an import is killed, the next one completes it; an abort removes it."""
    old, new = servers
    seed(old)
    out, key = tmp_path / "out", old.key()
    export = ("admin", "export-tenant", "acme", "--output-dir", str(out))
    for is_there in (
        lambda: any(out.glob("rooms/*")),
        lambda: any(out.glob("rooms/*/0000.zip")),
        lambda: any(out.glob("rows/*")),
    ):
        old.kill(export, is_there)
        assert not (out / "index.json").exists() or any(out.glob("rows/0000/*"))
        if (out / "index.json").exists():
            break
    # A killed one may have been complete.
    old.run(*export, "--incremental", "--freeze", "--no-input")
    bring = ("admin", "import-tenant", str(out), "--slug", "acme", "--key", key)
    tables = ("tenants", "participants", "import_intents", "rooms", "events", "room_members")
    for table in tables:
        new.kill(bring, lambda table=table: new.count(table))  # type: ignore[misc]
    for kill in (True, False):
        state = new.rows("SELECT finished_at FROM sw_tenant_imports")
        if state and state[0][0] is None:
            words = ("admin", "import-tenant", str(out), "--slug", "acme", "--abort", "--no-input")
            if kill:
                new.kill(words, lambda: True)
            else:
                new.run(*words)
                assert new.count("events") == new.count("participants") == 0
    new.run(*bring)
    compared = new.run("admin", "verify-tenant-export", str(out), "--key", key, "--against", "acme")
    assert compared["differences"] == []
    assert new.count("events") == old.count("events")
    assert new.count("import_intents") == 0


def test_success_purge_after_a_move(servers: list[Server], tmp_path: Path) -> None:
    """A bundle names a person by the address before the move: export and purge find it."""
    old, new = servers
    small = ("--rooms", "1", "--events", "30", "--senders", "3", "--foreign-share", "0")
    old.run("manage", "seed_rooms", "--tenant", "acme", *small)
    ((anna, local_id),) = old.rows(
        "SELECT id, local_id FROM sw_participants WHERE local_id LIKE 'seed1.%'"
    )
    old.execute(
        f"UPDATE sw_events SET content = '{{\"body\": \"her secret\"}}' WHERE sender_id = '{anna}' "
        "AND event_type = 'swp.room.message' AND redacted_at IS NULL"
    )
    ((room,),) = old.rows("SELECT id FROM sw_rooms")
    out, bundle, key = str(tmp_path / "out"), str(tmp_path / "room.zip"), old.key()
    old.run("room", "export", str(room), "--tenant", "acme", "--output", bundle)
    old.run("admin", "export-tenant", "acme", "--output-dir", out, "--freeze", "--no-input")
    new.run("admin", "import-tenant", out, "--slug", "acme", "--key", key)
    new.run("manage", "seed_rooms", "--tenant", "acme", "--workspace", "new", *small)
    ((owner,),) = new.rows(
        "SELECT participant_id FROM sw_workspace_members m JOIN sw_workspaces w "
        "ON w.id = m.workspace_id WHERE w.slug = 'new'"
    )
    words = ("room", "import", "new", "--tenant", "acme", "--as", str(owner), "--key", key)
    new.run(*words, "--input", bundle)

    def count_secrets() -> int:
        sql = "SELECT count(*) FROM sw_events WHERE CAST(content AS text) LIKE '%her secret%'"
        return int(new.rows(sql)[0][0])

    written = count_secrets()
    exported = new.run("admin", "export-participant", local_id, "--output", str(tmp_path / "her"))
    assert exported["counts"]["rooms"] == 2
    purged = new.run("admin", "purge-participant", local_id, "--with-messages", "--no-input")
    assert purged["erased"]["messages"] >= written > 0
    again = str(new.run(*words, "--input", bundle)["room"]["id"])
    assert count_secrets() == 0
    text = tmp_path / "text"
    new.run("room", "transcript", again, "--tenant", "acme", "--output", str(text))
    pages = "".join(path.read_text() for path in text.rglob("*.html"))
    assert f"@{local_id}:old.example" in pages
    assert "her secret" not in pages

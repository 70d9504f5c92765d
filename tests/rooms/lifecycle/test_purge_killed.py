"""A purge that is killed, whenever it is, is completed by the next one, and nothing remains."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.databases import RawDatabase, copy_database
from tests.rooms.retention.test_processes import start
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, run_scaiwave, start_process
from tests.tools import NIGHTLY
from tests.web_process import build_environment, run_python

pytestmark = pytest.mark.once

KILLS = 12 if NIGHTLY else 3
EVENTS, FILES = 300, 60
PLANTED = [f"planted{number:02}quartz" for number in range(50)]
# The name of the room is the first one, which the audit log keeps.
FILL = f"""
from datetime import UTC, datetime
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from rooms.exports.chain_cache import _get_served_directory
from rooms.models import Event, RemovedFile, Room, RoomImport, RoomMedia, RoomMember, SearchBackfill
from rooms.search.base import EventRange
from rooms.search.database import SearchIndex
from rooms.search.scope import Scope
from tests.scaiwave import row_factories as rows
from tests.tenants.factories import make_person, make_tenant

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
planted = {PLANTED!r}

def fill(tenant, words, position):
    anna = make_person(tenant)
    room = rows.make_room(rows.make_workspace(tenant), anna, words[0], topic=words[1],
                          room_alias=words[2], state="archived")
    Event.objects.bulk_create(
        Event(tenant=tenant, room=room, sender=anna, event_type="swp.room.message",
              content={{"body": words[3 + number % 30], "note": words[33]}},
              original_content={{"body": words[34]}}, origin_ts=0,
              stream_position=position + number, created_at=NOW)
        for number in range({EVENTS})
    )
    for number in range({FILES}):
        text = words[35 + number % 5] + str(number)
        media = rows.make_media(tenant, text, mime_type=words[40])
        default_storage.save(media.storage_name, ContentFile(text.encode()))
        name = words[41] + str(number)
        RoomMedia.objects.create(tenant=tenant, room=room, media=media, name=name, created_at=NOW)
    rows.make_removed_file(room, words[42], reason=words[43])
    people = [make_person(tenant, f"member{{number}}") for number in range(3)]
    RoomMember.objects.bulk_create(
        RoomMember(tenant=tenant, room=room, participant=person, notification_mode=words[44])
        for person in people
    )
    RoomImport.objects.create(tenant=tenant, room=room, created_at=NOW, manifest_sha256="0" * 64,
                              source_room_id=words[45], source_server_name=words[46],
                              operator=words[47], tip_room={{"name": words[48]}})
    SearchBackfill.objects.create(scope=f"room={{room.pk}}", tenant=tenant, room=room,
                                  operator="root", started_at=NOW)
    SearchIndex().index(EventRange(Scope(), tenant.pk, 0, 10**9))
    served = _get_served_directory(room.pk)
    served.mkdir(parents=True)
    (served / ("0" * 64)).write_text(words[49])
    return room

room = fill(make_tenant(), planted, 1)
fill(make_tenant("other"), [f"other{{number}}" for number in range(50)], 1)
report(str(room.pk))
"""
# It has the write lock of SQLite but for half a millisecond of each twenty.
WRITER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
while True:
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE sw_tenants SET updated_at = updated_at WHERE slug = 'other'")
    time.sleep(0.02)
    database.execute("COMMIT")
    print(flush=True)
    time.sleep(0.0005)
"""
COUNTS = {
    "sw_rooms": 1,
    "sw_events": EVENTS,
    "sw_search_documents": EVENTS,
    "sw_room_media": FILES,
    "sw_media": FILES + 1,
    "sw_room_members": 3,
    "sw_removed_files": 1,
}


@pytest.fixture
def room(database_url: str, migrated: str, home: Path) -> str:
    copy_database(migrated, database_url)
    return str(run_python(FILL, build_environment(database_url, home)))


def test_success_killed_in_each_phase_and_nothing_remains(
    room: str, database_url: str, home: Path
) -> None:
    database = RawDatabase(database_url)
    chance = random.Random(7)
    assert set(find_planted(database, home)) == set(PLANTED)
    words = ("room", "delete", room, "--tenant", "acme", "--reason", "over", "--now", "--yes")
    for fraction in [chance.random() for _ in range(KILLS)]:
        kill(words, database, fraction)
        assert list_counts(database, "other") == COUNTS
    ended = run_scaiwave(*words)
    if ended.code:  # It had just ended when it was killed.
        assert "SW_ROOM_NOT_FOUND" in ended.err
    run_scaiwave("doctor")  # deletes files that were announced
    assert list_counts(database, "acme") == dict.fromkeys(COUNTS, 0)
    assert list_counts(database, "other") == COUNTS
    found = find_planted(database, home)
    assert found.pop(PLANTED[0]) >= {"sw_audit_entries"}
    assert found == {}


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("act", ["room", "person", "file"])
def test_fail_disk_full(act: str, room: str, database_url: str, home: Path) -> None:
    """A file may not grow, as on a full disk, at first or after some batches."""
    database = RawDatabase(database_url)
    ((anna,),) = database.rows(f"SELECT creator_id FROM sw_rooms WHERE name = '{PLANTED[0]}'")
    name = f"{PLANTED[41]}0"
    database.rows(f"UPDATE sw_participants SET absent_since = created_at WHERE id = '{anna}'")
    place = (room, "--tenant", "acme")
    words = {
        "room": ("room", "delete", *place, "--reason", "over", "--now", "--yes"),
        "person": ("admin", "purge-participant", str(anna), "--with-messages", "--yes"),
        "file": ("room", "media", "remove", room, name, *place[1:], "--reason=x", "--now", "--yes"),
    }[act]
    refused = 0
    for limit in (1_000, 100_000, 400_000):
        with start(*words, limit=limit) as process:
            _, err = process.communicate(timeout=60)
        refused += b"SW_DISK_FULL" in err
        assert b"Traceback" not in err
        assert list_counts(database, "other") == COUNTS
    assert refused
    ended = run_scaiwave(*words)
    assert ended.code == 0 or "_NOT_FOUND" in ended.err
    assert run_scaiwave("admin", "prune").code == 0
    assert database.rows("SELECT count(*) FROM sw_import_intents") == [(0,)]
    counts = list_counts(database, "acme")
    if act == "room":
        assert counts == dict.fromkeys(COUNTS, 0)
    elif act == "person":
        assert counts["sw_search_documents"] == 0
        texts = find_planted(database, home)
        assert not [text for text in PLANTED[3:35] if "sw_events" in texts.get(text, set())]
    else:
        assert (counts["sw_media"], counts["sw_room_media"]) == (FILES - 1, FILES - 1)
        files = [path for path in (home / "media").rglob("*") if path.is_file()]
        assert len(files) == 2 * FILES - 1


@pytest.mark.every_version
@pytest.mark.only_on("sqlite")
def test_success_beside_another_writer_each_transaction_gets_its_turn(
    room: str, database_url: str
) -> None:
    impatient = f"{database_url}?timeout=1"
    words = ("room", "delete", room, "--tenant", "acme", "--reason", "over", "--now", "--yes")
    writer = (sys.executable, "-c", WRITER, database_url.removeprefix("sqlite:///"))
    with start_process(writer) as process:
        assert process.stdout
        assert process.stdout.readline()
        ended = run_scaiwave(*words, SCAIWAVE_DB_URL=impatient)
    assert (ended.code, ended.err) == (0, ""), ended.err
    assert list_counts(RawDatabase(database_url), "acme") == dict.fromkeys(COUNTS, 0)


@pytest.mark.redis
def test_success_redis_has_nothing_of_the_room(
    room: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCAIWAVE_REDIS_URL", redis_url)
    words = ("room", "delete", room, "--tenant", "acme", "--reason", "over", "--now", "--yes")
    for each in (("room", "search-index"), ("worker", "--burst"), words, ("room", "search-index")):
        assert run_scaiwave(*each).code == 0
    with Redis.from_url(redis_url) as redis:
        content = "\n".join(f"{key!r} {read_key(redis, key)}" for key in redis.scan_iter())
        assert "backfill_search" in content
        assert not [text for text in (*PLANTED, room) if text in content]
        redis.flushdb()


def read_key(redis: Any, key: bytes) -> str:
    kind = redis.type(key).decode()
    if kind == "hash":  # RQ compresses some values.
        values = [value for pair in redis.hgetall(key).items() for value in pair]
        return " ".join(repr(decompress(value)) for value in values)
    readers = {
        "string": redis.get,
        "set": redis.smembers,
        "list": lambda key: redis.lrange(key, 0, -1),
        "zset": lambda key: redis.zrange(key, 0, -1),
        "stream": redis.xrange,
    }
    return repr(readers[kind](key))


def decompress(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


def kill(words: tuple[str, ...], database: RawDatabase, fraction: float) -> None:
    """Kill the command once it has deleted so much of what was left."""
    start = sum(list_counts(database, "acme").values())
    process = subprocess.Popen(
        [*SCRIPT, *words],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    with process:
        while process.poll() is None and time.monotonic() < deadline:
            if sum(list_counts(database, "acme").values()) < start * (1 - fraction * 0.9):
                break
            time.sleep(0.005)
        process.kill()


def list_counts(database: RawDatabase, slug: str) -> dict[str, int]:
    tenant = f"(SELECT id FROM sw_tenants WHERE slug = '{slug}')"
    return {
        table: int(database.rows(f"SELECT count(*) FROM {table} WHERE tenant_id = {tenant}")[0][0])
        for table in COUNTS
    }


def find_planted(database: RawDatabase, home: Path) -> dict[str, set[str]]:
    """Return the planted texts that exist, and the tables and files that have them."""
    if not database.is_postgres:
        for sql in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            database.rows(sql)
    places = {
        table: "\n".join(map(repr, database.rows(f'SELECT * FROM "{table}"')))
        for table in list_tables(database)
    }
    for path in home.rglob("*"):
        if path.is_file():
            places[str(path)] = path.read_bytes().decode("latin-1")
    found: dict[str, set[str]] = {}
    for text in PLANTED:
        if where := {place for place, content in places.items() if text in content}:
            found[text] = where
    return found


def list_tables(database: RawDatabase) -> list[str]:
    if database.is_postgres:
        sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    else:
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return sorted(str(row[0]) for row in database.rows(sql))

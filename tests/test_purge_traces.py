"""A person who has used everything is purged: what remains is what docs/how-to/erasure.md lists.

All rows, sessions, files and keys of Redis are written by the processes that write them in
production, and then every column, file and key is searched.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from scaiwave.sandbox import Sandbox
from scaiwave.web.scaikey_sign_in import CALLBACK_PATH
from tests.databases import RawDatabase, copy_database
from tests.identity_sync.sync.helpers import get_tenant_id, list_people, pick_two_people
from tests.identity_sync.webhooks.factories import PATH, SECRET, make_body, make_headers
from tests.queue_helpers import plant_call, plant_failed, run_worker, use_redis
from tests.scaiwave.cli_helpers import CHECKOUT, run_scaiwave
from tests.tenants.accounts.oidc.conftest import SCOPES
from tests.tenants.accounts.oidc.fake_browser import FakeBrowser
from tests.tenants.accounts.oidc.live_site import get_url, serve_site
from tests.web_process import build_environment, listen, run_python

pytestmark = [
    pytest.mark.once,
    pytest.mark.redis,
    pytest.mark.sandbox(partners=1, tenants=2, people=12, groups=3),
]

NAME, FORMER_NAME = "Zuzanna Qvist", "Zuzanna Novak"
EMAIL, FORMER_EMAIL = "zq@example.org", "wrzesz@example.org"
AVATAR = "https://example.org/qvist-zq.png"
ERASED = (NAME, FORMER_NAME, FORMER_EMAIL, AVATAR)
LOCAL_ID = "wrzesz"
"""What the person was given for the address here, of the first e-mail address."""

DOCS = CHECKOUT / "docs" / "how-to" / "erasure.md"
LIST = re.compile(r"^\| (.+?) \| ((?:`sw_[a-z_.]+`(?:, )?)+) \|$", re.MULTILINE)
KEPT = {
    what: set(re.findall(r"[a-z_.]+", columns)) for what, columns in LIST.findall(DOCS.read_text())
}
"""The columns in which something remains, as the docs list them."""


@dataclass
class Server:
    """A server that is registered with the sandbox, with its database, home and Redis."""

    scaikey: Sandbox
    database: RawDatabase
    home: Path
    redis: Redis
    client_id: str
    environment: dict[str, str]

    def run(self, *words: str, codes: tuple[int, ...] = (0,), token: str = "") -> str:
        ended = run_scaiwave(*words, **self.environment, SCAIWAVE_ADMIN_TOKEN=token)
        assert ended.code in codes, ended.err
        return ended.out

    def skip(self, person: str) -> None:
        """Have rows of what a sync has skipped and set aside."""
        code = f"""from datetime import datetime, UTC
from uuid import uuid4
from identity_sync.models import PendingRemoval, SyncSkip
now = datetime.now(UTC)
PendingRemoval.objects.create(kind="participants", subject_id=uuid4(), person_scaikey_id={person!r},
    subject_scaikey_id={person!r}, subject_name={NAME!r}, loss="removed", cause="removed",
    limit_code="tenant", state="ended", decision_reason={NAME!r}, first_seen_at=now,
    last_seen_at=now)
SyncSkip.objects.create(kind="participants", subject_scaikey_id={person!r}, subject_name={NAME!r},
    reason_code="lookup_failed", first_skipped_at=now, last_skipped_at=now)
report(None)"""
        run_python(code, build_environment(self.database.url, self.home))

    def find(self, text: str) -> set[str]:
        """Return the columns, files, sessions and keys that contain the text in any case."""
        folded = text.lower().encode()
        return {place for place, content in self._iter_contents() if folded in content.lower()}

    def _iter_contents(self) -> Iterator[tuple[str, bytes]]:
        for table in self._list_tables():
            with self.database.connected() as connection:
                cursor = connection.execute(f'SELECT * FROM "{table}"')
                names = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    for name, value in zip(names, row, strict=True):
                        yield f"{table}.{name}", to_bytes(value)
                        if name == "session_data":
                            yield "session", decode_session(value)
        for path in self.home.rglob("*"):
            # The database is read above, and a log is out of reach.
            if path.is_file() and not path.name.startswith("scaiwave.sqlite3"):
                yield f"file {path.name}", path.read_bytes()
        for key in self.redis.scan_iter():
            yield "redis", key + b" " + read_key(self.redis, key)

    def _list_tables(self) -> list[str]:
        sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if self.database.is_postgres:
            sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return [name for (name,) in self.database.rows(sql)]


def to_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def decode_session(data: str) -> bytes:
    """Return the JSON of a session, and what is inside of the tokens that it contains."""
    body = data.split(":", maxsplit=1)[0]
    is_compressed = body.startswith(".")
    content = decode_base64(body.removeprefix("."))
    content = zlib.decompress(content) if is_compressed else content
    tokens = re.findall(rb"eyJ[\w-]+\.([\w-]+)\.", content)
    return b" ".join([content, *(decode_base64(token.decode()) for token in tokens)])


def decode_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read_key(redis: Redis, key: bytes) -> bytes:
    readers: dict[bytes, Callable[[], Any]] = {
        b"string": lambda: redis.get(key),
        b"hash": lambda: redis.hgetall(key),
        b"list": lambda: redis.lrange(key, 0, -1),
        b"set": lambda: redis.smembers(key),
        b"zset": lambda: redis.zrange(key, 0, -1),
        b"stream": lambda: redis.xrange(key),
        b"none": lambda: b"",  # It has expired since the keys were listed.
    }
    value = readers[to_bytes(redis.type(key))]()
    if isinstance(value, dict):  # RQ compresses what a job calls and returns
        value = {name: inflate(content) for name, content in value.items()}
    return repr(value).encode()


def inflate(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


@pytest.fixture
def server(
    sandbox: Sandbox,
    migrated: str,
    database_url: str,
    home: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Server, str, Callable[[], Any]]]:
    """Yield the server, its public address, and what starts its web server."""
    copy_database(migrated, database_url)
    with listen() as listener:
        url = get_url(listener)
        application = sandbox.clients.issue(
            name="ScaiWave",
            app_scope="GLOBAL",
            app_type="WEB",
            target="",
            scopes=SCOPES,
            redirect_uris=[url + CALLBACK_PATH],
        )
        environment = {
            "SCAIWAVE_SCAIKEY_URL": sandbox.url,
            "SCAIWAVE_SCAIKEY_CLIENT_ID": application.client_id,
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.clients.get_secret(application) or "",
            "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET": SECRET,
        }
        redis = use_redis(monkeypatch, redis_url, environment)
        running = Server(
            sandbox,
            RawDatabase(database_url),
            home,
            redis,
            application.client_id,
            environment,
        )
        yield (
            running,
            url,
            lambda: serve_site(
                listener, database_url, home, **environment, SCAIWAVE_REDIS_URL=redis_url
            ),
        )


def sign_in(url: str, person: str) -> FakeBrowser:
    browser = FakeBrowser(url)
    page = browser.click(browser.open("/admin/"), "Sign in with ScaiKey")
    assert browser.choose(page, sandbox_person=person).url.path == "/admin/"
    return browser


def leave_traces(server: Server, url: str, serve: Callable[[], Any], anna: str, bert: str) -> None:
    """Have the person in records of everything that records people."""
    directory = server.scaikey.directory
    directory.update_user(anna, display_name=FORMER_NAME, email=FORMER_EMAIL)
    for person in (anna, bert):
        directory.set_roles(person, ["super_admin"])
    server.run("sync")
    directory.update_user(anna, display_name=NAME, email=EMAIL, avatar_url=AVATAR)
    group = directory.add_group(get_tenant_of(server, anna), name="Travellers")
    directory.add_member(group, user_id=anna)
    token = server.scaikey.issue_token(
        sub=anna, aud=server.client_id, role="super_admin", email=EMAIL, name=NAME
    )
    server.run("sync", "--dry-run", token=token)
    server.run("sync", token=token)
    slug = server.database.rows(
        "SELECT t.slug FROM sw_tenants t JOIN sw_participants p ON p.tenant_id = t.id "
        f"WHERE p.scaikey_id = '{anna}'"
    )[0][0]
    server.run("role", "create", "--tenant", slug, "--slug", "guide", "--name", "Guide")
    server.run("role", "grant", "guide", "--tenant", slug, "--to", bert, token=token)
    make_rooms(server, slug, anna, token)
    server.run("doctor", codes=(0, 1, 2), token=token)
    plant_call(server.redis, "done", "identity_sync.jobs.full_sync")
    run_worker(**server.environment)
    plant_failed(server.redis, "failed")
    with serve():
        browser = sign_in(url, anna)
        assert NAME in browser.open(f"/admin/tenants/participant/?q={EMAIL}").text
        sign_in(url, bert)
        body = make_body("user.updated", anna)
        assert httpx.post(f"{url}{PATH}", content=body, headers=make_headers(body)).is_success
    run_worker(**server.environment)
    directory.remove_member(group, user_id=anna)
    server.run("sync")


def get_tenant_of(server: Server, person: str) -> str:
    people = list_people(server.scaikey)
    return next(get_tenant_id(each) for each in people if each["id"] == person)


def make_rooms(server: Server, slug: str, anna: str, token: str) -> None:
    """Let the person write in a room, which is exported and imported again by them."""
    server.run("manage", "seed_rooms", "--tenant", slug, "--events", "60", "--media", "2")
    sql = f"SELECT id FROM sw_participants WHERE scaikey_id = '{anna}'"
    with server.database.connected() as connection:
        connection.execute(f"UPDATE sw_events SET sender_id = ({sql})")
    room = server.database.rows("SELECT id FROM sw_rooms")[0][0]
    bundle = server.home.parent / "room.zip"
    server.run("room", "export", str(room), "--tenant", slug, "--output", str(bundle))
    creator = server.database.rows("SELECT creator_id FROM sw_rooms")[0][0]
    words = ("seeded", "--tenant", slug, "--as", str(creator), "--input", str(bundle))
    server.run("room", "import", *words, token=token)
    server.run("room", "search-index", token=token)


def test_success_nothing_remains_but_what_the_docs_list(
    server: tuple[Server, str, Callable[[], Any]],
) -> None:
    running, url, serve = server
    anna, bert = pick_two_people(running.scaikey)
    leave_traces(running, url, serve, anna, bert)
    before = {text: running.find(text) for text in (*ERASED, EMAIL, LOCAL_ID, anna)}
    assert all(before.values()), before
    assert "session" in before[EMAIL] & before[anna]
    running.scaikey.directory.remove_user(anna)
    running.run("sync")
    running.skip(anna)

    running.run("admin", "purge-participant", anna, "--yes")

    assert {text: running.find(text) for text in ERASED} == {text: set() for text in ERASED}
    assert {
        "ScaiKey ID": running.find(anna),
        "`@name` of the address": running.find(LOCAL_ID),
        "e-mail address of the person as an operator": running.find(EMAIL),
    } == KEPT
    sessions = [decode_session(data) for (data,) in running.database.rows(SESSIONS)]
    assert [bert.encode() in session for session in sessions] == [True]


SESSIONS = "SELECT session_data FROM django_session"

"""A server of an earlier release works after `migrate`: its data, settings, jobs and bundles.

The servers in `v0_1_0` and `v0_2_0` were made with that release (0.1.0 as it was before the plain
language), against its sandbox: a registration, two syncs, a local tenant that is suspended, limits,
a role granted to a person and a group, two keys, a policy, an administrator, four rooms with
attachments of which one was imported, a search index, and a queued sync. That of 0.2.0 also has a
session of its administrator, and one more job. In `v0_3_0` is what 0.3.0 backed up after it had
upgraded that of 0.2.0.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from scaiwave.sandbox import Sandbox
from tests.conftest import ON_POSTGRES
from tests.identity_sync.sync.helpers import list_people
from tests.queue_helpers import run_worker
from tests.scaiwave.cli_helpers import SCRIPT, ProcessResult, run_process
from tests.services.postgres import create_database
from tests.tools import NIGHTLY

pytestmark = [pytest.mark.once, pytest.mark.ci]
KIND = "postgresql" if ON_POSTGRES else "sqlite"
RELEASES = ("v0_1_0", "v0_2_0", "v0_3_0")
OLD_SCAIKEY = "http://127.0.0.1:8795"
SIZE: dict[str, Any] = {"seed": 2026, "partners": 2, "tenants": 4, "people": 80, "groups": 8}
"""The directory of the sandbox that the old server was synced with."""
PASSWORD = "upgrade-Test-1"
TENANT = "acme"


@dataclass(frozen=True)
class OldServer:
    """`environment` leads processes to the server, and `data` are the files it was made of.

    `backup` was made of the database before it was migrated.
    """

    data: Path
    backup: Path
    environment: dict[str, str]
    sandbox: Sandbox

    def run(self, *words: str) -> ProcessResult:
        return run_process([*SCRIPT, *words], **self.environment)

    def read(self, *words: str) -> Any:
        result = self.run(*words, "--json")
        assert result.code == 0, result.err
        return json.loads(result.out)


@pytest.fixture(scope="module", params=RELEASES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OldServer]:
    """Restore the server and migrate it. Nothing changes but the port of its ScaiKey."""
    data = Path(__file__).parent / request.param
    home = tmp_path_factory.mktemp("upgrade") / "home"
    home.mkdir(mode=0o700)
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(**SIZE))
        environment = {"SCAIWAVE_HOME": str(home)}
        url = f"sqlite:///{home}/scaiwave.sqlite3"
        if ON_POSTGRES:
            url = stack.enter_context(create_database(request.getfixturevalue("postgres_url")))
            environment["SCAIWAVE_DB_URL"] = url
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [name for name in os.environ if name.startswith("SCAIWAVE_")]:
            patch.delenv(name)
        is_backup = (data / f"backup-{KIND}.tar.gz").exists()
        archive = data / f"{'backup' if is_backup else 'home'}-{KIND}.tar.gz"
        with tarfile.open(archive) as files:
            files.extractall(home.parent if is_backup else home, filter="data")
        backup = home
        if is_backup:
            (backup,) = home.parent.glob("scaiwave-*")
            for name, copy in (("env", ".env"), ("secret-keys.env", "secret-keys.env")):
                shutil.copy(backup / "secrets" / name, home / copy)
        elif ON_POSTGRES:
            load_dump(data, url)
        settings = home / ".env"
        text = settings.read_text(encoding="utf-8")
        settings.write_text(text.replace(OLD_SCAIKEY, sandbox.url), encoding="utf-8")
        if is_backup:
            data = data.with_name("v0_2_0")
            server = OldServer(data, backup, environment, sandbox)
            words = ("--attachments", str(home / "media"), "--accept-unsigned", "--no-migrate")
            restored = server.read("admin", "restore", str(backup), "--into", url, *words)
            assert (restored["is_migrated"], restored["checks"]) == (False, [])
        else:
            server = OldServer(data, backup, environment, sandbox)
            made = server.read("admin", "backup", "--output", str(home.parent))
            server = replace(server, backup=Path(made["backup"]["directory"]))
        before = server.run("admin", "list-tenants")
        assert (before.code, "SW_DATABASE_UNMIGRATED" in before.err) == (2, True)
        migrated = server.run("manage", "migrate")
        assert migrated.code == 0, migrated.err
        if is_backup:
            activated = server.run("admin", "activate-restore", "--yes")
            assert activated.code == 0, activated.err
        yield server


@pytest.fixture(autouse=True)
def _only_settings_of_the_old_server(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unset what tests inherit. `database_url` makes them run on both databases."""
    for name in [name for name in os.environ if name.startswith("SCAIWAVE_")]:
        monkeypatch.delenv(name)


def load_dump(data: Path, url: str) -> None:
    import psycopg

    statements = gzip.decompress((data / "postgresql.sql.gz").read_bytes())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)


def count_rows(server: OldServer, sql: str) -> int:
    if ON_POSTGRES:
        import psycopg

        with psycopg.connect(server.environment["SCAIWAVE_DB_URL"]) as connection:
            row = connection.execute(sql.encode()).fetchone()
    else:
        path = Path(server.environment["SCAIWAVE_HOME"]) / "scaiwave.sqlite3"
        with closing(sqlite3.connect(path)) as connection:
            row = connection.execute(sql).fetchone()
    assert row is not None
    return int(row[0])


def test_success_migrations_are_complete(server: OldServer) -> None:
    assert server.run("manage", "migrate", "--check").code == 0
    assert server.run("manage", "check").code == 0
    differences = server.run("manage", "makemigrations", "--check", "--dry-run")
    assert differences.code == 0, differences.out


ROOMS = f"room list --tenant {TENANT}"


def read_ids(server: OldServer, words: str) -> set[str]:
    (rows,) = (value for value in server.read(*words.split()).values() if isinstance(value, list))
    return {row["id"] for row in rows}


def test_success_backup_from_before_the_migration(
    server: OldServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Restored and migrated, it is the server that was migrated in its place."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/copy.sqlite3"
        if ON_POSTGRES:
            url = stack.enter_context(create_database(request.getfixturevalue("postgres_url")))
        into = ("--into", url, "--accept-unsigned")
        restored = server.run("admin", "restore", str(server.backup), *into)
        # Its last sync was long ago.
        assert "restored into" in restored.out, restored.err
        copy = replace(server, environment={**server.environment, "SCAIWAVE_DB_URL": url})
        for words in ("admin list-tenants", f"admin list-participants --tenant {TENANT}", ROOMS):
            here, there = (read_ids(each, words) for each in (copy, server))
            assert here  # The other tests add to the server.
            assert here <= there
        assert copy.run("manage", "migrate", "--check").code == 0


def test_success_doctor_finds_the_server_healthy(server: OldServer) -> None:
    # It exits with 1: the last sync was long ago.
    checks = json.loads(server.run("doctor", "--json").out)["checks"]
    of_the_past = {"sync", "audit_seals", "retention"}  # the server was last used long ago
    failed = [
        check for check in checks if check["state"] == "fail" and check["check"] not in of_the_past
    ]
    assert failed == []
    states = {check["check"]: check["state"] for check in checks}
    assert [states[name] for name in ("migrations", "audit", "media", "scaikey")] == ["pass"] * 4
    assert states["keys"] in ("pass", "warn")  # The key is due for rotation in a year.


def test_success_directory_and_roles(server: OldServer) -> None:
    tenants = {row["slug"]: row for row in server.read("admin", "list-tenants")["tenants"]}
    assert len(tenants) == 5
    assert tenants["locally"]["status"] == "suspended"
    tenant = server.read("admin", "show-tenant", TENANT)["tenant"]
    assert tenant["limits"]["rooms"]["limit"] == 50
    assert tenant["limits"]["storage_bytes"]["limit"] == 100 * 2**20
    assert tenant["features"] == {"beta": True}
    people = server.read("admin", "list-participants", "--tenant", TENANT)["participants"]
    assert len(people) > 9
    roles = {row["slug"]: row for row in server.read("role", "list", "--tenant", TENANT)["roles"]}
    assert "moderators" in roles


def test_success_federation(server: OldServer) -> None:
    keys = server.read("admin", "federation", "key", "list")["keys"]
    assert len(keys) == 2
    assert server.run("admin", "federation", "key", "check").code == 0
    policy = server.read("admin", "federation", "policy", "show")["policy"]
    assert (policy["default_mode"], policy["allowed_peers"]) == (
        "invite_only",
        ["peer.example.org"],
    )


def test_success_history(server: OldServer) -> None:
    entries = server.read("admin", "audit", "--limit", "100")["audit_entries"]
    actions = [entry["action"] for entry in entries]
    assert {"create-tenant", "suspend-tenant", "import-room", "register"} <= set(actions)
    runs = server.read("sync", "runs")["runs"]
    first = server.read("sync", "show-run", runs[-1]["run_id"])["run"]
    assert first["kinds"]["participants"]["added"] == 80
    status = server.run("sync", "status", "--json")
    assert status.code in (0, 1)  # 1 because the last sync of the old server is long ago
    assert json.loads(status.out)["registration"]["state"] == "APPROVED"


READING = (
    "admin list-partners", "admin list-groups --tenant acme", "admin list-administrators",
    "admin show-tenant locally", "admin federation descriptor",
    "role show moderators --tenant acme", "room list --tenant acme",
    "room workspaces --tenant acme", "room search project --tenant acme",
    "sync show-config", "sync export-env", "sync show-run last",
)  # fmt: skip


def test_success_commands_that_read(server: OldServer) -> None:
    results = {words: server.run(*words.split()) for words in READING}
    assert {words: result.err for words, result in results.items() if result.code} == {}


OPEN_ADMIN_SITE = """
import django; django.setup()
from django.test import Client
from django.test.utils import setup_test_environment
from tenants.models import AdminUser
from tests.scaiwave.site.addresses import iter_addresses
setup_test_environment()
client = Client()
client.force_login(
    AdminUser.objects.get(username="root"), "django.contrib.auth.backends.ModelBackend"
)
addresses = [address.url for address in iter_addresses(client, with_orders=False)]
print(len(addresses), [url for url in addresses if client.get(url).status_code != 200])
"""


def test_success_pages_of_the_admin_site(server: OldServer, request: pytest.FixtureRequest) -> None:
    """The last release has the rows of the one before it. Those of each are opened at night."""
    if not NIGHTLY and request.node.callspec.params["server"] != RELEASES[-1]:
        pytest.skip("SCAIWAVE_TEST_NIGHTLY is not set.")
    full = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings", "SCAIWAVE_PROFILE": "full"}
    done = run_process([sys.executable, "-c", OPEN_ADMIN_SITE], **full, **server.environment)
    count, _, failed = done.out.partition(" ")
    assert failed == "[]\n", done.err
    assert int(count) > 100


def test_success_the_administrator_keeps_the_role(server: OldServer) -> None:
    administrators = server.read("admin", "list-administrators")["administrators"]
    assert [each["role"] for each in administrators] == ["administrator"]


def test_success_search(server: OldServer) -> None:
    documents = count_rows(server, "SELECT count(*) FROM sw_search_documents")
    assert documents > 50
    plan = server.read("room", "search-index", "--dry-run")
    assert all(row["missing"] == row["stale"] == 0 for row in plan["tenants"])


def test_success_a_full_sync_changes_nothing_but_what_changed(server: OldServer) -> None:
    first = server.read("sync")
    assert first["outcome"] == "applied"
    assert not [row for row in first["kinds"].values() if row["unchanged"] != row["seen"]]
    person = list_people(server.sandbox)[0]
    server.sandbox.directory.update_user(person["id"], display_name="Renamed")
    second = server.read("sync")
    assert second["outcome"] == "applied"
    assert second["kinds"]["participants"]["unchanged"] == SIZE["people"] - 1


def test_success_rooms_are_exported_and_bundles_imported(server: OldServer, tmp_path: Path) -> None:
    rooms = server.read("room", "list", "--tenant", TENANT)["rooms"]
    assert len(rooms) == 4
    path = tmp_path / "room.zip"
    exported = server.run(
        "room", "export", rooms[0]["id"], "--tenant", TENANT, "--output", str(path)
    )
    assert exported.code == 0, exported.err
    workspace = server.read("room", "workspaces", "--tenant", TENANT)["workspaces"][0]
    importer = workspace["importers"][0]["id"]
    for bundle in (path, server.data / f"room-{KIND}.zip"):
        report = server.read("room", "verify", str(bundle))
        assert report["signature"]["status"] == "valid"
        done = server.read(
            "room", "import", workspace["slug"], "--tenant", TENANT, "--as", importer,
            "--input", str(bundle),
        )  # fmt: skip
        assert done["changed"] is True
    assert len(server.read("room", "list", "--tenant", TENANT)["rooms"]) == 6


def test_success_the_administrator_signs_in_with_the_old_password(server: OldServer) -> None:
    program = (
        "import django; django.setup(); from django.contrib.auth import authenticate; "
        "from django.test import RequestFactory; "
        f"print(authenticate(RequestFactory().get('/'), username='root', password={PASSWORD!r}))"
    )
    full = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings", "SCAIWAVE_PROFILE": "full"}
    done = run_process([sys.executable, "-c", program], **full, **server.environment)
    assert done.out == "root\n", done.err


OPEN_WITH_OLD_SESSION = """
import django, sys; django.setup()
from django.conf import settings
from django.test import Client
from django.test.utils import setup_test_environment
setup_test_environment()
client = Client()
client.cookies[settings.SESSION_COOKIE_NAME] = sys.argv[1]
print(client.get("/admin/").status_code)
"""


def test_success_the_administrator_signs_in_again(server: OldServer) -> None:
    """Earlier releases stored the keys of sessions, with which a backup opened the site."""
    path = server.data / f"session-{KIND}.txt"
    if not path.exists():
        pytest.skip("The server of 0.1.0 was made without a session.")
    full = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings", "SCAIWAVE_PROFILE": "full"}
    key = path.read_text().strip()
    command = [sys.executable, "-c", OPEN_WITH_OLD_SESSION, key]
    done = run_process(command, **full, **server.environment)
    assert done.out == "302\n", done.err
    stored = "SELECT count(*) FROM django_session WHERE session_key = "
    assert count_rows(server, f"{stored}'{key}'") == 0


@pytest.mark.redis
def test_success_queued_jobs_of_the_old_release(server: OldServer, redis_url: str) -> None:
    """Those of 0.1.0 are refused; those of 0.2.0 run."""
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    jobs = load_queue(server.data, redis)
    log = run_worker(**server.environment, SCAIWAVE_REDIS_URL=redis_url)
    is_refused = server.data.name == "v0_1_0"
    for job in jobs:
        assert job in log
        assert redis.exists(f"rq:job:{job}") == is_refused
    assert ("SW_JOB_REFUSED" in log) is is_refused
    assert is_refused or log.count("Job completed") == len(jobs) == 2
    assert redis.llen("rq:queue:default") == 0


@pytest.mark.redis
def test_success_queued_jobs_of_0_3(server: OldServer, redis_url: str) -> None:
    """A failed one, one of a killed worker, and requests of which this server has no rows."""
    environment = {**server.environment, "SCAIWAVE_REDIS_URL": redis_url}
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    load_queue(Path(__file__).parent / "v0_3_0", redis)
    jobs = json.loads(run_process([*SCRIPT, "jobs", "list", "--json"], **environment).out)["jobs"]
    found = {job["name"]: (job["state"], job["attempts"], job["error"]) for job in jobs}
    error = found.pop("full_sync")
    assert error[:2] == ("failed", 1)
    assert error[2]["message"] == "The process of the job ended by signal 9."
    assert found == {
        "prune_records": ("running", None, None),
        "run_requested_sync": ("waiting", None, None),
        "run_tenant_task": ("waiting", None, None),
    }
    retried = run_process([*SCRIPT, "jobs", "retry", "full_sync_of_0_3_0"], **environment)
    assert retried.code == 0, retried.err
    log = run_worker(**environment)
    assert "Job failed: prune_records (prune_records_of_0_3_0): The worker was killed" in log
    for name in ("full_sync", "run_requested_sync", "run_tenant_task"):
        assert f"Job started: {name} ({name}_of_0_3_0)." in log
    assert "SW_JOB_REFUSED" not in log
    assert "Traceback" not in log
    redis.flushdb()


def load_queue(data: Path, redis: Redis) -> list[str]:
    """Return the IDs of the jobs that wait."""
    ids = []
    for key, value in json.loads((data / "queue.json").read_text(encoding="utf-8")).items():
        match value:
            case {"hash": fields}:
                mapping: Any = {name: base64.b64decode(text) for name, text in fields.items()}
                redis.hset(key, mapping=mapping)
            case {"list": items}:
                waiting = [base64.b64decode(item).decode() for item in items]
                ids += waiting
                redis.rpush(key, *waiting)
            case {"set": items}:
                redis.sadd(key, *map(base64.b64decode, items))
            case {"zset": scores}:
                redis.zadd(key, scores)
            case {"string": text}:
                redis.set(key, base64.b64decode(text))
            case _:
                raise AssertionError(value)
    return ids

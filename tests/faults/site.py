"""A server whose connections to PostgreSQL, Redis, S3 and ScaiKey can be made to fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from redis import Redis

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.registrations import Registrations
from tests.databases import RawDatabase, copy_database
from tests.identity_sync.sync.helpers import list_people
from tests.rooms.bucket.environment import Bucket, make_bundle
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, ProcessResult
from tests.services.faulty_proxy import FaultyProxy
from tests.services.postgres import create_database
from tests.settings_env import own_settings

POSTGRESQL, REDIS, S3, SCAIKEY = "postgresql", "redis", "s3", "scaikey"
JOB_PREFIX = b"rq:job:"
TIMEOUT_SECONDS = 120
SECONDS_UNTIL_RELEASED = 10
MEDIA_BYTES = 300_000
MAX_AGE = timedelta(minutes=10)
"""Less than two intervals of the sync, after which it is overdue."""
ENDED_DAYS = 2
"""Days of the audit log that have ended and are not sealed."""
_MASKS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"[0-9a-f]{32,64}"), "HEX"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[-+]\d\d:\d\d)"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DAY"),
    (re.compile(r"[\w+/-]{43,}=*"), "KEY"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"\b(?:req|app)_[0-9a-f]{16}|\d+\.01\.29\.\.[0-9a-f]{12}"), "NAME"),
    (re.compile(r"\b\d+\.\d+\b|\b\d{6,}\b"), "NUMBER"),
    (re.compile(r'"(?:id|stream_position)": \d+'), "POSITION"),  # A rollback leaves a gap.
)


def mask(text: str) -> str:
    """Replace what differs each time: IDs, times, keys, ports, and the sizes of archives."""
    for pattern, name in _MASKS:
        text = pattern.sub(name, text)
    return text


@dataclass(frozen=True)
class State:
    """What a server has kept: rows by table, files by name, and what is in bucket and queue."""

    rows: dict[str, list[str]]
    files: dict[str, bytes]
    objects: dict[str, int]
    queue: list[str]

    def masked(self, ignored: AbstractSet[str]) -> dict[str, list[str]]:
        """Return it without IDs and times, to compare with that of another run."""
        objects = [f"{name}: {size} bytes" for name, size in self.objects.items()]
        parts = {**self.rows, "files": self.files, "objects": objects, "queue": self.queue}
        return {
            name: sorted(map(mask, part)) for name, part in parts.items() if name not in ignored
        }

    def find_differences(self, other: State, ignored: AbstractSet[str]) -> list[str]:
        """Return what is not exactly the same in another state of the same server."""
        ours, theirs = vars(self) | self.rows, vars(other) | other.rows
        names = ours.keys() - {"rows"} - ignored
        return [name for name in sorted(names) if ours[name] != theirs[name]]


class ProxiedSandbox(Sandbox):
    """A sandbox that all clients reach through a proxy, whose address its documents contain."""

    announced = ""

    @property
    def url(self) -> str:
        return self.announced or super().url


@dataclass
class Site:
    """A prepared server, to which `reset` returns. Its processes get `settings`.

    `target` is a database to restore into. `patience` is added to the URLs of both.
    """

    home: Path
    template: str
    url: str
    target: str
    bucket: Bucket
    redis: Redis
    redis_url: str
    sandbox: ProxiedSandbox
    bundle: Path
    proxies: dict[str, FaultyProxy] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    jobs: dict[bytes, bytes] = field(default_factory=dict)
    room: str = ""
    person: str = ""
    job: str = ""
    patience: str = ""
    prepared_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    @contextmanager
    def prepare(
        cls, directory: Path, urls: dict[str, str], migrated: str, sandbox: ProxiedSandbox
    ) -> Iterator[Site]:
        with ExitStack() as stack:
            template, url, target = (
                stack.enter_context(create_database(urls[POSTGRESQL])) for _ in "abc"
            )
            copy_database(migrated, template)
            bucket = Bucket.create(urls[S3])
            site = cls(
                home=directory / "home",
                template=template,
                url=template,
                target=target,
                bucket=bucket,
                redis=Redis.from_url(urls[REDIS]),
                redis_url=urls[REDIS],
                sandbox=sandbox,
                bundle=make_bundle(directory / "bundle.zip", *[MEDIA_BYTES] * 3),
            )
            site.proxies = {
                name: stack.enter_context(FaultyProxy.to_url(target))
                for name, target in {**urls, SCAIKEY: sandbox.url}.items()
            }
            sandbox.announced = f"http://127.0.0.1:{site.proxies[SCAIKEY].port}"
            site._fill()
            site.url = url
            yield site

    @property
    def is_outdated(self) -> bool:
        """Whether the last sync is soon overdue, or another day of the audit log has ended."""
        now = datetime.now(UTC)
        return now - self.prepared_at > MAX_AGE or now.date() != self.prepared_at.date()

    @property
    def backups(self) -> Path:
        return self.home.with_name("backups")

    def settings(self, via: str = "") -> dict[str, str]:
        """Return the settings of a process that reaches the server `via` through its proxy."""
        addresses = {
            "SCAIWAVE_DB_URL": self._reach(self.url, via),
            "SCAIWAVE_REDIS_URL": self.redis_url,
            "SCAIWAVE_S3_ENDPOINT": self.bucket.url,
            "SCAIWAVE_SCAIKEY_URL": self.sandbox.url,
        }
        if via == REDIS:
            port, number = self.proxies[via].port, urlsplit(self.redis_url).query.partition("=")[2]
            addresses["SCAIWAVE_REDIS_URL"] = f"redis://127.0.0.1:{port}/{number}"
        elif via == S3:
            addresses["SCAIWAVE_S3_ENDPOINT"] = f"http://127.0.0.1:{self.proxies[via].port}"
        return {
            **own_settings(self.home),
            **self.bucket.settings,
            **addresses,
            "SCAIWAVE_SCAIKEY_CLIENT_ID": self.sandbox.client_id,
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": self.sandbox.client_secret,
        }

    def _reach(self, url: str, via: str) -> str:
        if via != POSTGRESQL:
            return url
        port = self.proxies[via].port
        return f"postgres://scaiwave@127.0.0.1:{port}{urlsplit(url).path}{self.patience}"

    def run(self, words: str, *, via: str = "", **changes: str) -> ProcessResult:
        """Run a command, or a script of `scripts/`; a setting that is changed to "" is not set."""
        names = {
            "room": self.room,
            "person": self.person,
            "job": self.job,
            "bundle": self.bundle,
            "home": self.home,
            "backups": self.backups,
            "backup": min(self.backups.glob("scaiwave-*"), default=""),
            "target": self._reach(self.target, via),
        }
        command = words.format(**names).split()
        is_script = command[0].startswith("scripts/")
        given = {**self.settings(via), **changes}
        ended = subprocess.run(
            [sys.executable, *command] if is_script else [*SCRIPT, *command],
            env={**_get_environment(), **{name: text for name, text in given.items() if text}},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return ProcessResult(ended.returncode, ended.stdout, ended.stderr)

    def _run_ok(self, words: str) -> ProcessResult:
        ended = self.run(words)
        assert ended.code == 0, (words, ended)
        return ended

    def _fill(self) -> None:
        """Prepare what the commands work on; ScaiKey then changes, so that a sync has to follow."""
        self.home.mkdir(mode=0o700)
        self.redis.flushdb()
        self._run_ok("sync --quiet")
        self._run_ok("admin federation key generate")
        prepared = subprocess.run(
            [sys.executable, "-c", _PREPARE],
            env={
                **_get_environment(),
                **self.settings(),
                "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
            },
            cwd=CHECKOUT,
            check=False,
            capture_output=True,
        )
        assert prepared.returncode == 0, prepared.stderr.decode()
        answer = json.loads(prepared.stdout.splitlines()[-1])
        self.room, self.person = answer["room"], answer["person"]
        self._run_ok("scripts/backfill_search_index.py --execute")
        self.backups.mkdir()
        self._run_ok("admin backup --output {backups}")
        self.objects = self.bucket.files()
        self.jobs = {key: self.redis.dump(key) or b"" for key in self._list_keys()}
        (self.job,) = (key[len(JOB_PREFIX) :].decode() for key in self._list_jobs())
        people = [row for row in list_people(self.sandbox) if row["status"] == "ACTIVE"]
        self.sandbox.directory.update_user(people[0]["id"], display_name="Renamed")
        self.sandbox.directory.remove_user(people[1]["id"])

    def reset(self, *, with_jobs: bool) -> None:
        """Return to the prepared state; the queue is empty without `with_jobs`."""
        for proxy in self.proxies.values():
            proxy.expect(None)
        self._wait_until_released()
        copy_database(self.template, self.url)
        RawDatabase(self.target).execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        shutil.rmtree(self.home)
        self.home.mkdir(mode=0o700)
        for name in self.bucket.files().keys() - self.objects.keys():
            self.bucket.client.delete_object(Bucket=self.bucket.name, Key=name)
        self.redis.flushdb()
        for key, dump in self.jobs.items() if with_jobs else ():
            self.redis.restore(key, 0, dump)
        self.sandbox.registrations = Registrations(auto_approve=True)

    def read_state(self) -> State:
        """Read everything, once no connection of a command is left in the database."""
        self._wait_until_released()
        assert self.bucket.uploads() == []
        rows = _read_rows(self.url)
        rows |= {f"restored {name}": part for name, part in _read_rows(self.target).items()}
        return State(rows, self._read_files(), self.bucket.files(), self._read_queue())

    def _wait_until_released(self) -> None:
        """Wait until PostgreSQL has noticed that clients are gone, and has released their locks."""
        names = tuple(urlsplit(url).path.removeprefix("/") for url in (self.url, self.target))
        deadline = time.monotonic() + SECONDS_UNTIL_RELEASED
        database = RawDatabase(self.template)
        while database.rows(f"SELECT 1 FROM pg_stat_activity WHERE datname IN {names}"):
            assert time.monotonic() < deadline, "A connection is left."
            time.sleep(0.01)

    def age_taken_jobs(self) -> bool:
        """Let the minute pass after which workers put back what was taken and never started."""
        taken = list(self.redis.scan_iter("rq:queue:*:intermediate"))
        for key in taken:
            queue = key.split(b":")[2]
            for job_id in self.redis.lrange(key, 0, -1):
                self.redis.set(key + b":first_seen:" + job_id, time.time() - 61)
            self.redis.delete(b"rq:clean_registries:" + queue)
        return bool(taken)

    def has_waiting_jobs(self) -> bool:
        """Return whether a worker that runs until nothing waits has ended before it saw a job."""
        return next(self.redis.scan_iter("rq:queue:*", _type="list"), None) is not None

    def _read_files(self) -> dict[str, bytes]:
        paths = (path for path in self.home.rglob("*") if path.is_file())
        return {str(path.relative_to(self.home)): path.read_bytes() for path in paths}

    def _read_queue(self) -> list[str]:
        """Return the function of each job, and its state."""
        jobs = (self.redis.hmget(key, "description", "status") for key in self._list_jobs())
        return sorted(f"{function!r} {status!r}" for function, status in jobs)

    def _list_keys(self) -> list[bytes]:
        return [key for key in self.redis.scan_iter() if isinstance(key, bytes)]

    def _list_jobs(self) -> list[bytes]:
        return [key for key in self._list_keys() if key.startswith(JOB_PREFIX)]


def _read_rows(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            )
        ]
        union = " UNION ALL ".join(
            f"SELECT '{table}', to_jsonb(row)::text FROM {table} row" for table in tables
        )
        rows: dict[str, list[str]] = {table: [] for table in tables}
        for table, row in connection.execute(f"{union} ORDER BY 1, 2".encode()) if tables else ():
            rows[table].append(row)
    return rows


def _get_environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("SCAIWAVE_")}


_PREPARE = """
import django
django.setup()
from tests.faults.site import fill_database
fill_database()
"""


def fill_database() -> None:
    """Run in a process of the server: add a room with attachments, a role and old audit entries."""
    from django.core.management import call_command

    from rooms.models import Room
    from tenants.models import Tenant
    from tests.rooms.imports.factories import make_home
    from tests.tenants.audit.seals import make_entry
    from tests.tenants.role_factories import make_role

    call_command(
        "seed_rooms", tenant="lab", events=200, media=3, media_bytes=MEDIA_BYTES, verbosity=0
    )
    home = make_home("harbour")
    make_role(home.tenant)
    today = datetime.now(UTC).date()
    for days in range(1, ENDED_DAYS + 1):
        make_entry(today - timedelta(days=days))
    room = Room.objects.get(tenant=Tenant.objects.get(slug="lab"))
    sys.stdout.write(json.dumps({"room": str(room.pk), "person": str(home.anna.pk)}) + "\n")

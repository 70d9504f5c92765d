"""A database that a later release has migrated is noticed by every command that uses it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext

from scaiwave import __version__
from scaiwave.core.errors import DatabaseNewer
from scaiwave.storage.schema_version import (
    OWN_APPS,
    is_served_by_later_schema,
    known_schema_required,
    require_known_schema,
)
from tenants.models import SchemaState
from tests.databases import RawDatabase, copy_database
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.web_process import build_environment, listen, run_gunicorn

SERVES_LATER = "UPDATE sw_schema SET oldest_served = '0.5.0'"
LATER = "INSERT INTO django_migrations (app, name, applied) VALUES ('{}', '{}', '2027-01-01')"


def apply_later(app: str = "rooms", name: str = "0099_later") -> None:
    with connection.cursor() as cursor:
        cursor.execute(LATER.format(app, name))


@pytest.mark.django_db
def test_success_own_applications_with_tables() -> None:
    local = {
        config.label for config in apps.get_app_configs() if "site-packages" not in config.path
    }
    with_migrations = MigrationLoader(connection).migrated_apps & local
    assert with_migrations == set(OWN_APPS)


@pytest.mark.django_db
def test_success_one_query_and_other_applications_do_not_count() -> None:
    apply_later("django_rq", "0099_later")
    apply_later("auth", "0099_later")
    with CaptureQueriesContext(connection) as queries:
        require_known_schema(connection)
    assert len(queries) == 1


@pytest.mark.django_db
def test_fail_unknown_migrations() -> None:
    SchemaState.objects.all().delete()
    for number in range(96, 100):  # One more than the message lists.
        apply_later("tenants", f"00{number}_later")
    with pytest.raises(DatabaseNewer) as caught:
        require_known_schema(connection)
    assert (
        "does not know tenants.0096_later, tenants.0097_later, tenants.0098_later and 1 more"
        in (caught.value.message)
    )


def test_success_without_the_database_nothing_is_checked() -> None:
    before = connection.connection
    with known_schema_required():
        assert connection.connection is before


def test_success_a_database_without_migrations() -> None:
    attempts = []

    def fail(sql: str, *args: Any) -> None:
        from django.db import OperationalError

        attempts.append(sql)
        raise OperationalError("no such table: django_migrations")

    cursor = SimpleNamespace(execute=fail, close=lambda: None)
    require_known_schema(SimpleNamespace(cursor=lambda: closing(cursor)))  # type: ignore[arg-type]
    assert len(attempts) == 1


def test_fail_commands(database_url: str, migrated: str) -> None:
    copy_database(migrated, database_url)
    database = RawDatabase(database_url)
    database.execute(LATER.format("rooms", "0099_later"))
    database.execute(SERVES_LATER)
    for words in (
        ("admin", "list-tenants"),
        ("admin", "create-tenant", "--local", "--slug", "new", "--name", "New"),
        ("manage", "migrate"),
    ):
        ended = run_scaiwave(*words)
        assert (ended.code, ended.out) == (2, "")
        assert (
            "does not know rooms.0099_later. No changes were made. [SW_DATABASE_NEWER]" in ended.err
        )
    report = json.loads(run_scaiwave("doctor", "--json").out)
    (finding,) = [check for check in report["checks"] if check["state"] == "fail"][:1]
    assert (finding["check"], finding["code"]) == ("database", "SW_DATABASE_NEWER")
    # What needs no database, and what shows its state, still works.
    assert run_scaiwave("sync", "show-config").code == 0
    assert "[X] 0001_initial" in run_scaiwave("manage", "showmigrations", "rooms").out


def test_success_a_later_schema_that_serves_this_release(database_url: str, migrated: str) -> None:
    """As after the upgrade of another host: a new column, and a new table."""
    copy_database(migrated, database_url)
    database = RawDatabase(database_url)
    database.execute(LATER.format("tenants", "0099_later"))
    database.execute("ALTER TABLE sw_tenants ADD COLUMN later varchar(10) NULL")
    database.execute("CREATE TABLE sw_later (id integer PRIMARY KEY, later text)")
    create = ("admin", "create-tenant", "--local", "--slug", "new", "--name", "New")
    assert run_scaiwave(*create).code == 0
    assert "new" in run_scaiwave("admin", "list-tenants").out
    checks = json.loads(run_scaiwave("doctor", "--json").out)["checks"]
    (finding,) = [check for check in checks if check["check"] == "migrations"]
    assert (finding["state"], finding["message"]) == (
        "warn",
        f"A later release has migrated the database. It still serves this one, {__version__}.",
    )
    # What must know every table.
    for words in (
        ("manage", "migrate"),
        ("admin", "purge-participant", "@a:b.example", "--tenant", "new", "--yes"),
        ("admin", "erase-tenant", "new", "--without-export", "--plan", "plan"),
        ("admin", "export-tenant", "new", "--output-dir", "directory"),
    ):
        ended = run_scaiwave(*words)
        assert (ended.code, "[SW_DATABASE_NEWER]" in ended.err) == (2, True), ended


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("served", "is_served"),
    [("0.4.0", True), ("0.4.0.dev0", True), ("0.3.9", True), ("0.4.1", False), ("0.10.0", False)],
)
def test_success_oldest_release_served(
    served: str, is_served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.storage.schema_version.__version__", "0.4.0.dev0")
    assert not is_served_by_later_schema(connection)
    apply_later()
    SchemaState.objects.update_or_create(number=1, defaults={"oldest_served": served})
    assert is_served_by_later_schema(connection) is is_served
    SchemaState.objects.all().delete()
    assert not is_served_by_later_schema(connection)


def remove_last_migration(database: RawDatabase) -> tuple[str, str]:
    """Return its application and name."""
    last = "SELECT max(name) FROM django_migrations WHERE app = 'rooms'"
    ((name,),) = database.rows(last)
    database.execute(f"DELETE FROM django_migrations WHERE app = 'rooms' AND name = '{name}'")
    return "rooms", name


def test_fail_processes_of_the_web_server(database_url: str, migrated: str) -> None:
    """It starts commands by the names that Django has for them."""
    copy_database(migrated, database_url)
    remove_last_migration(RawDatabase(database_url))
    for words in (
        ("process_webhooks",),
        ("run_job", "identity_sync.jobs.run_requested_sync", str(uuid4())),
        ("run_job", "rooms.jobs.run_tenant_task", str(uuid4())),
        ("list_tenants",),
    ):
        ended = run_scaiwave("manage", *words)
        assert (ended.code, ended.out) == (2, ""), ended
        assert "is not migrated to this version. [SW_DATABASE_UNMIGRATED]" in ended.err


def test_fail_the_web_server_until_it_is_migrated(
    database_url: str, migrated: str, home: Path
) -> None:
    copy_database(migrated, database_url)
    database = RawDatabase(database_url)
    removed = remove_last_migration(database)
    with (
        listen() as listener,
        run_gunicorn(listener, build_environment(database_url, home), home / "log"),
        httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client,
    ):
        page = client.get("/admin/login/")
        assert (page.status_code, page.headers["Retry-After"]) == (503, "30")
        assert "SW_DATABASE_UNMIGRATED" in page.text
        assert "Run `scaiwave manage migrate`, then try again." in page.text
        for path in ("/health", "/health/ready"):
            health = client.get(path)
            assert health.status_code == 503
            assert health.json()["checks"]["database"] == "unmigrated"
        assert client.get("/health/live").status_code == 200
        api = client.post("/v1/webhooks/scaikey", content=b"{}")
        assert (api.status_code, api.json()["error"]["code"]) == (503, "SW_DATABASE_UNMIGRATED")
        database.execute(LATER.format(*removed))
        assert client.get("/admin/login/").status_code == 200
        assert client.get("/health").json()["checks"]["database"] == "ok"
        # Each process looks until it is migrated, and never again.
        remove_last_migration(database)
        assert client.get("/admin/login/").status_code == 200


def test_fail_older_schema(database_url: str, migrated: str) -> None:
    """Also of commands whose tables have not changed since."""
    copy_database(migrated, database_url)
    remove_last_migration(RawDatabase(database_url))
    for words in (
        ("admin", "list-tenants"),
        ("admin", "create-tenant", "--local", "--slug", "new", "--name", "New"),
    ):
        ended = run_scaiwave(*words)
        assert (ended.code, ended.out) == (2, ""), ended
        assert "is not migrated to this version. [SW_DATABASE_UNMIGRATED]" in ended.err
    report = json.loads(run_scaiwave("doctor", "--json").out)
    (finding,) = [check for check in report["checks"] if check["state"] == "fail"][:1]
    assert (finding["check"], finding["code"]) == ("migrations", "SW_DATABASE_UNMIGRATED")
    assert run_scaiwave("manage", "migrate", "--check").code == 1

"""Backups of real servers, restored into real databases."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.scaiwave.cli_helpers import run_process, run_scaiwave
from tests.scaiwave.operations.backup.conftest import CREATE, BackupSite
from tests.scaiwave.operations.backup.test_hostile_backups import edit
from tests.test_json_output import match, read_page

TABLES = ("sw_events", "sw_rooms", "sw_media", "sw_participants", "sw_server_keys")

SIGN_IN = """
import django; django.setup()
from django.test import Client
from django.test.utils import setup_test_environment
from tenants.models import AdminUser
setup_test_environment()
form = {"username": "anna", "password": "correct horse battery"}
AdminUser.objects.create_superuser(**form)
client = Client()
client.post("/admin/login/", form)
print(client.session.session_key)
"""


def sign_in(site: BackupSite) -> list[str]:
    """Return the key of a session, and what the database has of it."""
    full = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings", "SCAIWAVE_PROFILE": "full"}
    done = run_process([sys.executable, "-c", SIGN_IN], **full)
    (row,) = site.rows("SELECT session_key, session_data FROM django_session")
    return [done.out.strip(), *row]


def delete_row(site: BackupSite) -> list[str]:
    """Return a text that SQLite's file still has, in a page that is not used."""
    text = "deleted" * 9
    with site.connected() as connection:
        if not site.is_postgres:
            connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(
            "INSERT INTO sw_counters (id, name, labels, value) "
            f"VALUES ('{1:032x}', '{text}', '{{}}', 1)"
        )
        connection.execute(f"DELETE FROM sw_counters WHERE name = '{text}'")
    return [text]


def read_archive(backup: Path) -> str:
    if (file := backup / "database.sqlite3").exists():
        return file.read_bytes().decode("latin-1")
    return subprocess.check_output(
        ["pg_restore", "--file=-", backup / "database.dump"], encoding="utf-8"
    )


def read(database: object, table: str) -> list[str]:
    return sorted(map(repr, database.rows(f"SELECT * FROM {table}")))  # type: ignore[attr-defined]


@pytest.mark.fresh_interpreter  # The migrations are applied, not repeated.
def test_success_round_trip(site: BackupSite, tmp_path: Path) -> None:
    unread = sign_in(site) + delete_row(site)
    assert all(len(text) >= 32 for text in unread)
    tenant = next((site.home / "media/tenant").iterdir())
    os.mkfifo(tenant / ("0" * 64))
    (tenant / ("1" * 64)).symlink_to(site.home / ".env")
    (tenant / "notes").touch()
    backup = site.back_up()
    assert not any(text in read_archive(backup) for text in unread)
    assert len(list(backup.glob("attachments/**/*"))) == 2 + len(["tenant", tenant])
    for path in (tenant / ("0" * 64), tenant / ("1" * 64), tenant / "notes"):
        path.unlink()
    assert {path.name for path in site.parent.iterdir()} == {backup.name}
    files = [path for path in backup.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert backup.stat().st_mode & 0o777 == 0o700
    secrets = (backup / "secrets/secret-keys.env").read_text()
    assert "SCAIWAVE_ENCRYPTION_KEYS=" in secrets
    assert (backup / "secrets/env").read_text() == "SCAIWAVE_LOG_LEVEL=WARNING\n"
    verified = site.verify(backup)
    assert verified.code == 0, verified.err
    assert "is intact" in verified.out

    media = tmp_path / "media"
    restored = site.restore(backup, "--attachments", str(media))
    assert restored.code == 0, restored.out + restored.err
    assert "\nHealthy" in restored.out
    assert "2 attachments copied." in restored.out
    for table in TABLES:
        assert read(site.restored, table) == read(site, table) != []
    kept = {path.name for path in (site.home / "media/tenant").glob("*/*")}
    assert {path.name for path in (media / "tenant").glob("*/*")} == kept
    actions = [row[0] for row in site.restored.rows("SELECT action FROM sw_audit_entries")]
    assert ("restore" in actions, "backup" in actions) == (True, False)
    assert site.rows("SELECT 1 FROM sw_audit_entries WHERE action = 'backup'") == [(1,)]
    assert site.rows("SELECT 1 FROM sw_restorations") == []
    assert site.restored.rows("SELECT 1 FROM django_session") == []


def test_success_restored_server_is_activated(site: BackupSite) -> None:
    """Then it is like any other server, and its own backup does not bring the mark back."""
    assert site.restore(site.back_up()).code == 0
    copy = {"SCAIWAVE_DB_URL": site.empty}
    refused = run_scaiwave("sync", **copy)
    assert (refused.code, "[SW_SERVER_RESTORED]" in refused.err) == (1, True)
    activated = site.run("activate-restore", "--yes", "--json", **copy)
    assert activated.code == 0, activated.err
    assert json.loads(activated.out)["changed"] is True
    assert "[SW_SERVER_RESTORED]" not in run_scaiwave("sync", **copy).err
    again = site.run("activate-restore", "--yes", **copy)
    assert again.out == "This server does not wait for an activation; nothing changed.\n"
    assert again.code == 0
    assert "[SW_DATABASE_NOT_EMPTY]" in site.restore(site.back_up()).err


def test_success_without_attachments(site: BackupSite) -> None:
    shutil.rmtree(site.home / "media")
    restored = site.restore(site.back_up(), "--dry-run")
    assert "The backup contains no attachments.\n" in restored.out


def test_success_backup_from_before_the_mark(site: BackupSite) -> None:
    """As of a server whose new release has not migrated it yet."""
    migrated = run_scaiwave("manage", "migrate", "tenants", "0017")
    assert migrated.code == 0, migrated.err
    restored = site.restore(site.back_up(), "--json")
    assert restored.code == 0, restored.out + restored.err
    assert match(json.loads(restored.out), read_page()["admin", "restore"])
    assert len(site.restored.rows("SELECT 1 FROM sw_restorations")) == 1


def test_success_without_secrets(site: BackupSite) -> None:
    backup = site.back_up("--no-secrets")
    assert not (backup / "secrets").exists()
    restored = site.restore(backup)
    assert restored.code == 0, restored.out + restored.err
    assert "2 attachments not copied: pass --attachments" in restored.out


def test_success_written_to_during_backup(site: BackupSite) -> None:
    """The counts of the manifest are of the same moment as the data."""
    stop = threading.Event()

    def write() -> None:
        with site.connected() as connection:
            number = 0
            while not stop.is_set():
                number += 1
                connection.execute(
                    "INSERT INTO sw_counters (id, name, labels, value) "
                    f"VALUES ('{number:032x}', 'n{number}', '{{}}', 1)"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backups = [site.back_up() for _ in range(2)]
    finally:
        stop.set()
        writer.join()
    manifests = [json.loads((path / "manifest.json").read_text()) for path in backups]
    first, second = (each["database"]["tables"]["sw_counters"]["rows"] for each in manifests)
    assert 0 < first < second
    for backup in backups:
        verified = site.verify(backup)
        assert verified.code == 0, verified.err


def test_success_dry_run_changes_nothing(site: BackupSite) -> None:
    backup = site.back_up()
    target = site.home / "restored"
    shown = site.restore(backup, "--dry-run", "--attachments", str(target))
    assert (shown.code, f"Would restore {backup.name} into " in shown.out) == (0, True), shown.err
    assert "Would copy 2 attachments.\n" in shown.out
    assert not target.exists()
    assert site.restore(backup).code == 0


def test_fail_database_with_data(site: BackupSite) -> None:
    backup = site.back_up()
    before = read(site, "sw_events")
    ended = site.run("restore", str(backup), "--into", site.url)
    assert (ended.code, "[SW_DATABASE_NOT_EMPTY]" in ended.err) == (1, True), ended.err
    assert read(site, "sw_events") == before
    if site.is_postgres:
        site.restored.execute("CREATE FUNCTION sw_own() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        ended = site.restore(backup)
        assert "is not empty: it contains sw_own(). Nothing was restored. [SW_DATABASE_NOT_E" in (
            ended.err
        )
        assert site.restored.rows("SELECT sw_own()") == [(1,)]


@pytest.mark.only_on("postgresql")
def test_success_other_schema(site: BackupSite) -> None:
    """Its name needs quotes."""
    target = urlsplit(site.empty).path[1:]
    site.restored.execute('CREATE SCHEMA "The suite"')
    site.execute(f'ALTER DATABASE {target} SET search_path = "The suite"')
    restored = site.restore(site.back_up())
    assert restored.code == 0, restored.err
    assert site.restored.rows("SELECT current_schema(), count(*) FROM sw_rooms") == [
        ("The suite", 1)
    ]


@pytest.mark.only_on("postgresql")
def test_fail_other_encoding(site: BackupSite) -> None:
    backup, name = site.back_up(), f"latin_{os.getpid()}"
    local = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    site.execute(f"CREATE DATABASE {name} {local}")
    url = urlsplit(site.empty)._replace(path=f"/{name}").geturl()
    ended = site.run("restore", str(backup), "--into", url)
    site.execute(f"DROP DATABASE {name}")
    assert (ended.code, ended.err) == (
        2,
        "Error: --into has the encoding LATIN1 instead of UTF8. [SW_DATABASE_UNREACHABLE]\n"
        f"  Fix: Check --into, and that the server runs. {CREATE}\n",
    )


@pytest.mark.only_on("sqlite")
def test_fail_journal_of_another_database(site: BackupSite, tmp_path: Path) -> None:
    backup = site.back_up()
    (tmp_path / "copy.sqlite3-wal").touch()
    ended = site.restore(backup)
    assert (ended.code, "[SW_DATABASE_NOT_EMPTY]" in ended.err) == (1, True), ended.err
    assert not (tmp_path / "copy.sqlite3").exists()


def test_fail_other_kind_of_database(site: BackupSite, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/x.sqlite3" if site.is_postgres else "postgres://localhost/x"
    backup = str(site.back_up())
    for url in (other, ""):
        ended = site.run("restore", backup, "--into", url)
        assert (ended.code, "[SW_USAGE]" in ended.err) == (2, True), ended.err


def test_fail_password_in_argument(site: BackupSite) -> None:
    backup = str(site.back_up())
    for rest in (":secret@localhost/x", "@localhost/x?sslpassword=secret"):
        ended = site.run("restore", backup, "--into", f"postgres://scaiwave{rest}")
        assert (ended.code, "contains a password" in ended.err) == (2, True), ended.err
        assert "secret" not in ended.err


def test_fail_of_a_later_release(site: BackupSite) -> None:
    backup = site.back_up()
    edit(backup, lambda each: each["database"]["migrations"].append("tenants.9999_later"))
    ended = site.restore(backup, "--accept-unsigned")
    assert (ended.code, "[SW_DATABASE_NEWER]" in ended.err) == (2, True), ended.err


@pytest.mark.only_on("sqlite")
def test_success_backup_is_read_with_sqlite_alone(site: BackupSite) -> None:
    backup = site.back_up()
    assert {path.name for path in backup.iterdir() if "sqlite" in path.name} == {"database.sqlite3"}
    with closing(sqlite3.connect(backup / "database.sqlite3")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)

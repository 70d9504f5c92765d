"""Restores by someone in a hurry, on another host, whose settings are not those of the backup."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from tests.databases import RawDatabase
from tests.queue_helpers import plant_call, run_worker
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.scaiwave.operations.backup.conftest import CREATE, BackupSite

MISSING_SECRETS = "Warning: The backup has no secrets/. Unless this host has the keys and the "
NOWHERE = "postgres://scaiwave@127.0.0.1:1/scaiwave"


def test_success_the_configured_database_is_the_empty_one(site: BackupSite) -> None:
    """Tenants that were erased after the backup are named, as far as this host knows."""
    backup, erasures = site.back_up(), site.home / "erasures"
    erasures.mkdir()
    for year in (2020, 2100):
        document = {"finished_at": f"{year}-01-01T00:00:00.000000Z"}
        (erasures / f"{year}.json").write_text(json.dumps(document))
    (erasures / "broken.json").write_text("{}")
    noted = site.name_signer(backup)
    restored = site.restore(backup, noted, SCAIWAVE_DB_URL=site.empty)
    assert restored.code == 0, restored.out + restored.err
    assert f"erase-tenant --again {erasures}/2100.json" in restored.err
    assert f"{erasures}/broken.json" in restored.err
    assert "2020.json" not in restored.err
    again = site.restore(backup, noted, SCAIWAVE_DB_URL=site.empty)
    assert (again.code, "[SW_DATABASE_NOT_EMPTY]" in again.err) == (1, True), again.err


def test_success_the_configured_database_does_not_exist(site: BackupSite, tmp_path: Path) -> None:
    backup = site.back_up()
    gone = NOWHERE if site.is_postgres else f"sqlite:///{tmp_path}/gone/x.sqlite3"
    restored = site.restore(backup, site.name_signer(backup), SCAIWAVE_DB_URL=gone)
    assert restored.code == 0, restored.out + restored.err
    assert not (tmp_path / "gone").exists()


def test_success_home_of_another_host(site: BackupSite, tmp_path: Path) -> None:
    """As the page says: the configuration and the keys come from the backup."""
    backup = site.back_up()
    home = tmp_path / "other"
    home.mkdir(mode=0o700)
    shutil.copy(backup / "secrets/secret-keys.env", home / "secret-keys.env")
    shutil.copy(backup / "secrets/env", home / ".env")
    if site.is_postgres:  # whose keys must be in the configuration
        with (home / ".env").open("a") as file:
            file.write((backup / "secrets/secret-keys.env").read_text())
    settings = {name: "" for name in os.environ if name.startswith("SCAIWAVE_")}
    settings |= {"SCAIWAVE_HOME": str(home), "SCAIWAVE_DB_URL": site.empty}
    media = home / "media"
    noted = site.name_signer(backup)
    restored = site.restore(backup, noted, "--attachments", str(media), **settings)
    assert restored.code == 0, restored.out + restored.err
    assert len(list(media.glob("tenant/*/*"))) == 2


def test_fail_home_without_the_keys(site: BackupSite, tmp_path: Path) -> None:
    """The data is restored from a copy without secrets, and the report names what is missing."""
    backup = site.back_up()
    shutil.rmtree(backup / "secrets")
    assert MISSING_SECRETS in site.verify(backup).err
    home = tmp_path / "other"
    home.mkdir(mode=0o700)
    settings = {"SCAIWAVE_HOME": str(home), "SCAIWAVE_ENCRYPTION_KEYS": ""}
    ended = site.restore(backup, site.name_signer(backup), **settings)
    assert ended.code == 2, ended.out + ended.err
    assert MISSING_SECRETS in ended.err
    assert "Traceback" not in ended.err
    assert site.restored.rows("SELECT 1 FROM sw_rooms")


def test_fail_interrupted_restore_is_repeated(site: BackupSite, tmp_path: Path) -> None:
    """Attachments that an interrupted restore has copied are replaced."""
    backup = site.back_up()
    media = tmp_path / "media"
    copied = next(backup.glob("attachments/tenant/*/*"))
    target = media / copied.relative_to(backup / "attachments")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"part")
    restored = site.restore(backup, "--attachments", str(media))
    assert restored.code == 0, restored.out + restored.err
    assert target.read_bytes() == copied.read_bytes()
    assert len(list(media.glob("tenant/*/*"))) == 2


@pytest.mark.parametrize("place", ["file", "below a file"])
def test_fail_media_directory_is_a_file(place: str, site: BackupSite, tmp_path: Path) -> None:
    backup = site.back_up()
    (tmp_path / "x").touch()
    media = tmp_path / "x" if place == "file" else tmp_path / "x/y"
    ended = site.restore(backup, "--attachments", str(media))
    assert (ended.code, "[SW_FILE_UNWRITABLE]" in ended.err) == (2, True), ended.err


BAD_URLS = ("sslmode=nonsense", "nonsense=1", "port=99999", "options=-c%20x%3D1")


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("end", BAD_URLS)
def test_fail_url(end: str, site: BackupSite) -> None:
    backup = site.back_up()
    url = f"{site.empty}&{end}"
    ended = site.run("restore", str(backup), "--into", url)
    assert ended.code == 2, ended.err
    assert "--into" in ended.err
    ended = site.verify(backup, "--server", url)
    assert ended.code == 2, ended.err
    assert "--server" in ended.err


@pytest.mark.only_on("postgresql")
def test_fail_role_may_not_create_tables(site: BackupSite) -> None:
    """Since PostgreSQL 15, only the owner of a database may."""
    backup = site.back_up()
    role = f"guest_{os.getpid()}"
    target = RawDatabase(site.empty)
    with target.connected() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
    ended = site.run("restore", str(backup), "--into", site.empty.replace("scaiwave@", f"{role}@"))
    with target.connected() as connection:
        connection.execute(f"DROP ROLE {role}")
    assert (ended.code, "[SW_DATABASE_UNREACHABLE]" in ended.err) == (2, True), ended.err
    assert "permission denied" in ended.err
    assert ended.err.endswith(f"  Fix: Check --into, and that the server runs. {CREATE}\n")


def test_fail_attachments_are_missing(site: BackupSite) -> None:
    """The media directory lacks a file, perhaps since a disk is not mounted."""
    path = next((site.home / "media").glob("tenant/*/*"))
    path.unlink()
    ended = site.run("backup", "--output", str(site.parent), "--json")
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)["backup"]
    assert facts["attachments_missing"] == [path.relative_to(site.home / "media").as_posix()]
    restored = site.restore(Path(facts["directory"]))
    assert restored.code == 0, restored.err
    assert "Warning: The media store lacked 1 attachment of the database: " in restored.err
    assert path.name in restored.err


def test_fail_directory_can_not_be_listed(site: BackupSite) -> None:
    directory = site.home / "media/tenant"
    shutil.rmtree(directory)
    directory.write_text("")
    ended = site.run("backup", "--output", str(site.parent))
    assert ended.code == 2, ended.err
    assert list(site.parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can be refused.")
def test_fail_root_on_a_server_of_another_user(site: BackupSite) -> None:
    """The service could not read the attachments that root writes."""
    backup = site.back_up()
    os.chown(site.home, 1, 1)
    ended = site.restore(backup)
    os.chown(site.home, 0, 0)
    assert (ended.code, "[SW_USAGE]" in ended.err) == (2, True), ended.err
    assert "Fix: Run the command as daemon." in ended.err


@pytest.mark.redis
def test_success_redis_has_jobs_of_the_lost_server(site: BackupSite, redis_url: str) -> None:
    """They wait for the activation, and what they name may no longer exist."""
    assert site.restore(site.back_up()).code == 0
    settings = {"SCAIWAVE_DB_URL": site.empty, "SCAIWAVE_REDIS_URL": redis_url}
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        jobs = {
            "requested": "identity_sync.jobs.run_requested_sync",
            "backfill": "rooms.jobs.backfill_search",
        }
        for name, function in jobs.items():
            plant_call(redis, name, function, str(uuid4()))
        refused = run_scaiwave("worker", "--burst", **settings)
        assert (refused.code, "[SW_SERVER_RESTORED]" in refused.err) == (1, True)
        assert redis.llen("rq:queue:default") == len(jobs)
        assert site.run("activate-restore", "--yes", **settings).code == 0
        log = run_worker(**settings)
        assert "Traceback" not in log
        assert redis.llen("rq:queue:default") == 0

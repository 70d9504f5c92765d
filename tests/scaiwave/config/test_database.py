from __future__ import annotations

import stat
from pathlib import Path

import pytest

from scaiwave.config import load
from scaiwave.config.database import database_settings, get_redis_url, uses_sqlite
from scaiwave.core.errors import SettingInvalid
from tests.scaiwave.cli_helpers import run_scaiwave


def settings(home: Path, url: str) -> dict[str, object]:
    return database_settings(load({"SCAIWAVE_HOME": str(home), "SCAIWAVE_DB_URL": url}))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("", "{home}/scaiwave.sqlite3"),
        ("sqlite:////var/lib/x.sqlite3", "/var/lib/x.sqlite3"),
        ("sqlite:///x.sqlite3", "{home}/x.sqlite3"),
    ],
)
def test_success_sqlite(url: str, name: str, tmp_path: Path) -> None:
    found = settings(tmp_path, url)
    assert found["ENGINE"] == "scaiwave.storage.sqlite"
    assert found["NAME"] == name.format(home=tmp_path)
    assert uses_sqlite(load({"SCAIWAVE_HOME": str(tmp_path), "SCAIWAVE_DB_URL": url}))


def test_success_options_of_sqlite(tmp_path: Path) -> None:
    options = settings(tmp_path, "sqlite:///x.sqlite3?timeout=1")["OPTIONS"]
    assert isinstance(options, dict)
    assert options["timeout"] == 1
    assert options["transaction_mode"] == "IMMEDIATE"


def test_success_postgresql(tmp_path: Path) -> None:
    found = settings(tmp_path, "postgres://anna:p%2Fw%24rd@db.example:6432/chat?sslmode=require")
    assert (found["USER"], found["PASSWORD"]) == ("anna", "p/w$rd")
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example", 6432, "chat")
    assert settings(tmp_path, "postgres://a:x#y@host/name")["PASSWORD"] == "x#y"
    assert found["OPTIONS"] == {
        "connect_timeout": 5,
        "application_name": "scaiwave",
        "keepalives_idle": 15,
        "keepalives_interval": 7,
        "keepalives_count": 4,
        "tcp_user_timeout": 45_000,
        "sslmode": "require",
        "options": "-c jit=off",
    }


def test_success_options_of_an_url_are_added_to_ours(tmp_path: Path) -> None:
    url = "postgres://anna@db.example/chat?options=-c%20work_mem%3D64MB"
    options = settings(tmp_path, url)["OPTIONS"]
    assert isinstance(options, dict)
    assert options["options"] == "-c jit=off -c work_mem=64MB"


def test_success_a_web_server_waits_for_less_time(tmp_path: Path) -> None:
    """Also with the question whether a commit was saved, its answers take less than 15 s."""
    url = "postgres://anna@db.example/chat?tcp_user_timeout=9000"
    config = load({"SCAIWAVE_HOME": str(tmp_path), "SCAIWAVE_DB_URL": url})
    options = database_settings(config, is_web=True)["OPTIONS"]
    assert (options["keepalives_idle"], options["tcp_user_timeout"]) == (4, 9000)


def test_success_postgresql_on_a_unix_socket(tmp_path: Path) -> None:
    found = settings(tmp_path, "postgresql:////run/postgresql/chat")
    assert (found["HOST"], found["NAME"]) == ("/run/postgresql", "chat")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://user:s3cret@host/name",
        "postgres://user:s3cret@host",
        "postgres://user:s3cret@host/",
        "postgres://user:s3cret@host:port/name",
        "postgres://user:s3/cret@host/name",
        "postgres://user:12/s3cret@host/name",
        "postgres://user:s3cret@[::1/name",
        "sqlite://",
        "sqlite://:memory:",
        "sqlite:///",
        "sqlite://host/x.sqlite3",
    ],
)
def test_fail_url(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid) as caught:
        settings(tmp_path, url)
    assert caught.value.message == "SCAIWAVE_DB_URL is not a URL of PostgreSQL or SQLite."
    assert "s3" not in caught.value.fix


@pytest.mark.parametrize("url", ["", "redis://:pw@host:6379/0", "rediss://host", "unix:///x"])
def test_success_redis(url: str, tmp_path: Path) -> None:
    config = load({"SCAIWAVE_HOME": str(tmp_path), "SCAIWAVE_REDIS_URL": url})
    assert get_redis_url(config) == url


def test_fail_redis(tmp_path: Path) -> None:
    config = load({"SCAIWAVE_HOME": str(tmp_path), "SCAIWAVE_REDIS_URL": "http://:s3cret@host"})
    with pytest.raises(SettingInvalid) as caught:
        get_redis_url(config)
    assert caught.value.message == "SCAIWAVE_REDIS_URL is not the URL of a Redis server."
    assert "s3cret" not in caught.value.fix


def test_success_sqlite_file_is_private(home: Path) -> None:
    assert run_scaiwave("manage", "migrate", "contenttypes", "--verbosity", "0").code == 0
    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    assert made == {"scaiwave.sqlite3": 0o600}


def test_success_the_mode_of_an_existing_file_stays(home: Path) -> None:
    path = home / "scaiwave.sqlite3"
    path.touch(mode=0o640)
    assert run_scaiwave("manage", "migrate", "contenttypes", "--verbosity", "0").code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

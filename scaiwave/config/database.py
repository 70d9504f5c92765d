"""Database and Redis settings: SQLite in the home directory, or PostgreSQL by URL."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import environ

from scaiwave.config import Configuration
from scaiwave.core.errors import SettingInvalid
from scaiwave.core.files import translate_write_errors

DatabaseSettings = dict[str, Any]
"""A value of Django's DATABASES."""

POSTGRESQL = "scaiwave.storage.postgresql"
SQLITE = "scaiwave.storage.sqlite"

# Several commands may run at once: readers never wait (WAL), and a writer takes its lock when its
# transaction begins (IMMEDIATE), so it waits for other writers instead of failing later.
_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
_POSTGRESQL_OPTIONS = {"connect_timeout": 5, "application_name": "scaiwave"}
_PATIENCE_SECONDS, _WEB_PATIENCE_SECONDS = 15, 4
"""After this silence the server is asked for a response, which may take as long again. The kernel
ends a connection on which three times as long no packet is acknowledged."""


def uses_sqlite(config: Configuration) -> bool:
    return bool(database_settings(config)["ENGINE"] == SQLITE)


def database_settings(config: Configuration, *, is_web: bool = False) -> DatabaseSettings:
    """Return Django's settings of the database. Raises `SettingInvalid` for another scheme.

    A web server waits for less time, because people and monitors wait for its answers.
    """
    url = config.get_str("SCAIWAVE_DB_URL")
    if not url:
        return _sqlite_settings({"NAME": str(config.home / "scaiwave.sqlite3")})
    scheme = url.partition(":")[0]
    if scheme in {"postgres", "postgresql"}:
        patience = _WEB_PATIENCE_SECONDS if is_web else _PATIENCE_SECONDS
        parsed = _parse_url(url)
        keepalives = {
            "keepalives_idle": patience,
            "keepalives_interval": patience // 2,
            "keepalives_count": 4,
            "tcp_user_timeout": 3 * patience * 1000,
        }
        given = parsed.get("OPTIONS", {})
        # JIT compilation makes pages of the admin site up to ten times slower.
        run_time = f"-c jit=off {given.get('options', '')}".strip()
        options = {**_POSTGRESQL_OPTIONS, **keepalives, **given, "options": run_time}
        return {
            **parsed,
            "ENGINE": POSTGRESQL,
            "OPTIONS": options,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    if scheme == "sqlite" and url.startswith("sqlite:///"):
        parsed = _parse_url(url)
        # Relative to the home directory: cron and people start in different directories.
        return _sqlite_settings({**parsed, "NAME": str(config.home / parsed["NAME"])})
    raise _invalid_url_error()


def require_existing_file(settings: DatabaseSettings) -> None:
    """Make SQLite report a missing file; by default it creates an empty one when it is opened."""
    if settings["ENGINE"] == SQLITE:
        settings["OPTIONS"]["database"] = f"{Path(settings['NAME']).absolute().as_uri()}?mode=rw"


def is_missing_file(settings: DatabaseSettings) -> bool:
    """Whether the settings of `require_existing_file` name a file that does not exist."""
    return "database" in settings["OPTIONS"] and not Path(settings["NAME"]).exists()


def create_private_file(settings: DatabaseSettings) -> None:
    """Create SQLite's file with mode 0600; SQLite would let every user of the host read it.

    SQLite gives its other files the same mode. A symbolic link is followed. Raises `DiskFull` or
    `FileUnwritable`.
    """
    if settings["ENGINE"] != SQLITE:
        return
    path = Path(os.path.realpath(settings["NAME"]))
    with translate_write_errors(path), suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _parse_url(url: str) -> DatabaseSettings:
    try:
        parsed = dict(environ.Env.db_url_config(url))
    except ValueError:
        # The URL holds a password, so the error does not repeat it or the parser's message.
        raise _invalid_url_error() from None
    # An @ in the path is the end of a password with an unquoted slash.
    if not parsed["NAME"] or parsed["NAME"] == ":memory:" or "@" in parsed["NAME"]:
        raise _invalid_url_error()
    return parsed


def _invalid_url_error() -> SettingInvalid:
    return SettingInvalid(
        "SCAIWAVE_DB_URL is not a URL of PostgreSQL or SQLite.",
        fix="Write it as postgres://user:password@host:5432/name, with special characters in the "
        "password as %2F and so on, or leave it empty for SQLite.",
    )


def _sqlite_settings(parsed: DatabaseSettings) -> DatabaseSettings:
    options = {**_SQLITE_OPTIONS, **parsed.get("OPTIONS", {})}
    return {**parsed, "ENGINE": SQLITE, "OPTIONS": options}


def get_redis_url(config: Configuration) -> str:
    """Return the URL of Redis, or "" if it isn't set. Raises `SettingInvalid` for another URL."""
    url = config.get_str("SCAIWAVE_REDIS_URL")
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingInvalid(
            "SCAIWAVE_REDIS_URL is not the URL of a Redis server.",
            fix="Write it as redis://:password@host:6379/0, or leave it empty to do without.",
        )
    return url


@dataclass(frozen=True)
class RedisAddress:
    """How Redis is reached. `is_local` is true for this host, and for a socket."""

    host: str
    is_local: bool
    has_password: bool
    is_encrypted: bool


def parse_redis_address(url: str) -> RedisAddress | None:
    """Return None without a URL, and for one that is not valid."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or "localhost"
    except ValueError:
        return None
    if not parts.scheme:
        return None
    has_password = bool(parts.password or parse_qs(parts.query).get("password"))
    is_socket = parts.scheme == "unix"
    return RedisAddress(
        host=host,
        is_local=is_socket or is_loopback(host),
        has_password=has_password,
        is_encrypted=is_socket or parts.scheme == "rediss",
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address belongs to this host itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or bool(mapped and mapped.is_loopback)

"""The two secrets that every server needs, and the file with new ones.

With SQLite they are created in the home directory with the database, or on first use. With
PostgreSQL several hosts may share the data and so the secrets, which must therefore be configured.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from shlex import quote

from scaiwave.config import Configuration
from scaiwave.config.configuration import read_env_file
from scaiwave.config.database import uses_sqlite
from scaiwave.core.errors import DiskFull, FileUnwritable, SettingInvalid, SettingMissing
from scaiwave.core.files import DISK_FULL_ERRNOS, atomic_write

FILE_NAME = "secret-keys.env"


def get_secret_key(config: Configuration) -> str:
    """Return the key, which is created if needed."""
    return find_secret_key(config) or _create(config, "SCAIWAVE_SECRET_KEY")


def find_secret_key(config: Configuration) -> str:
    """Return the key, or "" if it was not created yet."""
    name = "SCAIWAVE_SECRET_KEY"
    return config.get_str(name) or _load(config, name) or ""


def describe_missing_secret_key(config: Configuration) -> SettingMissing:
    """Return the error of a server whose key is lost: its signatures can't be checked."""
    return SettingMissing(
        f"{config.home / FILE_NAME} does not exist, and SCAIWAVE_SECRET_KEY is not set.",
        fix="Restore the file from a backup. If it is lost, `scaiwave manage migrate` creates "
        "another; signatures of the old key, such as plans and sign-ins, are then invalid.",
    )


def get_encryption_keys(config: Configuration) -> list[str]:
    """Return the Fernet keys, newest first; one is created if needed."""
    return find_encryption_keys(config) or [_create(config, "SCAIWAVE_ENCRYPTION_KEYS")]


def find_encryption_keys(config: Configuration) -> list[str]:
    """Return the Fernet keys, newest first; none if they were not created yet."""
    name = "SCAIWAVE_ENCRYPTION_KEYS"
    if keys := config.get_list(name):
        return keys
    key = _load(config, name)
    return [key] if key else []


def require_own_files(config: Configuration) -> None:
    """Raise SettingInvalid for a file of secrets that another user owns or may change.

    Root may own it. Root may also read the file of the user who owns the home directory.
    """
    for path in list_secret_files(config):
        try:
            status, home = path.stat(), config.home.stat()
        except OSError:
            continue  # It does not exist, or reading it reports why.
        if not stat.S_ISREG(status.st_mode):
            continue
        owners = {0, os.geteuid()} | ({home.st_uid} if os.geteuid() == 0 else set())
        if status.st_uid not in owners:
            raise SettingInvalid(
                f"{path} contains secrets, and belongs to another user ({path.owner()}).",
                fix=f"Check its content, then run `chown {os.geteuid()} {quote(str(path))}` as "
                "root.",
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SettingInvalid(
                f"{path} contains secrets, and other users may change it.",
                fix=f"Check its content, then run `chmod 600 {quote(str(path))}`.",
            )


def list_secret_files(config: Configuration) -> tuple[Path, Path]:
    """Return the files with the secrets of this server; each may be missing."""
    return config.env_file, config.home / FILE_NAME


def _create(config: Configuration, name: str) -> str:
    # Write the file once, even if two processes start at the same time.
    path = config.home / FILE_NAME
    text = (
        "# Created on first use. Back it up with the database: without it private keys are lost.\n"
        f"SCAIWAVE_SECRET_KEY={secrets.token_urlsafe(48)}\n"
        f"SCAIWAVE_ENCRYPTION_KEYS={base64.urlsafe_b64encode(os.urandom(32)).decode()}\n"
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # FileExistsError: another process was first, and its secrets are as good.
        with suppress(FileExistsError), atomic_write(path, overwrite=False) as file:
            file.write(text.encode())
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFull(f"No space left to write {path}.") from None
        raise FileUnwritable(
            f"The home directory {path.parent} can't be written to: {error.strerror}.",
            fix="Make it writable for this user, or set SCAIWAVE_HOME to another directory.",
        ) from None
    return _load(config, name) or ""


def _load(config: Configuration, name: str) -> str | None:
    """Return a secret of the file, or None without a file. Raises SettingMissing and
    SettingInvalid."""
    if not uses_sqlite(config):
        raise SettingMissing(
            f"{name} is not set, which PostgreSQL installations need.",
            fix=f"Create a key with `openssl rand -base64 32 | tr '+/' '-_'` and set {name} to it, "
            "the same on each host.",
        )
    path = config.home / FILE_NAME
    if not path.exists():
        return None
    value = read_env_file(path).get(name)
    if not value:
        raise SettingInvalid(
            f"{path} has no {name}.",
            fix=f"Restore the file from a backup, or set {name}.",
        )
    return value

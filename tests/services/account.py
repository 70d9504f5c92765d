"""Who runs a server, and in which folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ServiceAbsent(Exception):
    """A server can't be had on this machine; the message says why and what to install."""


def reason(error: Exception) -> str:
    """Why a program can't be used, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


@dataclass(frozen=True)
class Account:
    """The user a server runs as.

    PostgreSQL refuses to run as root, so root hands it to a user without rights.
    """

    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def unprivileged(cls) -> Account:
        """Ourselves, or for root the user `postgres` or `nobody`."""
        if os.geteuid() != 0:
            return cls()
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls({"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []})
        raise ServiceAbsent(
            "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as."
        )

    def own(self, path: Path) -> None:
        if self.options:
            os.chown(path, self.options["user"], self.options["group"])

    def start(self, command: Sequence[str | Path], *, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=log.parent,
                env=_environment(log.parent),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self.options,
            )

    def run(self, command: Sequence[str | Path], *, folder: Path) -> str:
        """What the command prints. Raises `OSError` or `subprocess.CalledProcessError`."""
        finished: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=120,
            **self.options,
        )
        return finished.stdout


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the caller's: neither PG… settings nor a language for messages."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_MESSAGES": "C"}


def make_folder(account: Account) -> Path:
    """A folder only the account may enter, its name short: a socket's path holds 104 bytes.

    That rules out the temporary folder of macOS, so it is always made in /tmp.
    """
    folder = Path(tempfile.mkdtemp(prefix="sw-", dir="/tmp"))
    account.own(folder)
    return folder


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

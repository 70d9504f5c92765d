"""The user that runs a server, and the server's directory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.services import clock

DISK = Path("/tmp")  # noqa: S108 - each run creates its own directory in it
MEMORY = Path("/dev/shm")  # noqa: S108
"""Where Linux keeps files in memory: nothing waits for a disk, and a file costs a tenth."""
MIN_FREE_BYTES = 6 * 1024**3
"""All tests on one database write less than half of this."""
_PR_SET_PDEATHSIG = 1


class ServiceUnavailable(Exception):
    """A server can't be started on this host; the message has the reason, and what to install."""


def format_reason(error: Exception) -> str:
    """Describe in a few words why a program can't be used."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


@dataclass(frozen=True)
class ServiceUser:
    """The user a server runs as: the current one, unless `options` names another.

    PostgreSQL refuses to run as root, so root starts it as an unprivileged user.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    end_with_parent: bool = False

    @classmethod
    def choose_unprivileged(cls) -> ServiceUser:
        """Return the current user, or if that is root, the user `postgres` or `nobody`."""
        if os.geteuid() != 0:
            return cls()
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls({"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []})
        raise ServiceUnavailable(
            "PostgreSQL does not run as root, and this host has no user postgres or nobody."
        )

    def ending_with_parent(self) -> ServiceUser:
        """Let Linux kill what this process starts when it ends, even if it is killed itself.

        Only for a process with one thread.
        """
        return replace(self, end_with_parent=sys.platform == "linux")

    def take_ownership(self, path: Path) -> None:
        if self.options:
            os.chown(path, self.options["user"], self.options["group"])

    def start(self, command: Sequence[str | Path], *, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=log.parent,
                env=_build_environment(log.parent),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent if self.end_with_parent else None,  # noqa: PLW1509 - one thread
                **self.options,
            )

    def run(self, command: Sequence[str | Path], *, directory: Path) -> str:
        """Return the command's output. Raises `OSError` or `subprocess.CalledProcessError`."""
        finished: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            cwd=directory,
            env=_build_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=120,
            **self.options,
        )
        return finished.stdout


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _build_environment(directory: Path) -> dict[str, str]:
    """Return an environment without the caller's PG… settings and language."""
    own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory), "LC_MESSAGES": "C"}
    return {**own, **clock.get_variables()}


def choose_parent() -> Path:
    """Return where to create temporary directories: in memory if it has room, or else on disk.

    Both are short, since the path of a socket is limited to 104 bytes.
    """
    with contextlib.suppress(OSError):
        memory = os.statvfs(MEMORY)
        has_room = memory.f_bavail * memory.f_frsize >= MIN_FREE_BYTES
        if has_room and os.access(MEMORY, os.W_OK) and not memory.f_flag & os.ST_NOEXEC:
            return MEMORY
    return DISK


def make_directory(user: ServiceUser, parent: Path) -> Path:
    """Create a directory that only the user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="sw-", dir=parent))
    user.take_ownership(directory)
    return directory


def remove_directory(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)

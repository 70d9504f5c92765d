"""Fork Python processes from one that has imported their modules.

Importing Django and the suite takes most of the time of a process that runs one command, and tests
start hundreds. A forked process is a child of the test process, with its own ID, signals, session,
streams and exit code. Tests of the start itself have the marker `fresh_interpreter`.

Linux only; elsewhere, and for any option that is not known here, processes start as usual.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services import clock

_SERVER = Path(__file__).with_name("fork_server.py")
_CHECKOUT = str(Path(__file__).parents[1])
_PR_SET_CHILD_SUBREAPER = 36
_START_OPTIONS = ("PYTHON", "LANG", "LC_", "GLIBC_", "LD_", "FAKETIME")
"""Prefixes of variables that Python and the C library read when a process starts."""
_LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_AS, resource.RLIMIT_NOFILE)

_start = subprocess.Popen._execute_child  # type: ignore[attr-defined]


class ForkServer:
    """Forks processes. It ends with the process that has started it.

    `recordings` is the directory of `tests.recorded_migrations`, if it is used.
    """

    def __init__(self, recordings: Path | None) -> None:
        self._state = _get_inherited_state(os.environ)
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(theirs.fileno()), str(recordings or "")],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        assert self._connection.recv(16) == b"ready", "The fork server did not start."

    def close(self) -> None:
        self._connection.close()
        self._process.wait()

    def can_fork(self, environment: dict[str, str]) -> bool:
        """Return whether a process with this environment would start as the server has."""
        return _get_inherited_state(environment) == self._state

    def fork(self, descriptors: dict[int, int], **request: Any) -> int:
        """Return the ID of a new child of this process.

        `descriptors` are those of this process, by the numbers that they get in the child.
        """
        message = json.dumps({**request, "descriptors": list(descriptors)}).encode()
        with _adopting():
            socket.send_fds(self._connection, [message], list(descriptors.values()))
            answer = self._connection.recv(32)
        assert answer, "The fork server has ended."
        return int(answer)


def _get_inherited_state(environment: dict[str, str] | os._Environ[str]) -> tuple[Any, ...]:
    """Return what a process gets at its start and that the server can't change later."""
    options = {name: text for name, text in environment.items() if name.startswith(_START_OPTIONS)}
    options.pop("PYTHONDONTWRITEBYTECODE", None)  # The forked process applies these two itself.
    if options.get("PYTHONPATH") == _CHECKOUT:
        del options["PYTHONPATH"]
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    umask = next(line for line in status.splitlines() if line.startswith("Umask:"))
    return options, umask, [resource.getrlimit(limit) for limit in _LIMITS], os.geteuid()


@contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of processes below this one whose own parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class ForkedProcesses:
    """Replaces how `subprocess.Popen` starts a child while it is installed."""

    def __init__(self, recordings: Path | None = None) -> None:
        self.is_enabled = True
        self._recordings = recordings
        self._lock = threading.Lock()
        self._server: ForkServer | None = None

    def fork(self, **request: Any) -> int | None:
        """Return the ID of a new process, or None if it has to be started as usual."""
        with self._lock:
            if self._server is None:
                with self._disabled():
                    self._server = ForkServer(self._recordings)
            if not self._server.can_fork(request["environment"]):
                return None
            return self._server.fork(**request)

    @contextmanager
    def _disabled(self) -> Iterator[None]:
        self.is_enabled = False
        try:
            yield
        finally:
            self.is_enabled = True

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def execute_child(
        self,
        popen: Any,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        restore_signals: bool,
        gid: Any,
        gids: Any,
        uid: Any,
        umask: int,
        start_new_session: bool,
        process_group: int,
    ) -> None:
        """Do what `Popen._execute_child` does, whose arguments these are."""
        pid = None
        if env is not None and clock.is_shifted():
            env = {**clock.get_variables(), **env}
        others = (executable, preexec_fn, gid, gids, uid)
        is_usual = close_fds and umask < 0 and others == (None,) * len(others)
        directory = os.path.abspath(cwd or ".")  # noqa: PTH100 - paths like those that Popen takes
        if self.is_enabled and is_usual and _is_python(args) and os.path.isdir(directory):  # noqa: PTH112
            streams = enumerate((p2cread, c2pwrite, errwrite))
            descriptors = {number: number if given == -1 else given for number, given in streams}
            descriptors |= {number: number for number in pass_fds}
            pid = self.fork(
                descriptors=descriptors,
                arguments=[os.fspath(word) for word in args[1:]],
                environment=dict(os.environ if env is None else env),
                directory=directory,
                new_session=start_new_session,
                process_group=process_group,
                ignores_sigint=signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            )
        if pid is None:
            _start(
                *(popen, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo),
                *(creationflags, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite),
                *(restore_signals, gid, gids, uid, umask, start_new_session, process_group),
            )
            return
        popen.pid = pid
        popen._child_created = True
        popen._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


def _is_python(args: Any) -> bool:
    """Return whether it is this Python, with code, a module or a file and no other option."""
    if isinstance(args, (str, bytes, os.PathLike)) or len(args) < 2 or args[0] != sys.executable:
        return False
    option = os.fspath(args[1])
    return (option in {"-c", "-m"} and len(args) > 2) or option.endswith(".py")

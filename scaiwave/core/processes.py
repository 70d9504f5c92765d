"""Processes that outlive the one that starts them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence

MANAGE = ("-P", "-m", "scaiwave.cli", "manage")
"""With -P, no file in the working directory of the web server is taken for a module."""


def start_detached(command: Sequence[str], *, lock: int) -> None:
    """Start a management command, and return at once.

    It inherits the descriptor of a locked file, so that no second process is started while it
    starts. It has a session of its own, so it outlives the caller, such as a web worker. A thread
    waits for its end: the first process of a container may not reap processes of others.
    Raises OSError or SubprocessError.
    """
    process = subprocess.Popen(
        [sys.executable, *MANAGE, *command, f"--lock={lock}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[lock],
        start_new_session=True,
    )
    threading.Thread(target=process.wait, name="detached-process", daemon=True).start()

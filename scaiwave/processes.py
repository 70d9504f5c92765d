"""Processes that outlive the one that starts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

MANAGE = ("-m", "scaiwave.cli", "manage")


def start_detached(command: Sequence[str], *, lock: int) -> None:
    """Start a management command, and return at once.

    It inherits the descriptor of a locked file, so that no second process is started while it
    starts. It is not a child of the caller, such as a web worker, so it outlives that and leaves no
    zombie. Raises OSError or SubprocessError.
    """
    subprocess.run(
        ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, *MANAGE, *command, f"--lock={lock}"],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[lock],
        start_new_session=True,
    )

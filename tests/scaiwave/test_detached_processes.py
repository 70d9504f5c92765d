from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from scaiwave.core.processes import start_detached


def test_success_it_ignores_the_working_directory_and_leaves_no_zombie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the directory of the web server must not become a module of the process."""
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "executed"
    (tmp_path / "scaiwave").mkdir()
    for name in ("scaiwave/__init__.py", "django.py", "argparse.py"):
        (tmp_path / name).write_text(f"open({str(marker)!r}, 'w')\nraise SystemExit\n")
    reader, writer = os.pipe()
    start_detached(["help"], lock=writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        pipe.read()  # until the process has ended, which has the other end
    waiting = [each for each in threading.enumerate() if each.name == "detached-process"]
    for thread in waiting:
        thread.join(30)
        assert not thread.is_alive()
    assert not marker.exists()

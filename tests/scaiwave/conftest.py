"""What the tests of the kernel share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.scaiwave.cli_helpers import run_scaiwave
from tests.settings_env import own_settings


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with every table, to be copied."""
    home = tmp_path_factory.mktemp("migrated")
    ended = run_scaiwave("manage", "migrate", "-v0", **own_settings(home))
    assert ended.code == 0, ended.err
    return home / "scaiwave.sqlite3"


@pytest.fixture
def migrated(home: Path, migrated_file: Path) -> Path:
    """A migrated SQLite database in the test's home directory."""
    assert "SCAIWAVE_DB_URL" not in os.environ
    return Path(shutil.copy(migrated_file, home))

"""What the tests of the kernel share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.databases import get_migrated


@pytest.fixture(scope="session")
def empty_database(request: pytest.FixtureRequest) -> str:
    """Return the URL of a migrated database of this run's type, to copy."""
    return get_migrated(request)


@pytest.fixture
def migrated(home: Path, empty_database: str) -> Path:
    """A migrated SQLite database in the test's home directory."""
    assert "SCAIWAVE_DB_URL" not in os.environ
    file = empty_database.removeprefix("sqlite:///")
    return Path(shutil.copy(file, home / "scaiwave.sqlite3"))

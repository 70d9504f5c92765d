from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings


@pytest.fixture
def media_root(tmp_path: Path, settings: Settings) -> Path:
    """The directory of a media store for this test."""
    directory = tmp_path / "media"
    files = {
        "BACKEND": "scaiwave.media_storage.AtomicFileSystemStorage",
        "OPTIONS": {"location": str(directory)},
    }
    settings.STORAGES = {**settings.STORAGES, "default": files}
    return directory

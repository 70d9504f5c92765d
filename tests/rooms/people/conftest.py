from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _media_of_its_own(media_root: Path) -> None:
    """Every test here may keep files."""

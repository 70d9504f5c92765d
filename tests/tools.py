"""Programs that some tests need and that a host may lack."""

from __future__ import annotations

import os
import shutil

import pytest

# Read at import, because the `home` fixture removes it from the environment.
_REQUIRED = os.environ.get("SCAIWAVE_REQUIRE_SERVICES") == "1"


def require_tool(name: str) -> str:
    """Return the path of a program; without it, skip the test, or fail if all are required."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        (pytest.fail if _REQUIRED else pytest.skip)(f"{name} is not installed.")
    return path

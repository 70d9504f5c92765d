from __future__ import annotations

from pathlib import Path

import pytest

from scaiwave.sandbox import Sandbox
from tests.identity_sync.registering import Server


@pytest.fixture
def server(home: Path, sandbox: Sandbox) -> Server:
    """This server before it is registered, with a ScaiKey to register with."""
    return Server(home, sandbox.url)

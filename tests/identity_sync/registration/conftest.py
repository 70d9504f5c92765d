from __future__ import annotations

from pathlib import Path

import pytest

from scaiwave.sandbox import Sandbox
from tests.identity_sync.registration.helpers import ServerHome


@pytest.fixture
def server(home: Path, sandbox: Sandbox) -> ServerHome:
    """This server before it is registered, with a ScaiKey to register with."""
    return ServerHome(home, sandbox.url)

"""An export of a tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenants.models import Participant
from tests.rooms.moves.factories import (
    export,
    leave,
    make_moving_tenant,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An export, whose tenant has left; anna has the ScaiKey ID usr_anna."""
    source = make_moving_tenant(events=12)
    Participant.objects.filter(local_id="anna.acme").update(scaikey_id="usr_anna")
    export(source, tmp_path / "out")
    leave(source)
    return tmp_path / "out"

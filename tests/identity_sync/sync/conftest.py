from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tests.databases import copy_database
from tests.identity_sync.sync.directory import configured
from tests.identity_sync.sync.server import Server


@pytest.fixture
def scaikey(sandbox: Sandbox, settings: Settings) -> Iterator[Sandbox]:
    """The sandbox, with which this server is registered; no thread of a sync is left behind."""
    settings.CONFIG = configured(sandbox)
    yield sandbox
    left = [
        t.name
        for t in threading.enumerate()
        if t.name.startswith(("pages", "members", "scim", "lookups"))
    ]
    assert left == []


@pytest.fixture
def server(
    sandbox: Sandbox, database_url: str, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A migrated server that is registered with the sandbox; its processes inherit that."""
    copy_database(migrated, database_url)
    for name, value in (
        ("URL", sandbox.url),
        ("CLIENT_ID", sandbox.client_id),
        ("CLIENT_SECRET", sandbox.client_secret),
    ):
        monkeypatch.setenv(f"SCAIWAVE_SCAIKEY_{name}", value)
    return Server(database_url)

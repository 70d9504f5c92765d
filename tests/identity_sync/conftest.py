from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tests.databases import copy_database
from tests.identity_sync.sync.helpers import sync
from tests.identity_sync.sync.processes import Server
from tests.tenants.fake_scaikey import get_credentials, make_config


@pytest.fixture
def scaikey(sandbox: Sandbox, settings: Settings) -> Iterator[Sandbox]:
    """The sandbox, with which this server is registered. No thread of a sync may remain."""
    settings.CONFIG = make_config(sandbox)
    yield sandbox
    remaining = [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("pages", "members", "scim", "lookups"))
    ]
    assert remaining == []


@pytest.fixture
def synced(scaikey: Sandbox) -> Sandbox:
    """The sandbox, after a first sync."""
    sync()
    return scaikey


@pytest.fixture
def server(
    sandbox: Sandbox, database_url: str, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A migrated server that is registered with the sandbox, also in its processes."""
    copy_database(migrated, database_url)
    for name, value in get_credentials(sandbox).items():
        monkeypatch.setenv(name, value)
    return Server(database_url)

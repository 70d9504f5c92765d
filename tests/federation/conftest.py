from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import copy_database
from tests.federation.keys import configure
from tests.federation.peers import Peer, running
from tests.identity_sync.sync.server import Server
from tests.scaiwave.clients.certificates import Authority


@pytest.fixture
def server(database_url: str, migrated: str) -> Server:
    """For processes: its database has all tables and nothing in them."""
    copy_database(migrated, database_url)
    return Server(database_url)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted by this process."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority = Authority(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture
def peer(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A good server with TLS, in a network where we look for peers."""
    configure(monkeypatch, SCAIWAVE_PEER_NETWORKS="127.0.0.0/8")
    with running(authority.server()) as peer:
        yield peer


@pytest.fixture
def plain_peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    configure(monkeypatch, SCAIWAVE_PEER_NETWORKS="127.0.0.0/8")
    with running(None) as peer:
        yield peer

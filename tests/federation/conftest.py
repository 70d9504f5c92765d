from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.models import ServerKey
from tests.databases import copy_database
from tests.federation.factories import configure, make_key
from tests.federation.fake_peer import FakePeer, run_peer
from tests.identity_sync.sync.processes import Server
from tests.scaiwave.clients.certificates import Authority


@pytest.fixture
def server(database_url: str, migrated: str) -> Server:
    """A server for other processes. Its database is migrated and empty."""
    copy_database(migrated, database_url)
    return Server(database_url)


@pytest.fixture
def key() -> ServerKey:
    """The key that signs."""
    return make_key()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A certificate authority that this process trusts."""
    directory = tmp_path / "certificates"
    directory.mkdir()
    authority = Authority(directory)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture
def peer(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePeer]:
    """A valid peer with TLS, in a network that SCAIWAVE_PEER_NETWORKS lists."""
    configure(monkeypatch, SCAIWAVE_PEER_NETWORKS="127.0.0.0/8")
    with run_peer(authority.server()) as peer:
        yield peer


@pytest.fixture
def plain_peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePeer]:
    configure(monkeypatch, SCAIWAVE_PEER_NETWORKS="127.0.0.0/8")
    with run_peer(None) as peer:
        yield peer

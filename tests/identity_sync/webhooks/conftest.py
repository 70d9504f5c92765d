from __future__ import annotations

from tests.identity_sync.sync.conftest import server

__all__ = ["server"]

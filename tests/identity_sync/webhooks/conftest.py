from __future__ import annotations

from tests.identity_sync.conftest import server

__all__ = ["server"]

from __future__ import annotations

from tests.rooms.exports.conftest import _media_of_its_own, filled_database, server

__all__ = ["_media_of_its_own", "filled_database", "server"]

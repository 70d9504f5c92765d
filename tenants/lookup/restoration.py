"""Whether this server was restored from a backup and is not activated yet."""

from __future__ import annotations

from datetime import UTC

from tenants.errors import ServerRestored
from tenants.models import Restoration


def find_restoration() -> Restoration | None:
    return Restoration.objects.first()


def find_restoration_problem() -> ServerRestored | None:
    """Return the error of a restored server that waits for its activation."""
    if (row := find_restoration()) is None:
        return None
    return ServerRestored(
        f"This server was restored from the backup {row.backup} of "
        f"{row.backup_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, and is not activated."
    )


def require_activated() -> None:
    """Raise `ServerRestored` on a restored server, which must not call ScaiKey or run jobs."""
    if problem := find_restoration_problem():
        raise problem

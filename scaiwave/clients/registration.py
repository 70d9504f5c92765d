"""Why this server has no credentials for ScaiKey."""

from __future__ import annotations

from scaiwave.config import Configuration
from scaiwave.core.errors import NotRegistered
from scaiwave.extensions import MISSING_REGISTRATION


def get_missing_registration(config: Configuration) -> NotRegistered:
    """Return the error to raise where credentials for ScaiKey are needed and missing.

    The database may not be usable, or even set up.
    """
    from django.db import Error

    try:
        return MISSING_REGISTRATION.load()(config)
    except Error:
        return NotRegistered("This server is not registered with ScaiKey.")

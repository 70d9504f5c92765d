"""Errors of ScaiKey, for people who may not know its address or the settings of this server."""

from __future__ import annotations

import logging

from scaiwave.core.errors import (
    ScaiWaveError,
    UpstreamError,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamUnauthorized,
)

_UPSTREAM_ERRORS = (UpstreamError, UpstreamUnauthorized, UpstreamForbidden, UpstreamNotFound)

logger = logging.getLogger(__name__)


def hide_upstream_details(
    error: ScaiWaveError, message: str, *, fix: str = "Try again in a few minutes."
) -> ScaiWaveError:
    """Return another error instead of one of a request to ScaiKey, and log that one.

    Other errors are returned as they are.
    """
    if not isinstance(error, _UPSTREAM_ERRORS):
        return error
    logger.warning("%s %s", message, error.message)
    return type(error)(message, fix=f"{fix} The log of this server has the cause.")

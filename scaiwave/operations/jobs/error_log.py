"""Log errors of this suite in one line: the message, the code and the fix."""

from __future__ import annotations

import logging

from scaiwave.core.errors import ScaiWaveError


def log_error(logger: logging.Logger, what: str, error: ScaiWaveError, **extra: str) -> None:
    """`extra` are further fields of a JSON log, besides `code` and `fix`."""
    fix = f" Fix: {error.fix}" if error.fix else ""
    logger.error(
        "%s: %s [%s]%s",
        what,
        error.message,
        error.code,
        fix,
        extra={"code": error.code, "fix": error.fix, **extra},
    )

"""Format log records as text, so that nothing in them can look like another record."""

from __future__ import annotations

import logging
import re
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, line separators, and the controls of writing direction."""

_INDENT = "    "


class SingleLineFormatter(logging.Formatter):
    """Escapes control characters in messages, and indents tracebacks.

    Paths, host names and other input become part of messages. A line feed in them would begin a
    forged record, and an escape sequence could control the terminal that shows the log.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = escape_control_chars(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _indent(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _indent(super().formatStack(stack_info))


def escape_control_chars(text: str) -> str:
    """Replace control characters by their escapes as in Python, for example `\\n` and `\\x1b`."""
    return _CONTROL.sub(lambda match: repr(match.group())[1:-1], text)


def _indent(text: str) -> str:
    return "\n".join(_INDENT + escape_control_chars(line) for line in text.split("\n"))


class RefusedRequestFilter(logging.Filter):
    """Removes the tracebacks of requests that Django refuses: their message says everything.

    Any account causes such a request with the address of a page that it may not see.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", 500)
        if record.name.startswith("django.security.") or status < 500:
            record.exc_info = None
            record.exc_text = None
        return True

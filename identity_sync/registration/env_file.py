"""Set NAME=value lines of a configuration file without changing anything else in it.

`scaiwave.config.configuration.read_env_file` and a POSIX shell that sources the file read exactly
the values that were written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from identity_sync.errors import ValueUnwritable
from scaiwave.core.errors import FileUnwritable
from scaiwave.core.files import check_replaceable, replace_file, resolve_target

MAX_GROWTH_BYTES = 8 * 1024
"""Space that must be free for values, beyond the present size of the file."""

_NAME = re.compile(r"\A(export )?([A-Za-z_0-9]+)=")
_PLAIN = re.compile(r"\A[A-Za-z0-9_./:@%+,=-]*\Z")
# Unicode categories: controls, lone surrogates, line and paragraph separators.
_UNWRITABLE_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}


def update_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Set these names in the file, atomically; its mode becomes 0600.

    An existing name keeps its line (the first, if there are several); new names are appended.
    Raises `ValueUnwritable` for line breaks and control characters in a value, and what
    `replace_file` raises; the file is then unchanged.
    """
    lines = {name: f"{name}={quote_value(name, value)}" for name, value in values.items()}
    text = _read_text(path)
    ending = "\r\n" if "\r\n" in text else "\n"
    remaining = dict(lines)
    edited = [_edit_line(line, lines, remaining) for line in text.splitlines(keepends=True)]
    if remaining and edited and not text.endswith(("\n", "\r")):
        edited.append(ending)
    edited += [f"{line}{ending}" for line in remaining.values()]
    replace_file(path, "".join(edited).encode())


def check_writable(path: Path) -> None:
    """Raise what `update_env_file` would raise now for values of the usual length."""
    check_replaceable(path, len(_read_text(path).encode()) + MAX_GROWTH_BYTES)


def quote_value(name: str, value: str) -> str:
    """Return the value as it is written after the equals sign. Raises `ValueUnwritable`."""
    if any(unicodedata.category(char) in _UNWRITABLE_CATEGORIES for char in value):
        # The message must not contain the value, which may be a secret.
        raise ValueUnwritable(
            f"The value of {name} contains a line break or a control character.",
            fix=f"Correct the value at its source, or set {name} in the environment.",
        )
    if _PLAIN.match(value):
        return value
    # The reader also removes a second pair of quotes inside the first.
    if "'" not in value and not (value.startswith('"') and value.endswith('"')):
        return f"'{value}'"
    return '"' + re.sub(r'(["$\\`])', r"\\\1", value) + '"'


def _read_text(path: Path) -> str:
    target = resolve_target(path)
    try:
        return target.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        reason = error.strerror or "error"
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    raise FileUnwritable(
        f"{target} can't be read: {reason}.",
        fix="Correct the file, or name another one in SCAIWAVE_ENV_FILE.",
    )


def _edit_line(line: str, lines: Mapping[str, str], remaining: dict[str, str]) -> str:
    """Return the new line, and remove its name from `remaining`, the names not written yet."""
    match = _NAME.match(line)
    if not match or match[2] not in lines:
        return line
    if match[2] not in remaining:
        return ""
    body = line.splitlines()[0]
    return f"{match[1] or ''}{remaining.pop(match[2])}{line[len(body) :]}"

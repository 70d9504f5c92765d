"""Sets NAME=value lines of a configuration file and leaves everything else in it alone.

What is written is read back exactly by `scaiwave.config.read_env_file`, and by a POSIX shell that
sources the file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from identity_sync.errors import ValueUnwritable
from scaiwave.errors import FileUnwritable
from scaiwave.files import check_replaceable, replace_file, resolve_target

ROOM_FOR_VALUES = 8 * 1024
"""Bytes by which a rehearsal is larger than the file is now."""

_NAME = re.compile(r"\A(export )?([A-Za-z_0-9]+)=")
_PLAIN = re.compile(r"\A[A-Za-z0-9_./:@%+,=-]*\Z")
_UNWRITABLE = {"Cc", "Cs", "Zl", "Zp"}  # controls, lone surrogates, line and paragraph ends


def update_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Set these names in the file, atomically; its mode becomes 0600.

    A name that is there keeps its place (once, when it occurs twice), others are appended.
    Raises `ValueUnwritable` for line breaks and control characters in a value, and what
    `replace_file` raises; the file is then as it was.
    """
    lines = {name: f"{name}={quote_value(name, value)}" for name, value in values.items()}
    replace_file(path, _edited(_text(path), lines).encode())


def check_writable(path: Path) -> None:
    """Raise what `update_env_file` would raise now, as far as can be known without doing it."""
    check_replaceable(path, len(_text(path).encode()) + ROOM_FOR_VALUES)


def quote_value(name: str, value: str) -> str:
    """The value as it stands after the equals sign."""
    if any(unicodedata.category(char) in _UNWRITABLE for char in value):
        # The value stays out of the message: it may be a secret.
        raise ValueUnwritable(
            f"The value of {name} holds a line break or a control character.",
            fix=f"Find out where that value comes from, or set {name} in the environment.",
        )
    if _PLAIN.match(value):
        return value
    # The reader takes off a second pair of quotes that it finds inside the first.
    if "'" not in value and not (value.startswith('"') and value.endswith('"')):
        return f"'{value}'"
    return '"' + re.sub(r'(["$\\`])', r"\\\1", value) + '"'


def _text(path: Path) -> str:
    target = resolve_target(path)
    try:
        return target.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        why = error.strerror or "error"
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    raise FileUnwritable(
        f"{target} can't be read: {why}.",
        fix="Mend it, or name another file in SCAIWAVE_ENV_FILE.",
    )


def _edited(text: str, lines: Mapping[str, str]) -> str:
    ending = "\r\n" if "\r\n" in text else "\n"
    left = dict(lines)
    edited = [_edited_line(line, lines, left) for line in text.splitlines(keepends=True)]
    if left and edited and not text.endswith(("\n", "\r")):
        edited.append(ending)
    return "".join([*edited, *(f"{line}{ending}" for line in left.values())])


def _edited_line(line: str, lines: Mapping[str, str], left: dict[str, str]) -> str:
    """The line as it shall be; `left` are the names that have not been met yet."""
    found = _NAME.match(line)
    if not found or found[2] not in lines:
        return line
    if found[2] not in left:
        return ""
    body = line.splitlines()[0]
    return f"{found[1] or ''}{left.pop(found[2])}{line[len(body) :]}"

"""How a password comes in: never as an argument, which every user of the machine can read."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path

from scaiwave.cli.command import ConfirmationDeclined, OperatorCommand
from scaiwave.errors import ConfirmationNeeded, UsageError

FILE_FLAG = "--password-file"
MAX_FILE_BYTES = 4096
"""Bytes; what is longer is another file."""


def read_password(command: OperatorCommand, file: str | None) -> str:
    """The one line of the file, of stdin for `-`; without a file what is typed twice.

    Raises UsageError for a file that can't be read or is no password, ConfirmationNeeded where
    there is neither a file nor a terminal, and Declined when the terminal is closed instead.
    """
    if file is not None:
        return _read_from_file(file)
    if not command.can_ask():
        raise ConfirmationNeeded(
            "The password is not given.",
            fix=f"Pass {FILE_FLAG} FILE, or {FILE_FLAG} - to read it from stdin.",
        )
    try:
        while True:
            password = getpass("Password: ")
            if password == getpass("Once more: "):
                return password
            command.output.warn("The two are different; type it again.")
    except EOFError:
        command.output.stderr.write("\n")  # the line with the question has not ended
        raise ConfirmationDeclined("There was no password.", fix="Nothing was changed.") from None


def _read_from_file(file: str) -> str:
    name = "stdin" if file == "-" else file
    try:
        text = _read_bytes(file).decode()
    except OSError as error:
        raise _build_error(name, (error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError:
        raise _build_error(name, "it is not UTF-8") from None
    lines = text.splitlines()
    if len(lines) != 1 or len(text) > MAX_FILE_BYTES:
        raise _build_error(name, "it has to hold one line, the password")
    return lines[0]


def _read_bytes(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    with Path(file).open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1)


def _build_error(name: str, why: str) -> UsageError:
    return UsageError(
        f"No password can be read from {name}: {why}.",
        fix=f"Give {FILE_FLAG} a file whose one line is the password, or - for stdin.",
    )

"""How a password comes in: never as an argument, which every user of the machine can read."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path

from scaiwave.cli.command import ConfirmationDeclined, OperatorCommand
from scaiwave.errors import ConfirmationNeeded, UsageError

FLAG = "--password-file"
LONGEST = 4096
"""Bytes; what is longer is another file."""


def read_password(command: OperatorCommand, file: str | None) -> str:
    """The one line of the file, of stdin for `-`; without a file what is typed twice.

    Raises UsageError for a file that can't be read or is no password, ConfirmationNeeded where
    there is neither a file nor a terminal, and Declined when the terminal is closed instead.
    """
    if file is not None:
        return _from_file(file)
    if not command.can_ask():
        raise ConfirmationNeeded(
            "The password is not given.",
            fix=f"Pass {FLAG} FILE, or {FLAG} - to read it from stdin.",
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


def _from_file(file: str) -> str:
    name = "stdin" if file == "-" else file
    try:
        text = _bytes(file).decode()
    except OSError as error:
        raise _unusable(name, (error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError:
        raise _unusable(name, "it is not UTF-8") from None
    lines = text.splitlines()
    if len(lines) != 1 or len(text) > LONGEST:
        raise _unusable(name, "it has to hold one line, the password")
    return lines[0]


def _bytes(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(LONGEST + 1)
    with Path(file).open("rb") as opened:
        return opened.read(LONGEST + 1)


def _unusable(name: str, why: str) -> UsageError:
    return UsageError(
        f"No password can be read from {name}: {why}.",
        fix=f"Give {FLAG} a file whose one line is the password, or - for stdin.",
    )

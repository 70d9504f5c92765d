"""Read passwords from a prompt or a file, never from arguments, which other users can see."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from getpass import getpass
from pathlib import Path

from scaiwave.cli.command import MAX_ATTEMPTS, ConfirmationDeclined, OperatorCommand
from scaiwave.core.errors import ConfirmationNeeded, UsageError
from tenants.accounts.create_administrator import require_strong_password
from tenants.errors import WeakPassword
from tenants.models import AdminUser

FILE_FLAG = "--password-file"
MAX_FILE_BYTES = 4096
"""A larger file can't be a password file."""


def read_password(command: OperatorCommand, username: str, file: str | None) -> str:
    """Read the password from the file, from stdin for `-`, or prompt for it twice.

    Raises UsageError if the file can't be read or has more than one line, ConfirmationNeeded
    without a file and a terminal, and ConfirmationDeclined at the end of input or after several
    passwords that are weak or were not repeated.
    """
    if file is not None:
        return _read_from_file(file)
    if not command.can_ask():
        raise ConfirmationNeeded(
            "A password is required.",
            fix=f"Pass {FILE_FLAG} FILE, or {FILE_FLAG} - to read it from stdin.",
        )
    try:
        for _ in range(MAX_ATTEMPTS):
            password = getpass("Password: ")
            try:
                require_strong_password(AdminUser(username=username), password)
            except WeakPassword as error:
                command.output.warn(f"Password rejected. {error.fix} Try again.")
                continue
            if password == getpass("Repeat password: "):
                return password
            command.output.warn("The passwords do not match. Try again.")
    except EOFError:
        command.output.stderr.write("\n")  # ends the line of the prompt
    raise ConfirmationDeclined(
        "Cancelled: no password was entered. No changes were made.",
        fix=f"Run the command again and enter one, or pass {FILE_FLAG} FILE.",
    )


def _read_from_file(file: str) -> str:
    name = "stdin" if file == "-" else file
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1).decode()
    except OSError as error:
        raise _build_error(name, (error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError:
        raise _build_error(name, "it is not UTF-8") from None
    lines = text.splitlines()
    if len(lines) != 1 or len(text) > MAX_FILE_BYTES:
        raise _build_error(name, "it must contain exactly one line")
    return lines[0]


def _build_error(name: str, reason: str) -> UsageError:
    return UsageError(
        f"Can't read the password from {name}: {reason}.",
        fix=f"Pass {FILE_FLAG} a file that contains only the password, or - for stdin.",
    )

"""What the home keeps of a registration that is not finished: the receipt, and the lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from identity_sync.errors import ReceiptUnreadable, RegistrationBusy
from scaiwave.clients.scaikey.registration import Credentials
from scaiwave.files import check_replaceable, replace_file

RECEIPT = "scaikey-registration.json"
LOCK = "register.lock"
LARGEST_RECEIPT = 16 * 1024
"""Bytes that a rehearsal asks for; a receipt with credentials has about 1 KB."""


class PendingRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """One request, from the moment it was sent until its credentials are configured.

    `status_token` is shown once by ScaiKey and `credentials` are handed out once, so neither
    is anywhere else meanwhile.
    """

    url: str
    name: str
    scope: str
    scope_slug: str
    contact_email: str
    request_id: str
    status_token: str
    requested_at: datetime
    credentials: Credentials | None = None

    def __repr__(self) -> str:
        return f"<Receipt {self.request_id} at {self.url}>"


def receipt_path(home: Path) -> Path:
    return home / RECEIPT


def load_receipt(home: Path) -> PendingRegistration | None:
    """Raises `ReceiptUnreadable` for a file that is not one of ours."""
    path = receipt_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=PendingRegistration)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or "error"
    except (msgspec.DecodeError, UnicodeDecodeError):
        why = "it is damaged"
    raise ReceiptUnreadable(
        f"{path} can't be read: {why}.",
        fix="Run as the user who registered, or `scaiwave sync register --restart` to drop it.",
    )


def save_receipt(home: Path, receipt: PendingRegistration) -> None:
    replace_file(receipt_path(home), msgspec.json.encode(receipt))


def delete_receipt(home: Path) -> None:
    receipt_path(home).unlink(missing_ok=True)


def check_writable(home: Path) -> None:
    """Raise what `save_receipt` would raise now."""
    check_replaceable(receipt_path(home), LARGEST_RECEIPT)


@contextmanager
def registration_lock(home: Path) -> Iterator[None]:
    """Let one process of this home register. Raises `RegistrationBusy` at once for a second."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RegistrationBusy(
                "Another `scaiwave sync register` is running in this home.",
                fix="Let it finish, or stop it; what it has begun is not lost.",
            ) from None
        yield
    finally:
        os.close(descriptor)

"""What the home keeps of a registration that is not finished: the receipt, and the lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

import msgspec

from identity_sync.errors import ReceiptUnreadable, RegistrationBusy
from identity_sync.services.registration.response_file import (
    ResponseFile,
    parse_response,
    split_header,
)
from scaiwave.clients.scaikey.registration import Credentials
from scaiwave.files import check_replaceable, replace_file

RECEIPT = "scaikey-registration.json"
LOCK = "register.lock"
RESPONSE_SUFFIX = ".response"
MAX_RECEIPT_BYTES = 16 * 1024
"""Space that must be free for a receipt; one with credentials has about 1 KB."""


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
    """Return the pending registration, with its credentials wherever in the home they are.

    A process that was killed may have left them in the file of ScaiKey's response, or in a draft
    of the receipt. Changes nothing. Raises `ReceiptUnreadable` for a receipt that is not one.
    """
    try:
        receipt = _read_receipt(home)
    except ReceiptUnreadable:
        if saved := _find_credentials(home, None):
            return saved
        raise
    if receipt is not None and receipt.credentials is not None:
        return receipt
    return _find_credentials(home, receipt) or receipt


def save_receipt(home: Path, receipt: PendingRegistration) -> None:
    """Replace the receipt. Raises `DiskFull` or `FileUnwritable`."""
    replace_file(receipt_path(home), msgspec.json.encode(receipt))


def delete_receipt(home: Path) -> None:
    """Delete the receipt, and then whatever else of a registration is in the home.

    In this order, since what is left after a kill in between is finished by the next process.
    """
    receipt_path(home).unlink(missing_ok=True)
    for path in _remains(home):
        path.unlink(missing_ok=True)


def check_writable(home: Path) -> None:
    """Raise what `save_receipt` would raise now."""
    check_replaceable(receipt_path(home), MAX_RECEIPT_BYTES)


def open_response_file(home: Path, receipt: PendingRegistration) -> ResponseFile:
    """Reserve space in the home for ScaiKey's response. Raises `DiskFull` or `FileUnwritable`."""
    identity = f"{receipt.url}\n{receipt.request_id}".encode()
    name = f".{RECEIPT}.{blake2b(identity, digest_size=8).hexdigest()}{RESPONSE_SUFFIX}"
    return ResponseFile(home / name, msgspec.json.encode(receipt))


def _read_receipt(home: Path) -> PendingRegistration | None:
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


def _find_credentials(
    home: Path, receipt: PendingRegistration | None
) -> PendingRegistration | None:
    """Return what a killed process left of this registration, or without a receipt of any."""
    for path in _remains(home):
        saved = _read_remains(path)
        if saved is None or saved.credentials is None:
            continue
        if receipt is None or (saved.url, saved.request_id) == (receipt.url, receipt.request_id):
            return saved
    return None


def _remains(home: Path) -> list[Path]:
    """Return the drafts and response files in this home, newest first."""

    def changed_at(path: Path) -> int:
        return path.lstat().st_mtime_ns

    paths = [path for path in home.glob(f".{RECEIPT}.*") if path.is_file()]
    return sorted(paths, key=changed_at, reverse=True)


def _read_remains(path: Path) -> PendingRegistration | None:
    """Return the registration in a draft or response file; None if it is incomplete."""
    try:
        content = path.read_bytes()
        if path.suffix != RESPONSE_SUFFIX:
            return msgspec.json.decode(content, type=PendingRegistration)
        header, response = split_header(content)
        receipt = msgspec.json.decode(header, type=PendingRegistration)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return msgspec.structs.replace(receipt, credentials=parse_response(response))


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

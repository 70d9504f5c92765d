"""The stored state of a registration: receipt and lock in the home directory, a database row.

The receipt is a JSON file, there from the request until the credentials are configured. It shows
how far a registration has come, so that the next process continues it.
"""

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
from identity_sync.registration.response_file import ResponseFile, parse_response, split_header
from scaiwave.clients.scaikey.registration import Credentials
from scaiwave.core.files import check_replaceable, replace_file, translate_write_errors

RECEIPT = "scaikey-registration.json"
RESPONSE_SUFFIX = ".response"
LOCK = "register.lock"
MAX_RECEIPT_BYTES = 16 * 1024
"""Space that must be free for a receipt; one with credentials has about 1 KB."""


class PendingRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """One request, from the moment it was sent until its credentials are configured.

    ScaiKey shows `status_token` once and hands out `credentials` once; until then the home
    directory has the only copy. `redirect_uri` is empty in receipts of releases that did not
    register one for signing in. `replaces` is the client ID that was configured at the request.
    """

    url: str
    name: str
    scope: str
    scope_slug: str
    contact_email: str
    request_id: str
    status_token: str
    requested_at: datetime
    redirect_uri: str = ""
    replaces: str = ""
    credentials: Credentials | None = None

    def __repr__(self) -> str:
        return f"<PendingRegistration {self.request_id} at {self.url}>"


@contextmanager
def registration_lock(home: Path) -> Iterator[None]:
    """Let one process of this home directory register.

    Raises `RegistrationBusy` at once in a second one.
    """
    with translate_write_errors(home / LOCK):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RegistrationBusy(
                f"Another `scaiwave sync register` is running in {home}."
            ) from None
        yield
    finally:
        os.close(descriptor)


def receipt_path(home: Path) -> Path:
    return home / RECEIPT


def load_receipt(home: Path) -> PendingRegistration | None:
    """Return the pending registration, with its credentials wherever in the directory they are.

    A process that was killed may have left them in the file of ScaiKey's response, or in a draft
    of the receipt. Changes nothing. Raises `ReceiptUnreadable` for a file that is not a receipt.
    """
    try:
        receipt = _read_receipt(home)
    except ReceiptUnreadable:
        if recovered := _recover_credentials(home, None):
            return recovered
        raise
    if receipt is not None and receipt.credentials is not None:
        return receipt
    return _recover_credentials(home, receipt) or receipt


def save_receipt(home: Path, receipt: PendingRegistration) -> None:
    """Replace the receipt. Raises `DiskFull` or `FileUnwritable`."""
    replace_file(receipt_path(home), msgspec.json.encode(receipt))


def delete_receipt(home: Path) -> None:
    """Delete the receipt, then its drafts and response files.

    In this order: credentials that a kill in between leaves are installed by the next process.
    """
    receipt_path(home).unlink(missing_ok=True)
    for path in _list_leftovers(home):
        path.unlink(missing_ok=True)


def check_writable(home: Path) -> None:
    """Raise what `save_receipt` would raise now."""
    check_replaceable(receipt_path(home), MAX_RECEIPT_BYTES)


def open_response_file(home: Path, receipt: PendingRegistration) -> ResponseFile:
    """Reserve space for ScaiKey's response. Raises `DiskFull` or `FileUnwritable`."""
    identity = f"{receipt.url}\n{receipt.request_id}".encode()
    digest = blake2b(identity, digest_size=8).hexdigest()
    return ResponseFile(
        home / f".{RECEIPT}.{digest}{RESPONSE_SUFFIX}",
        msgspec.json.encode(receipt),
        copy_path=home / f"scaikey-response-{digest}.http",
    )


def _read_receipt(home: Path) -> PendingRegistration | None:
    path = receipt_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=PendingRegistration)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or "error"
    except (msgspec.DecodeError, UnicodeDecodeError):
        reason = "it is damaged"
    raise ReceiptUnreadable(f"{path} can't be read: {reason}.")


def _recover_credentials(
    home: Path, receipt: PendingRegistration | None
) -> PendingRegistration | None:
    """Return the rest of this registration from a killed process, or any without a receipt."""
    for path in _list_leftovers(home):
        leftover = _read_leftover(path)
        if leftover is None or leftover.credentials is None:
            continue
        if receipt is None or (
            (leftover.url, leftover.request_id) == (receipt.url, receipt.request_id)
        ):
            return leftover
    return None


def _list_leftovers(home: Path) -> list[Path]:
    """Return the drafts of the receipt and the response files, newest first."""
    paths = [path for path in home.glob(f".{RECEIPT}.*") if path.is_file()]
    return sorted(paths, key=lambda path: path.lstat().st_mtime_ns, reverse=True)


def _read_leftover(path: Path) -> PendingRegistration | None:
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

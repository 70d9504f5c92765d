"""ScaiKey's credentials, which are handed out once: kept, configured, tried."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from identity_sync.errors import (
    CredentialsLost,
    CredentialsNotInstalled,
    CredentialsSavedElsewhere,
    ReceiptUnreadable,
)
from identity_sync.services import env_file
from identity_sync.services.env_file import quote_value, update_env_file
from identity_sync.services.registration import receipt as receipts
from identity_sync.services.registration.receipt import (
    PendingRegistration,
    delete_receipt,
    load_receipt,
    receipt_path,
    save_receipt,
)
from identity_sync.services.registration.response_file import ResponseFile
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import Credentials
from scaiwave.config import Configuration
from scaiwave.config.configuration import read_env_file
from scaiwave.errors import ScaiWaveError, UpstreamUnauthorized

TERMINAL = Path("/dev/tty")
ON_TERMINAL = "on your screen and nowhere else"
RESCUED_PREFIX = "scaiwave-credentials-"
RESCUED_SUFFIX = ".env"
# mkstemp makes a file there that nobody else can foresee or read.
SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108


def settings_for(url: str, credentials: Credentials) -> dict[str, str]:
    """The lines of the configuration file; one that ScaiKey leaves out is emptied."""
    return {
        "SCAIWAVE_SCAIKEY_URL": url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": credentials.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": credentials.client_secret,
        "SCAIWAVE_SCAIKEY_APP_ID": credentials.application_id,
        "SCAIWAVE_SCAIKEY_ISSUER": credentials.issuer,
    }


def check_writable(config: Configuration) -> None:
    """Raise `DiskFull` or `FileUnwritable` if credentials could not be kept now."""
    receipts.check_writable(config.home)
    env_file.check_writable(config.env_file)


@contextmanager
def block_signals() -> Iterator[None]:
    """Let Ctrl-C and the like wait until what can be had once is on disk."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def save_credentials(
    config: Configuration,
    receipt: PendingRegistration,
    credentials: Credentials,
    response_file: ResponseFile,
) -> PendingRegistration:
    """Put what ScaiKey has just handed out on disk, wherever there is space.

    Raises `CredentialsNotInstalled` when only the response file has them, and
    `CredentialsSavedElsewhere` or `CredentialsLost` when the home directory is unusable.
    """
    kept = replace(receipt, credentials=credentials)
    values = settings_for(receipt.url, credentials)
    synced = _sync(response_file)
    try:
        save_receipt(config.home, kept)
    except (ScaiWaveError, OSError) as error:
        why = error.message if isinstance(error, ScaiWaveError) else str(error)
        fix = f"{error.fix} " if isinstance(error, ScaiWaveError) else ""
    else:
        return kept
    try:
        update_env_file(config.env_file, values)
    except (ScaiWaveError, OSError):
        if synced and response_file.is_in_place() and response_file.credentials() == credentials:
            problem: ScaiWaveError = CredentialsNotInstalled(
                f"{why} The credentials are safe in {response_file.path}.",
                fix=f"{fix}Then run `scaiwave sync register` again: it goes on from there.",
            )
        else:
            problem = _rescued(why, receipt, values)
    else:
        return kept
    raise problem


def _sync(response_file: ResponseFile) -> bool:
    try:
        response_file.sync()
    except OSError:
        return False
    return True


def install_credentials(config: Configuration, url: str, credentials: Credentials) -> None:
    """Write the credentials that the receipt holds to the configuration file.

    Raises `CredentialsNotInstalled` if that fails; they are still in the receipt then.
    """
    try:
        update_env_file(config.env_file, settings_for(url, credentials))
    except ScaiWaveError as error:
        problem = CredentialsNotInstalled(
            f"{error.message} The credentials are safe in {receipt_path(config.home)}.",
            fix=f"{error.fix} Then run `scaiwave sync register` again: it goes on from there.",
        )
    else:
        return
    raise problem


def overridden_names(config: Configuration, url: str, credentials: Credentials) -> list[str]:
    """Names that the process environment sets to something else than the file now holds."""
    written = settings_for(url, credentials)
    return [
        name
        for name, value in written.items()
        if config.raw(name)[1] == "environment" and config.get_str(name) != value
    ]


def verify_credentials(url: str, client_id: str, client_secret: str) -> str:
    """Fetch a token and return how far it reaches, such as GLOBAL; '' if it doesn't say.

    Raises `UpstreamUnauthorized`, or an `UpstreamError` when ScaiKey can't be asked.
    """
    with ScaiKeyClient(url, client_id=client_id, client_secret=client_secret) as client:
        try:
            return client.app_scope
        except UpstreamUnauthorized as error:
            error.fix = (
                "`scaiwave sync show-config` shows what is set and where; "
                "`scaiwave sync register --force` asks ScaiKey for new credentials."
            )
            raise


def load_pending(config: Configuration) -> PendingRegistration | None:
    """Return the pending registration, with its credentials wherever they have been saved.

    Raises `ReceiptUnreadable`.
    """
    receipt = load_receipt(config.home)
    if receipt is None or receipt.credentials is not None:
        return receipt
    for path in _rescued_files():
        if credentials := _read_rescued(path, receipt):
            return replace(receipt, credentials=credentials)
    return receipt


def find_waiting_credentials(config: Configuration) -> PendingRegistration | None:
    """Return the registration whose credentials are saved here but not configured yet, if any."""
    try:
        pending = load_pending(config)
    except (ReceiptUnreadable, OSError):
        return None
    return pending if pending is not None and pending.credentials is not None else None


def delete_pending(config: Configuration, receipt: PendingRegistration | None) -> None:
    """Delete the receipt and every other file with the secrets of this registration."""
    delete_receipt(config.home)
    if receipt is None:
        return
    for path in _rescued_files():
        if _read_rescued(path, receipt):
            path.unlink(missing_ok=True)


def _rescued_files() -> list[Path]:
    """Return files of our own that `_elsewhere` may have made; others' in /tmp are not ours."""
    names = f"{RESCUED_PREFIX}*{RESCUED_SUFFIX}"
    return [
        path
        for directory in _other_folders()
        for path in sorted(directory.glob(names))
        if _is_own_private_file(path)
    ]


def _is_own_private_file(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    private = stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
    return private and status.st_uid == os.geteuid()


def _read_rescued(path: Path, receipt: PendingRegistration) -> Credentials | None:
    """Return the credentials in a rescued file; None if they are incomplete or of another."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        values = read_env_file(path)
    except (OSError, UnicodeDecodeError, ScaiWaveError):
        return None
    names = list(settings_for("", Credentials("", "")))
    if not lines or lines[0] != _rescued_heading(receipt) or not lines[-1].endswith("\n"):
        return None
    if [line.partition("=")[0] for line in lines[1:]] != names:
        return None
    return Credentials(*(values.get(name, "") for name in names[1:]))


def _rescued_heading(receipt: PendingRegistration) -> str:
    return f"# Request {receipt.request_id} at {receipt.url}\n"


def _rescued(why: str, receipt: PendingRegistration, values: Mapping[str, str]) -> ScaiWaveError:
    lines = _rescued_heading(receipt) + "".join(
        f"{name}={quote_value(name, value)}\n" for name, value in values.items()
    )
    place = _elsewhere(lines) or _on_terminal(lines)
    if place is None:
        return CredentialsLost(
            f"{why} The credentials could not be kept anywhere and are lost.",
            fix=f"Make room, remove application {values['SCAIWAVE_SCAIKEY_CLIENT_ID']} in "
            "ScaiKey, and run `scaiwave sync register --restart`.",
        )
    if place == ON_TERMINAL:
        fix = "Copy those lines to the configuration file; ScaiKey does not hand them out again."
    else:
        fix = (
            "Make the home directory writable, then run `scaiwave sync register` again: it finds "
            "them there. Keep that file until then; ScaiKey does not hand them out again."
        )
    return CredentialsSavedElsewhere(f"{why} The credentials are {place}.", fix=fix)


def _elsewhere(lines: str) -> str | None:
    """Try a file of our own in every other folder that may be on another disk."""
    for folder in _other_folders():
        try:
            descriptor, name = tempfile.mkstemp(
                prefix=RESCUED_PREFIX, suffix=RESCUED_SUFFIX, dir=folder
            )
        except OSError:
            continue  # The next folder may take it.
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(lines)
                file.flush()
                os.fsync(descriptor)
        except OSError:
            Path(name).unlink()
            continue
        return f"in {name}"
    return None


def _other_folders() -> list[Path]:
    """Not `tempfile.gettempdir()`, which raises when every disk it tries is full."""
    variables = (os.environ.get(name, "") for name in ("TMPDIR", "HOME"))
    named = [Path(folder) for folder in (*variables, *SHARED_FOLDERS)]
    return [folder for folder in dict.fromkeys(named) if folder.is_absolute()]


def _on_terminal(lines: str) -> str | None:
    """A person's own screen is the last resort; a log or a pipe never sees a secret."""
    try:
        with TERMINAL.open("w", encoding="utf-8") as terminal:
            terminal.write(f"\n{lines}\n")
    except OSError:
        return None
    return ON_TERMINAL

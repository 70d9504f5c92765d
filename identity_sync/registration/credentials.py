"""Save, install and verify ScaiKey's credentials, which are handed out only once."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from identity_sync.errors import (
    CredentialsLost,
    CredentialsNotInstalled,
    CredentialsSavedElsewhere,
    ReceiptUnreadable,
)
from identity_sync.registration import env_file
from identity_sync.registration import receipt as receipts
from identity_sync.registration.env_file import quote_value, update_env_file
from identity_sync.registration.receipt import (
    PendingRegistration,
    delete_receipt,
    load_receipt,
    receipt_path,
    save_receipt,
)
from identity_sync.registration.response_file import ResponseFile
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import Credentials
from scaiwave.config import Configuration
from scaiwave.config.configuration import read_env_file
from scaiwave.core.errors import ScaiWaveError, SettingInvalid, UpstreamUnauthorized

CREDENTIAL_SETTINGS = (
    "SCAIWAVE_SCAIKEY_URL",
    "SCAIWAVE_SCAIKEY_CLIENT_ID",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET",
)
TERMINAL = Path("/dev/tty")
ON_TERMINAL = "on your terminal and nowhere else"
RESCUE_PREFIX = "scaiwave-credentials-"
RESCUE_SUFFIX = ".env"
# mkstemp creates a file there that no one else can foresee or read.
SHARED_DIRECTORIES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108


def build_settings(receipt: PendingRegistration, credentials: Credentials) -> dict[str, str]:
    """Return the lines of the configuration file; what ScaiKey leaves out is set to empty."""
    return {
        "SCAIWAVE_SCAIKEY_URL": receipt.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": credentials.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": credentials.client_secret,
        "SCAIWAVE_SCAIKEY_APP_ID": credentials.application_id,
        "SCAIWAVE_SCAIKEY_ISSUER": credentials.issuer,
        "SCAIWAVE_SCAIKEY_REDIRECT_URI": receipt.redirect_uri,
    }


def has_credentials(config: Configuration) -> bool:
    return all(config.get_str(name) for name in CREDENTIAL_SETTINGS)


def replaces_other_credentials(
    config: Configuration, receipt: PendingRegistration, credentials: Credentials
) -> bool:
    """Return whether other credentials are configured, which an installation would replace.

    A configuration file that can't be read has none; the installation then reports it.
    """
    settings = build_settings(receipt, credentials)
    try:
        return has_credentials(config) and any(
            config.get_str(name) != settings[name] for name in CREDENTIAL_SETTINGS
        )
    except SettingInvalid:
        return False


def check_writable(config: Configuration) -> None:
    """Raise `DiskFull` or `FileUnwritable` if credentials could not be saved now."""
    receipts.check_writable(config.home)
    env_file.check_writable(config.env_file)


@contextmanager
def block_signals() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP until the one-time credentials are saved."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
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
    """Save what ScaiKey has just handed out, wherever there is space, and return the receipt.

    Raises `CredentialsNotInstalled` if only the response file has them, and
    `CredentialsSavedElsewhere` or `CredentialsLost` if the home directory can't be used.
    """
    approved = replace(receipt, credentials=credentials)
    settings = build_settings(receipt, credentials)
    try:
        response_file.sync()
        is_synced = True
    except OSError:
        is_synced = False
    try:
        save_receipt(config.home, approved)
    except (ScaiWaveError, OSError) as error:
        reason = error.message if isinstance(error, ScaiWaveError) else str(error)
        fix = f"{error.fix} " if isinstance(error, ScaiWaveError) else ""
    else:
        return approved
    try:
        update_env_file(config.env_file, settings)
    except (ScaiWaveError, OSError):
        if is_synced and response_file.is_in_place() and response_file.credentials() == credentials:
            problem: ScaiWaveError = CredentialsNotInstalled(
                f"{reason} The credentials are saved in {response_file.path}.",
                fix=f"{fix}Then run `scaiwave sync register` again to continue.",
            )
        else:
            problem = _rescue_credentials(reason, receipt, settings)
    else:
        return approved
    raise problem


def install_credentials(
    config: Configuration, receipt: PendingRegistration, credentials: Credentials
) -> None:
    """Write the credentials of the receipt to the configuration file.

    Raises `CredentialsNotInstalled` if that fails; the receipt still has them then.
    """
    try:
        update_env_file(config.env_file, build_settings(receipt, credentials))
    except ScaiWaveError as error:
        problem = CredentialsNotInstalled(
            f"{error.message} The credentials are saved in {receipt_path(config.home)}.",
            fix=f"{error.fix} Then run `scaiwave sync register` again to continue.",
        )
    else:
        return
    raise problem


def find_overridden_settings(
    config: Configuration, receipt: PendingRegistration, credentials: Credentials
) -> list[str]:
    """Return the settings that have another value in the environment than in the file now."""
    return [
        name
        for name, value in build_settings(receipt, credentials).items()
        if config.get_raw(name)[1] == "environment" and config.get_str(name) != value
    ]


def verify_credentials(url: str, client_id: str, client_secret: str) -> str:
    """Fetch a token and return its scope, such as GLOBAL; '' if ScaiKey does not state one.

    Raises `UpstreamUnauthorized`, or an `UpstreamError` if ScaiKey can't be asked.
    """
    with ScaiKeyClient(url, client_id=client_id, client_secret=client_secret) as client:
        try:
            return client.app_scope
        except UpstreamUnauthorized as error:
            error.fix = (
                "Check the settings with `scaiwave sync show-config`, or get new credentials with "
                "`scaiwave sync register --replace`."
            )
            raise


def verify_replacement(
    receipt: PendingRegistration, credentials: Credentials, configured_in: Path
) -> str:
    """Fetch a token with new credentials and read a tenant with it; return the token's scope.

    Raises what ScaiKey's client raises, with advice that the configured credentials are unchanged.
    """
    with ScaiKeyClient(
        receipt.url, client_id=credentials.client_id, client_secret=credentials.client_secret
    ) as client:
        try:
            token_scope = client.app_scope
            with client.iter_pages("tenants", per_page=1, in_flight=1) as pages:
                next(iter(pages), None)
        except ScaiWaveError as error:
            error.message = f"The new credentials do not work yet. {error.message}"
            error.args = (error.message,)
            error.fix = (
                f"The credentials in {configured_in} are unchanged. Check application "
                f"{credentials.application_id or credentials.client_id} in ScaiKey, then run "
                "`scaiwave sync register` again, or with --cancel to discard the new ones."
            )
            raise
    return token_scope


def load_pending(config: Configuration) -> PendingRegistration | None:
    """Return the pending registration, with its credentials wherever they were saved.

    Raises `ReceiptUnreadable`.
    """
    receipt = load_receipt(config.home)
    if receipt is None or receipt.credentials is not None:
        return receipt
    for path in _list_rescue_files():
        if credentials := _read_rescue_file(path, receipt):
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
    """Delete the receipt and every other file that has secrets of this registration."""
    delete_receipt(config.home)
    if receipt is None:
        return
    for path in _list_rescue_files():
        if _read_rescue_file(path, receipt):
            path.unlink(missing_ok=True)


def _rescue_credentials(
    reason: str, receipt: PendingRegistration, settings: Mapping[str, str]
) -> ScaiWaveError:
    """Save the settings outside of the home directory; return the error that names the place."""
    lines = _rescue_heading(receipt) + "".join(
        f"{name}={quote_value(name, value)}\n" for name, value in settings.items()
    )
    if path := _write_rescue_file(lines):
        return CredentialsSavedElsewhere(f"{reason} The credentials are in {path}.")
    # The user's own terminal: a log or a pipe must never receive a secret.
    with suppress(OSError), TERMINAL.open("w", encoding="utf-8") as terminal:
        terminal.write(f"\n{lines}\n")
        terminal.flush()
        return CredentialsSavedElsewhere(
            f"{reason} The credentials are {ON_TERMINAL}.",
            fix="Copy those lines to the configuration file; ScaiKey does not hand them out again.",
        )
    return CredentialsLost(
        f"{reason} The credentials could not be saved anywhere and are lost.",
        fix="Free some space, remove application "
        f"{settings['SCAIWAVE_SCAIKEY_CLIENT_ID']} in ScaiKey, and run `scaiwave sync register "
        "--restart`.",
    )


def _rescue_heading(receipt: PendingRegistration) -> str:
    return f"# Request {receipt.request_id} at {receipt.url}\n"


def _write_rescue_file(lines: str) -> Path | None:
    """Try a new file in every other directory that may be on another disk."""
    for directory in _list_rescue_directories():
        try:
            descriptor, name = tempfile.mkstemp(
                prefix=RESCUE_PREFIX, suffix=RESCUE_SUFFIX, dir=directory
            )
        except OSError:
            continue  # The next directory may take it.
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(lines)
                file.flush()
                os.fsync(descriptor)
        except OSError:
            Path(name).unlink()
            continue
        return Path(name)
    return None


def _list_rescue_directories() -> list[Path]:
    """Not `tempfile.gettempdir()`, which raises if every disk it tries is full."""
    variables = (os.environ.get(name, "") for name in ("TMPDIR", "HOME"))
    directories = [Path(name) for name in (*variables, *SHARED_DIRECTORIES)]
    return [directory for directory in dict.fromkeys(directories) if directory.is_absolute()]


def _list_rescue_files() -> list[Path]:
    """Return the private files of this user that `_write_rescue_file` may have written."""
    return [
        path
        for directory in _list_rescue_directories()
        for path in sorted(directory.glob(f"{RESCUE_PREFIX}*{RESCUE_SUFFIX}"))
        if _is_own_private_file(path)
    ]


def _is_own_private_file(path: Path) -> bool:
    """Every user can write to /tmp, so a file there may be someone else's, or a link."""
    try:
        status = path.lstat()
    except OSError:
        return False
    is_private = stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
    return is_private and status.st_uid == os.geteuid()


def _read_rescue_file(path: Path, receipt: PendingRegistration) -> Credentials | None:
    """Return the credentials of this registration; None if incomplete or of another one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        values = read_env_file(path)
    except (OSError, UnicodeDecodeError, ScaiWaveError):
        return None
    names = list(build_settings(receipt, Credentials("", "")))
    if not lines or lines[0] != _rescue_heading(receipt) or not lines[-1].endswith("\n"):
        return None
    if [line.partition("=")[0] for line in lines[1:]] not in (names, names[:-1]):
        return None  # An earlier release wrote no redirect URI, which is the last.
    return Credentials(*(values.get(name, "") for name in names[1:-1]))

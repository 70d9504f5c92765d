"""ScaiKey's credentials, which are handed out once: kept, configured, tried."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from identity_sync.errors import CredentialsLost, CredentialsNotInstalled, CredentialsSavedElsewhere
from identity_sync.services import env_file
from identity_sync.services.env_file import quote_value, update_env_file
from identity_sync.services.registration import receipt as receipts
from identity_sync.services.registration.receipt import (
    PendingRegistration,
    receipt_path,
    save_receipt,
)
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import Credentials
from scaiwave.config import Configuration
from scaiwave.errors import ScaiWaveError, UpstreamUnauthorized

TERMINAL = Path("/dev/tty")
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
    config: Configuration, receipt: PendingRegistration, credentials: Credentials
) -> PendingRegistration:
    """Put what ScaiKey has just handed out on disk, wherever there is room.

    Raises `CredentialsSavedElsewhere` or `CredentialsLost` when that is neither the home nor the
    configuration file.
    """
    kept = replace(receipt, credentials=credentials)
    values = settings_for(receipt.url, credentials)
    try:
        save_receipt(config.home, kept)
    except (ScaiWaveError, OSError) as error:
        why = error.message if isinstance(error, ScaiWaveError) else str(error)
    else:
        return kept
    try:
        update_env_file(config.env_file, values)
    except (ScaiWaveError, OSError):
        problem = _rescued(why, values)
    else:
        return kept
    raise problem


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


def _rescued(why: str, values: Mapping[str, str]) -> ScaiWaveError:
    lines = "".join(f"{name}={quote_value(name, value)}\n" for name, value in values.items())
    place = _elsewhere(lines) or _on_terminal(lines)
    if place is None:
        return CredentialsLost(
            f"{why} The credentials could not be kept anywhere and are lost.",
            fix=f"Make room, remove application {values['SCAIWAVE_SCAIKEY_CLIENT_ID']} in "
            "ScaiKey, and run `scaiwave sync register --restart`.",
        )
    return CredentialsSavedElsewhere(
        f"{why} The credentials are {place}.",
        fix="Move those lines to the configuration file, then run `scaiwave sync register "
        "--restart`; ScaiKey does not hand them out again.",
    )


def _elsewhere(lines: str) -> str | None:
    """Try a file of our own in every other folder that may be on another disk."""
    for folder in _other_folders():
        try:
            descriptor, name = tempfile.mkstemp(
                prefix="scaiwave-credentials-", suffix=".env", dir=folder
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
    return "on your screen and nowhere else"

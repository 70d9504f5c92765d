"""Credentials are handed out once; they survive full disks, lost directories and signals."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from identity_sync.errors import (
    CredentialsLost,
    CredentialsNotInstalled,
    CredentialsSavedElsewhere,
    RegistrationConflict,
)
from identity_sync.registration import credentials
from identity_sync.registration.cancel import cancel_registration
from scaiwave.config.configuration import read_env_file
from scaiwave.core.errors import (
    DiskFull,
    FileUnwritable,
)
from scaiwave.sandbox import Sandbox
from tests.identity_sync.registration.helpers import (
    HOST_OPERATOR,
    NOW,
    ServerHome,
    approve,
    count_status_requests,
    file_size_limit,
    get_mode,
    run_before_answer,
    set_file_size_limit,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]


def test_fail_unwritable_configuration_file_before_the_request(
    server: ServerHome, sandbox: Sandbox
) -> None:
    approve(sandbox, server.register().request_id)
    server.environment["SCAIWAVE_ENV_FILE"] = str(server.home / "missing" / ".env")
    with pytest.raises(FileUnwritable) as caught:
        server.resume()
    assert caught.value.message == (
        f"{server.home}/missing/.env can't be written: No such file or directory."
    )
    assert count_status_requests(sandbox) == 1
    server.environment.clear()
    assert server.resume().outcome == "registered"


def test_fail_full_disk_before_the_request(server: ServerHome, sandbox: Sandbox) -> None:
    approve(sandbox, server.register().request_id)
    with pytest.raises(DiskFull), file_size_limit(0):
        server.resume()
    assert count_status_requests(sandbox) == 1
    assert server.resume().outcome == "registered"


def test_fail_configuration_file_becomes_unwritable_during_the_request(
    server: ServerHome, sandbox: Sandbox
) -> None:
    approve(sandbox, server.register().request_id)
    run_before_answer(sandbox, server.env_file.mkdir)
    with pytest.raises(CredentialsNotInstalled) as caught:
        server.resume()
    assert caught.value.message == (
        f"{server.env_file} can't be written: it is not a regular file. "
        f"The credentials are saved in {server.receipt}."
    )
    assert get_mode(server.receipt) == 0o600
    with pytest.raises(RegistrationConflict):
        cancel_registration(operator=HOST_OPERATOR, config=server.config, now=NOW)

    server.env_file.rmdir()
    sandbox.requests.reset()
    assert server.resume().outcome == "registered"
    assert count_status_requests(sandbox) == 0


@pytest.fixture
def other_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "other-disk"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A path without a terminal, even if the test run has one."""
    path = tmp_path / "no-such-terminal" / "tty"
    monkeypatch.setattr(credentials, "TERMINAL", path)
    return path


def lose_home(server: ServerHome) -> None:
    server.home.rename(server.home.with_name("lost"))
    server.home.write_text("not a directory")


def restore_home(server: ServerHome) -> None:
    server.home.unlink()
    server.home.with_name("lost").rename(server.home)


def test_fail_home_directory_becomes_unwritable_during_the_request(
    server: ServerHome, sandbox: Sandbox, other_directory: Path
) -> None:
    approve(sandbox, server.register().request_id)
    run_before_answer(sandbox, lambda: lose_home(server))
    with pytest.raises(CredentialsSavedElsewhere) as caught:
        server.resume()
    rescued = next(other_directory.iterdir())
    assert caught.value.message == (
        f"{server.receipt} can't be written: Not a directory. The credentials are in {rescued}."
    )
    assert get_mode(rescued) == 0o600
    written = read_env_file(rescued)
    assert sandbox.clients.authenticate(
        written["SCAIWAVE_SCAIKEY_CLIENT_ID"], written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"]
    )
    assert written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] not in caught.value.message


def test_success_only_the_receipt_becomes_unwritable(
    server: ServerHome, sandbox: Sandbox, tmp_path: Path
) -> None:
    server.environment["SCAIWAVE_ENV_FILE"] = str(tmp_path / "elsewhere.env")
    approve(sandbox, server.register().request_id)

    def break_receipt() -> None:
        server.receipt.unlink()
        server.receipt.mkdir()

    run_before_answer(sandbox, break_receipt)
    with pytest.raises(OSError):  # noqa: PT011
        server.resume()
    assert "SCAIWAVE_SCAIKEY_CLIENT_SECRET" in read_env_file(tmp_path / "elsewhere.env")


def response_files(server: ServerHome) -> list[Path]:
    return list(server.home.glob(".scaikey-registration.json.*.response"))


def test_success_disk_becomes_full_during_the_request(server: ServerHome, sandbox: Sandbox) -> None:
    """The space for ScaiKey's answer was reserved, so that it survives where it came in."""
    approve(sandbox, server.register().request_id)
    run_before_answer(sandbox, lambda: set_file_size_limit(0))
    with pytest.raises(CredentialsNotInstalled) as caught, file_size_limit():
        server.resume()
    (saved,) = response_files(server)
    assert caught.value.message == (
        f"{server.receipt} can't be written: File too large. The credentials are saved in {saved}."
    )
    assert get_mode(saved) == 0o600
    with pytest.raises(RegistrationConflict):
        cancel_registration(operator=HOST_OPERATOR, config=server.config, now=NOW)
    sandbox.requests.reset()
    assert server.resume().outcome == "registered"
    assert count_status_requests(sandbox) == 0
    assert response_files(server) == []


def lose_home_and_space(server: ServerHome) -> None:
    lose_home(server)
    set_file_size_limit(0)


def test_fail_credentials_cannot_be_written_anywhere(
    server: ServerHome, sandbox: Sandbox, no_terminal: Path
) -> None:
    approve(sandbox, server.register().request_id)
    run_before_answer(sandbox, lambda: lose_home_and_space(server))
    with pytest.raises(CredentialsLost) as caught, file_size_limit():
        server.resume()
    assert caught.value.message == (
        f"{server.receipt} can't be written: Not a directory. "
        "The credentials could not be saved anywhere and are lost."
    )
    # Unless the directory comes back.
    restore_home(server)
    assert server.resume().outcome == "registered"


def test_fail_credentials_are_printed_at_a_terminal_if_nothing_is_writable(
    server: ServerHome, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = os.openpty()
    monkeypatch.setattr(credentials, "TERMINAL", Path(os.ttyname(slave)))
    approve(sandbox, server.register().request_id)
    run_before_answer(sandbox, lambda: lose_home_and_space(server))
    with pytest.raises(CredentialsSavedElsewhere) as caught, file_size_limit():
        server.resume()
    output = os.read(master, 10_000).decode()
    os.close(master)
    os.close(slave)
    assert "SCAIWAVE_SCAIKEY_CLIENT_SECRET=" in output
    assert caught.value.message.endswith("The credentials are on your terminal and nowhere else.")
    assert caught.value.fix == (
        "Copy those lines to the configuration file; ScaiKey does not hand them out again."
    )


def test_success_interrupt_waits_until_the_credentials_are_saved(
    server: ServerHome, sandbox: Sandbox
) -> None:
    approve(sandbox, server.register().request_id)
    main = threading.main_thread().ident
    assert main is not None
    run_before_answer(sandbox, lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        server.resume()
    assert json.loads(server.receipt.read_text())["credentials"]["client_id"]
    assert server.resume().outcome == "registered"

"""What a killed process has left in the home directory: result, used, and then removed."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from identity_sync.errors import CredentialsLost, RegistrationBusy, RegistrationConflict
from identity_sync.registration import credentials
from identity_sync.registration.receipt import registration_lock
from identity_sync.reports.status import sync_status
from scaiwave.config.configuration import read_env_file
from scaiwave.operations.overview.sync import build_sync_part
from scaiwave.sandbox import Sandbox
from tests.identity_sync.registration.helpers import (
    HOST_OPERATOR,
    NOW,
    ServerHome,
    approve,
    count_status_requests,
    get_mode,
)
from tests.tenants.factories import read_outputs

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=1, tenants=2, people=4, groups=1),
]


@pytest.fixture
def other_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory besides the home directory into which credentials may go."""
    directory = tmp_path / "other-disk"
    directory.mkdir()
    monkeypatch.setattr(credentials, "_list_rescue_directories", lambda: [directory])
    return directory


@pytest.fixture
def receipt(server: ServerHome, sandbox: Sandbox) -> dict[str, Any]:
    """The receipt of an approved request, with the credentials that a killed process fetched."""
    server.register()
    receipt: dict[str, Any] = json.loads(server.receipt.read_text())
    approve(sandbox, receipt["request_id"])
    pending = sandbox.registrations.get(receipt["request_id"])
    assert sandbox.registrations.claim_credentials(pending)
    receipt["credentials"] = {
        "client_id": pending.client.client_id,
        "client_secret": sandbox.clients.get_secret(pending.client),
        "application_id": pending.client.application_id,
        "issuer": sandbox.get_issuer(None),
    }
    return receipt


def create_leftover(
    server: ServerHome, content: bytes, name: str = "0123456789abcdef.draft"
) -> Path:
    path = server.home / f".scaikey-registration.json.{name}"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def make_response_file(receipt: dict[str, Any], *, chunked: bool = False) -> bytes:
    """The content of a response file."""
    header = {**receipt, "credentials": None}
    document = {"status": "APPROVED", "credentials": receipt["credentials"]}
    body = json.dumps(document).encode()
    if chunked:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    return json.dumps(header).encode() + b"\n" + head + body + b"\0" * 500


def assert_only_configured(server: ServerHome, receipt: dict[str, Any]) -> None:
    """The secret is in the configuration file and in no other file of the home directory."""
    secret = receipt["credentials"]["client_secret"]
    assert read_env_file(server.env_file)["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] == secret
    files = [path for path in server.home.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == [server.env_file]
    assert get_mode(server.env_file) == 0o600
    assert [path for path in files if "scaikey-registration" in path.name] == []


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("draft", "whole receipt"),
        ("response", "whole receipt"),
        ("chunked", "whole receipt"),
        ("response", "no receipt"),  # as after a kill between its deletion and that of the rest
        ("draft", "damaged receipt"),
    ],
)
def test_success_leftover_file_is_used_without_a_request(
    server: ServerHome, sandbox: Sandbox, receipt: dict[str, Any], kind: str, left: str
) -> None:
    if kind == "draft":
        create_leftover(server, json.dumps(receipt).encode())
    else:
        content = make_response_file(receipt, chunked=kind == "chunked")
        create_leftover(server, content, "0123456789abcdef.response")
    if left == "no receipt":
        server.receipt.unlink()
    elif left == "damaged receipt":
        server.receipt.write_text("{")
    sandbox.requests.reset()
    if left == "whole receipt":
        assert server.resume(dry_run=True).outcome == "planned"
    assert server.resume().outcome == "registered"
    assert count_status_requests(sandbox) == 0
    assert_only_configured(server, receipt)


def test_success_complete_leftover_file_among_several_is_used(
    server: ServerHome, receipt: dict[str, Any]
) -> None:
    receipt_json = json.dumps(receipt).encode()
    foreign = json.dumps({**receipt, "request_id": "req_other"}).encode()
    for number, content in enumerate(
        (b"", receipt_json[:-1], receipt_json[:40], receipt_json, foreign, b"\0" * 99)
    ):
        create_leftover(server, content, f"{number:016}.draft")
    assert server.resume().outcome == "registered"
    assert_only_configured(server, receipt)


def test_fail_leftover_file_of_another_request(server: ServerHome, receipt: dict[str, Any]) -> None:
    other = {**receipt, "request_id": "req_other"}
    create_leftover(server, json.dumps(other).encode())
    create_leftover(server, make_response_file(other), "0123456789abcdef.response")
    with pytest.raises(CredentialsLost):
        server.resume()


@pytest.mark.parametrize("cut", [1, 100, 300])
def test_fail_incomplete_leftover_file(
    server: ServerHome, receipt: dict[str, Any], cut: int
) -> None:
    create_leftover(server, json.dumps(receipt).encode()[:-cut])
    create_leftover(server, make_response_file(receipt)[: -500 - cut], "0123456789abcdef.response")
    with pytest.raises(CredentialsLost):
        server.resume()
    assert not list(server.home.glob(".scaikey*"))


def test_fail_restart_would_discard_credentials(
    server: ServerHome, receipt: dict[str, Any]
) -> None:
    create_leftover(server, json.dumps(receipt).encode())
    with pytest.raises(RegistrationConflict):
        server.register(restart=True)


def test_fail_file_of_a_running_process(server: ServerHome, receipt: dict[str, Any]) -> None:
    """The second process does not change what the first one has written so far."""
    draft = create_leftover(server, json.dumps(receipt).encode())
    with registration_lock(server.home), pytest.raises(RegistrationBusy):
        server.resume()
    assert draft.exists()


def test_success_credentials_saved_elsewhere_are_used(
    server: ServerHome, sandbox: Sandbox, receipt: dict[str, Any], other_directory: Path
) -> None:
    """Used from there once the home directory can be written again, and removed there."""
    rescued = create_rescue_file(receipt, other_directory)
    sandbox.requests.reset()
    assert server.resume().outcome == "registered"
    assert count_status_requests(sandbox) == 0
    assert_only_configured(server, receipt)
    assert not rescued.exists()


def create_rescue_file(receipt: dict[str, Any], directory: Path) -> Path:
    result = receipt["credentials"]
    descriptor, name = tempfile.mkstemp("env", "scaiwave-credentials-", directory)
    os.close(descriptor)
    path = Path(name).rename(f"{name}.env")
    path.write_text(
        f"# Request {receipt['request_id']} at {receipt['url']}\n"
        f"SCAIWAVE_SCAIKEY_URL={receipt['url']}\n"
        f"SCAIWAVE_SCAIKEY_CLIENT_ID={result['client_id']}\n"
        f"SCAIWAVE_SCAIKEY_CLIENT_SECRET={result['client_secret']}\n"
        f"SCAIWAVE_SCAIKEY_APP_ID={result['application_id']}\n"
        f"SCAIWAVE_SCAIKEY_ISSUER={result['issuer']}\n"
    )
    return path


@pytest.mark.parametrize("flaw", ["cut", "foreign", "open", "link"])
def test_fail_invalid_file_saved_elsewhere(
    server: ServerHome, receipt: dict[str, Any], other_directory: Path, tmp_path: Path, flaw: str
) -> None:
    path = create_rescue_file(receipt, other_directory)
    match flaw:
        case "cut":
            path.write_text(path.read_text()[:-3])
        case "foreign":
            path.write_text(path.read_text().replace(receipt["request_id"], "req_other"))
        case "open":
            path.chmod(0o644)
        case _:
            path.rename(tmp_path / "real.env")
            path.symlink_to(tmp_path / "real.env")
    with pytest.raises(CredentialsLost):
        server.resume()
    assert stat.S_ISLNK(path.lstat().st_mode) == (flaw == "link")


def test_success_status_show_config_and_the_overview_report_leftover_files(
    server: ServerHome, receipt: dict[str, Any], settings: Any
) -> None:
    create_leftover(server, json.dumps(receipt).encode())
    status = sync_status(operator=HOST_OPERATOR, config=server.config, now=NOW, drift=None)
    assert status.problem is not None
    assert (status.problem.message, status.problem.fix) == (
        f"ScaiKey has approved request {receipt['request_id']}, and its credentials are saved "
        "but not configured.",
        "Run `scaiwave sync register` to configure them.",
    )
    settings.CONFIG = server.config
    assert read_outputs("sync_show_config")[1] == (
        f"Warning: ScaiKey has approved request {receipt['request_id']}, and its credentials are "
        "saved but not configured: run `scaiwave sync register`.\n"
    )
    part = build_sync_part(NOW)
    [card] = [card for card in part.health if card.title == "Registration with ScaiKey"]
    assert card.value == "approved, not configured"
    assert (part.tasks[0].text, part.tasks[0].details) == (
        status.problem.message,
        ["ScaiKey has approved the request. Run this to configure the saved credentials."],
    )

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from identity_sync.models import Registration
from identity_sync.registration_errors import (
    CredentialsInReceipt,
    CredentialsLost,
    CredentialsRescued,
    FileUnwritable,
    NothingPending,
    ReceiptUnreadable,
    RegistrationBusy,
    RegistrationConflict,
    RegistrationOver,
    RegistrationRejected,
    StillPending,
)
from identity_sync.services import credentials
from identity_sync.services.cancel_registration import cancel_registration
from identity_sync.services.register import register
from identity_sync.services.registration_answers import Given
from identity_sync.services.registration_files import registration_lock
from scaiwave.config import read_env_file
from scaiwave.errors import (
    ConfirmationNeeded,
    CredentialsRefused,
    DiskFull,
    InsufficientPermission,
    UpstreamNotFound,
    UpstreamUnreachable,
)
from scaiwave.operators import Operator, Role
from scaiwave.sandbox import Sandbox
from tenants.models import AuditEntry
from tests.identity_sync.registering import (
    HOST,
    NOW,
    Server,
    before_the_answer,
    file_size_limit_lifted,
    set_file_size_limit,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]


@pytest.fixture
def server(home: Path, sandbox: Sandbox) -> Server:
    return Server(home, sandbox.url)


def approve(sandbox: Sandbox, request_id: str) -> None:
    sandbox.registrations.decide(request_id, "APPROVED")


def requests_for_status(sandbox: Sandbox) -> int:
    return sandbox.requests.count("*/status")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_success_whole_way(server: Server, sandbox: Sandbox) -> None:
    server.env_file.write_text("# mine\nSCAIWAVE_SERVER_NAME=chat.example.com\n")
    pending = server.register()
    assert (pending.outcome, pending.state) == ("pending", "PENDING")
    assert mode(server.receipt) == 0o600
    assert server.said == [
        f"Request {pending.request_id} is sent; its status token is kept in {server.receipt}."
    ]
    approve(sandbox, pending.request_id)

    found = server.resume()
    assert (found.outcome, found.state, found.reach) == ("registered", "APPROVED", "GLOBAL")
    written = read_env_file(server.env_file)
    assert written == {
        "SCAIWAVE_SERVER_NAME": "chat.example.com",
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": found.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"],
        "SCAIWAVE_SCAIKEY_APP_ID": found.application_id,
        "SCAIWAVE_SCAIKEY_ISSUER": sandbox.issuer(None),
    }
    assert written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] not in str(found.document())
    assert mode(server.env_file) == 0o600
    assert not server.receipt.exists()

    row = Registration.objects.get()
    assert (row.state, row.request_id) == ("APPROVED", pending.request_id)
    assert (row.client_id, row.scope, row.decided_at) == (found.client_id, "GLOBAL", NOW)
    audit = AuditEntry.objects.order_by("id").values_list("action", "operator", "details__state")
    assert list(audit) == [
        ("register", "ops@example.com", "PENDING"),
        ("register", "ops@example.com", "APPROVED"),
    ]


def test_success_again_does_nothing(server: Server, sandbox: Sandbox) -> None:
    approve(sandbox, server.register().request_id)
    server.resume()
    before = server.env_file.read_text()
    sandbox.requests.reset()
    assert server.register().outcome == "already_registered"
    assert sandbox.requests.count("*/register/*") == 0
    assert server.env_file.read_text() == before
    assert Registration.objects.count() == 1


def test_success_force_registers_anew(server: Server, sandbox: Sandbox) -> None:
    approve(sandbox, server.register().request_id)
    first = server.resume()
    again = server.register(force=True)
    approve(sandbox, again.request_id)
    second = server.resume()
    assert second.client_id != first.client_id
    written = read_env_file(server.env_file)
    assert written["SCAIWAVE_SCAIKEY_CLIENT_ID"] == second.client_id


def test_success_waiting_until_approved(
    server: Server, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity_sync.services.decision.POLL_SECONDS", 0.05)
    asked = iter([None, None, "approve"])

    def decide() -> None:
        if next(asked, None):
            sandbox.registrations.auto_approve = True

    before_the_answer(sandbox, decide)
    assert server.register(wait=30).outcome == "registered"
    assert requests_for_status(sandbox) == 3
    assert "Waiting for approval in ScaiKey (0 s) …" in server.said


def test_success_waiting_outlasts_a_restart_of_scaikey(
    server: Server, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity_sync.services.decision.POLL_SECONDS", 0.05)
    request_id = server.register().request_id
    sandbox.faults.add(path="*/status", status=500, times=1)
    approve(sandbox, request_id)
    assert server.resume(wait=30).outcome == "registered"
    assert any(line.endswith("Still waiting.") for line in server.said)


def test_fail_nobody_decides_in_time(server: Server, sandbox: Sandbox) -> None:
    with pytest.raises(StillPending) as caught:
        server.register(wait=0)
    request_id = Registration.objects.get().request_id
    assert caught.value.message == f"Nobody has decided on request {request_id} within 0 s."
    assert caught.value.exit_code == 1
    assert server.receipt.exists()


@pytest.mark.parametrize(
    ("scope", "find", "flag"),
    [("PARTNER", "partners", "partner_slug"), ("TENANT", "tenants", "tenant_slug")],
)
def test_success_other_scopes(
    server: Server, sandbox: Sandbox, scope: str, find: str, flag: str
) -> None:
    sandbox.registrations.auto_approve = True
    rows = getattr(sandbox.directory, find)
    slug = next(iter(rows() if callable(rows) else rows))["slug"]
    found = register(server.run(), given=server.given(scope=scope.lower(), **{flag: slug}))
    assert (found.scope, found.scope_slug, found.reach) == (scope, slug, scope)


def test_fail_unknown_slug(server: Server) -> None:
    with pytest.raises(UpstreamNotFound) as caught:
        register(server.run(), given=server.given(scope="TENANT", tenant_slug="nobody"))
    assert caught.value.fix == (
        "Check --url, and the slug of the partner or tenant if there is one."
    )
    assert not Registration.objects.exists()


@pytest.mark.parametrize(
    ("missing", "flag"),
    [("url", "--url"), ("name", "--name"), ("scope", "--scope"), ("contact_email", "--contact-email")],
)
def test_fail_missing_answer_in_a_script(server: Server, missing: str, flag: str) -> None:
    with pytest.raises(ConfirmationNeeded) as caught:
        register(server.run(), given=server.given(**{missing: None}))
    assert caught.value.fix == f"Pass {flag}."


def test_success_url_of_the_configuration_is_the_default(server: Server) -> None:
    server.environment["SCAIWAVE_SCAIKEY_URL"] = server.url + "/"
    assert register(server.run(), given=server.given(url=None)).url == server.url


@pytest.mark.parametrize(
    ("answers", "message", "fix"),
    [
        (
            {"url": "scaikey.example.com"},
            "That is not the address of a ScaiKey.",
            "Pass --url as something like https://scaikey.example.com.",
        ),
        (
            {"url": "https://me:pw@scaikey.example.com"},
            "The address of ScaiKey holds more than scheme, host and path.",
            "Pass --url without a user name, a query or a fragment.",
        ),
        (
            {"url": "http://scaikey.example.com"},
            "http://scaikey.example.com is not encrypted, and the client secret would travel "
            "over it.",
            "Use https://, or pass --allow-http if the network between is trusted.",
        ),
        (
            {"scope": "WORLD"},
            "There is no such scope.",
            "Pass --scope as GLOBAL or PARTNER or TENANT.",
        ),
        (
            {"contact_email": "nobody"},
            "That is not an e-mail address.",
            "Pass --contact-email as something like ops@example.com.",
        ),
        (
            {"name": " "},
            "--name is empty, too long or holds control characters.",
            "Pass --name as 1 to 200 printable characters.",
        ),
        (
            {"tenant_slug": "acme"},
            "--tenant-slug does not go with the scope GLOBAL.",
            "Leave --tenant-slug out, or pass --scope TENANT.",
        ),
    ],
)
def test_fail_answer_that_cannot_be_sent(
    server: Server, sandbox: Sandbox, answers: dict[str, str], message: str, fix: str
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        register(server.run(), given=server.given(**answers))
    assert (caught.value.message, caught.value.fix) == (message, fix)  # type: ignore[attr-defined]
    assert sandbox.requests.total == 0


def test_fail_rejected(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    sandbox.registrations.decide(request_id, "REJECTED", "Not one of ours.")
    with pytest.raises(RegistrationRejected) as caught:
        server.resume()
    assert caught.value.message == f"ScaiKey has rejected request {request_id}: Not one of ours."
    assert caught.value.fix == (
        "Settle that with who runs ScaiKey. Run `scaiwave sync register` to begin again."
    )
    row = Registration.objects.get()
    assert (row.state, row.rejection_reason) == ("REJECTED", "Not one of ours.")
    assert server.register().request_id != request_id


def test_fail_expired(server: Server, sandbox: Sandbox) -> None:
    sandbox.registrations.lifetime = 0
    with pytest.raises(RegistrationOver) as caught:
        server.register()
    row = Registration.objects.get()
    assert row.state == "EXPIRED"
    assert caught.value.message == f"ScaiKey has let request {row.request_id} expire."
    assert caught.value.fix == "Run `scaiwave sync register` to begin again."


def test_fail_cancelled_there(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    sandbox.registrations.decide(request_id, "CANCELLED")
    with pytest.raises(RegistrationOver) as caught:
        server.resume()
    assert caught.value.message == f"ScaiKey has cancelled request {request_id}."


def test_fail_state_that_is_not_documented(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    sandbox.registrations.decide(request_id, "PARKED")
    with pytest.raises(Exception, match="does not document"):
        server.resume()
    assert server.receipt.exists()


def test_fail_scaikey_forgot_the_request(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    sandbox.registrations._requests.clear()
    with pytest.raises(UpstreamNotFound) as caught:
        server.resume()
    assert caught.value.fix == (
        "`scaiwave sync register --restart` drops this request and begins again."
    )
    assert server.register(restart=True).request_id != request_id


def test_fail_credentials_fetched_before(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    approve(sandbox, request_id)
    sandbox.registrations.retrieve(sandbox.registrations.get(request_id))
    with pytest.raises(CredentialsLost) as caught:
        server.resume()
    assert caught.value.message == (
        f"ScaiKey has approved request {request_id}, but its credentials were fetched before "
        "and are not in this home."
    )


def test_success_cancel(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    cancel_registration(operator=HOST, config=server.config, now=NOW)
    assert sandbox.registrations.get(request_id).status == "CANCELLED"
    assert Registration.objects.get().state == "CANCELLED"
    assert not server.receipt.exists()


def test_success_cancel_dry_run_changes_nothing(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    cancel_registration(operator=HOST, config=server.config, now=NOW, dry_run=True)
    assert sandbox.registrations.get(request_id).status == "PENDING"
    assert server.receipt.exists()


def test_fail_cancel_nothing(server: Server) -> None:
    with pytest.raises(NothingPending) as caught:
        cancel_registration(operator=HOST, config=server.config, now=NOW)
    assert caught.value.message == "No request is pending in this home."


def test_fail_cancel_after_the_decision(server: Server, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    approve(sandbox, request_id)
    with pytest.raises(RegistrationConflict) as caught:
        cancel_registration(operator=HOST, config=server.config, now=NOW)
    assert caught.value.message == f"Request {request_id} has been decided in ScaiKey."
    assert caught.value.fix == "Run `scaiwave sync register` to see the decision."
    assert server.receipt.exists()


def test_success_restart_cancels_and_begins_again(server: Server, sandbox: Sandbox) -> None:
    first = server.register().request_id
    second = server.register(restart=True).request_id
    assert sandbox.registrations.get(first).status == "CANCELLED"
    assert sandbox.registrations.get(second).status == "PENDING"


def test_success_restart_gives_up_a_decided_request(server: Server, sandbox: Sandbox) -> None:
    first = server.register().request_id
    approve(sandbox, first)
    assert server.register(restart=True).outcome == "pending"
    assert f"Request {first} has been decided in ScaiKey. Its answer is given up." in server.said


def test_fail_other_answers_than_the_pending_request(server: Server) -> None:
    server.register()
    with pytest.raises(RegistrationConflict) as caught:
        register(server.run(), given=Given(name="other"))
    assert caught.value.message == "A request with another --name is pending: 'chat'."


def test_fail_pending_in_another_home(server: Server, tmp_path: Path) -> None:
    request_id = server.register().request_id
    other = Server(tmp_path / "other", server.url)
    with pytest.raises(RegistrationConflict) as caught:
        other.register()
    assert caught.value.message == (
        f"Request {request_id} at {server.url} is pending, and its status token is in another "
        "home."
    )
    assert other.register(restart=True).outcome == "pending"
    assert Registration.objects.get(request_id=request_id).state == "CANCELLED"


def test_fail_damaged_receipt(server: Server) -> None:
    server.receipt.write_text('{"url": 1')
    with pytest.raises(ReceiptUnreadable) as caught:
        server.register()
    assert caught.value.message == f"{server.receipt} can't be read: it is damaged."
    assert server.register(restart=True).outcome == "pending"


def test_fail_two_at_once(server: Server) -> None:
    with registration_lock(server.home), pytest.raises(RegistrationBusy) as caught:
        server.register()
    assert caught.value.message == (
        "Another `scaiwave sync register` is running in this home."
    )


@pytest.mark.parametrize("role", [Role.PARTNER_ADMIN, Role.TENANT_ADMIN, Role.PLATFORM_READ])
def test_fail_role(server: Server, sandbox: Sandbox, role: Role) -> None:
    operator = Operator("anna", role, partner_id="prt_1", tenant_id="tnt_1")
    with pytest.raises(InsufficientPermission):
        register(server.run(operator=operator), given=server.given())
    with pytest.raises(InsufficientPermission):
        cancel_registration(operator=operator, config=server.config, now=NOW)
    assert sandbox.requests.total == 0


def test_fail_configured_credentials_are_refused(server: Server, sandbox: Sandbox) -> None:
    server.env_file.write_text(
        f"SCAIWAVE_SCAIKEY_URL={server.url}\n"
        "SCAIWAVE_SCAIKEY_CLIENT_ID=nobody\nSCAIWAVE_SCAIKEY_CLIENT_SECRET=nothing\n"
    )
    with pytest.raises(CredentialsRefused) as caught:
        server.resume()
    assert caught.value.exit_code == 3
    assert caught.value.fix == (
        "`scaiwave sync show-config` shows what is set and where; "
        "`scaiwave sync register --force` asks ScaiKey for new credentials."
    )


def test_fail_registered_with_another_scaikey(server: Server, sandbox: Sandbox) -> None:
    approve(sandbox, server.register().request_id)
    server.resume()
    with pytest.raises(RegistrationConflict) as caught:
        register(server.run(), given=Given(url="https://other.example.com"))
    assert caught.value.message == f"This server is registered with {server.url}."


def test_fail_scaikey_is_down(server: Server, sandbox: Sandbox) -> None:
    sandbox.stop()
    with pytest.raises(UpstreamUnreachable) as caught:
        server.register()
    assert caught.value.exit_code == 2
    assert not server.receipt.exists()


def test_success_dry_run_sends_nothing(server: Server, sandbox: Sandbox) -> None:
    found = server.register(dry_run=True)
    assert (found.outcome, found.name) == ("planned", "chat")
    request_id = server.register().request_id
    approve(sandbox, request_id)
    sandbox.requests.reset()
    assert server.resume(dry_run=True).request_id == request_id
    assert server.register(dry_run=True, restart=True).outcome == "planned"
    assert sandbox.requests.total == 0
    assert server.receipt.exists()


def test_success_environment_that_beats_the_file_is_named(server: Server, sandbox: Sandbox) -> None:
    sandbox.registrations.auto_approve = True
    server.environment["SCAIWAVE_SCAIKEY_CLIENT_ID"] = "exported"
    assert server.register().overridden == ["SCAIWAVE_SCAIKEY_CLIENT_ID"]


# What can be had once must not get lost: the ways it could.


def test_fail_configuration_file_is_found_unwritable_before_asking(
    server: Server, sandbox: Sandbox
) -> None:
    approve(sandbox, server.register().request_id)
    server.env_file.mkdir()
    server.environment["SCAIWAVE_ENV_FILE"] = str(server.home / "missing" / ".env")
    with pytest.raises(FileUnwritable):
        server.resume()
    assert requests_for_status(sandbox) == 1
    server.environment.clear()
    server.env_file.rmdir()
    assert server.resume().outcome == "registered"


def test_fail_full_disk_is_found_before_asking(server: Server, sandbox: Sandbox) -> None:
    approve(sandbox, server.register().request_id)
    with pytest.raises(DiskFull), file_size_limit_lifted():
        set_file_size_limit(0)
        server.resume()
    assert requests_for_status(sandbox) == 1
    assert server.resume().outcome == "registered"


def test_fail_configuration_file_breaks_between(server: Server, sandbox: Sandbox) -> None:
    approve(sandbox, server.register().request_id)
    before_the_answer(sandbox, server.env_file.mkdir)
    with pytest.raises(CredentialsInReceipt) as caught:
        server.resume()
    assert caught.value.message == (
        f"{server.env_file} can't be written: it is not a regular file. "
        f"The credentials are safe in {server.receipt}."
    )
    assert mode(server.receipt) == 0o600
    with pytest.raises(RegistrationConflict):
        cancel_registration(operator=HOST, config=server.config, now=NOW)

    server.env_file.rmdir()
    sandbox.requests.reset()
    assert server.resume().outcome == "registered"
    assert requests_for_status(sandbox) == 0


@pytest.fixture
def other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "other-disk"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A place where there is no terminal, whatever the test run itself has."""
    place = tmp_path / "no-such-terminal" / "tty"
    monkeypatch.setattr(credentials, "TERMINAL", place)
    return place


def lose_home(server: Server) -> None:
    server.home.rename(server.home.with_name("lost"))
    server.home.write_text("not a folder")


def test_fail_home_breaks_between(server: Server, sandbox: Sandbox, other_folder: Path) -> None:
    approve(sandbox, server.register().request_id)
    before_the_answer(sandbox, lambda: lose_home(server))
    with pytest.raises(CredentialsRescued) as caught:
        server.resume()
    rescued = next(other_folder.iterdir())
    assert caught.value.message == (
        f"{server.receipt} can't be written: Not a directory. "
        f"The credentials are in {rescued}."
    )
    assert mode(rescued) == 0o600
    written = read_env_file(rescued)
    assert sandbox.clients.authenticate(
        written["SCAIWAVE_SCAIKEY_CLIENT_ID"], written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"]
    )
    assert written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] not in caught.value.message


def test_success_only_the_receipt_breaks_between(
    server: Server, sandbox: Sandbox, tmp_path: Path
) -> None:
    server.environment["SCAIWAVE_ENV_FILE"] = str(tmp_path / "elsewhere.env")
    approve(sandbox, server.register().request_id)

    def break_receipt() -> None:
        server.receipt.unlink()
        server.receipt.mkdir()

    before_the_answer(sandbox, break_receipt)
    with pytest.raises(OSError):  # noqa: PT011
        server.resume()
    assert "SCAIWAVE_SCAIKEY_CLIENT_SECRET" in read_env_file(tmp_path / "elsewhere.env")


def test_fail_nowhere_to_write_and_nobody_there(
    server: Server, sandbox: Sandbox, no_terminal: Path
) -> None:
    approve(sandbox, server.register().request_id)
    before_the_answer(sandbox, lambda: set_file_size_limit(0))
    with pytest.raises(CredentialsLost) as caught, file_size_limit_lifted():
        server.resume()
    assert caught.value.message == (
        f"{server.receipt} can't be written: File too large. "
        "The credentials could not be kept anywhere and are lost."
    )
    assert server.register(restart=True).outcome == "pending"


def test_fail_nowhere_to_write_but_a_terminal(
    server: Server, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = os.openpty()
    monkeypatch.setattr(credentials, "TERMINAL", Path(os.ttyname(slave)))
    approve(sandbox, server.register().request_id)
    before_the_answer(sandbox, lambda: set_file_size_limit(0))
    with pytest.raises(CredentialsRescued) as caught, file_size_limit_lifted():
        server.resume()
    shown = os.read(master, 10_000).decode()
    os.close(master)
    os.close(slave)
    assert "SCAIWAVE_SCAIKEY_CLIENT_SECRET=" in shown
    assert caught.value.message.endswith(
        "The credentials are on your screen and nowhere else."
    )


def test_success_after_a_kill_between_fetching_and_configuring(
    server: Server, sandbox: Sandbox
) -> None:
    """The receipt then holds the credentials, and ScaiKey would not hand them out again."""
    approve(sandbox, server.register().request_id)
    before_the_answer(sandbox, server.env_file.mkdir)
    with pytest.raises(CredentialsInReceipt):
        server.resume()
    server.env_file.rmdir()
    assert server.resume().outcome == "registered"


def test_success_interrupt_waits_until_the_credentials_are_kept(
    server: Server, sandbox: Sandbox
) -> None:
    approve(sandbox, server.register().request_id)
    main = threading.main_thread().ident
    assert main is not None
    before_the_answer(sandbox, lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        server.resume()
    assert json.loads(server.receipt.read_text())["credentials"]["client_id"]
    assert server.resume().outcome == "registered"


# The command.


@pytest.fixture
def command_server(server: Server, settings: Any) -> Server:
    settings.CONFIG = server.config
    return server


def flags(server: Server) -> list[str]:
    given = server.given()
    return [
        f"--url={given.url}",
        f"--name={given.name}",
        f"--scope={given.scope}",
        f"--contact-email={given.contact_email}",
    ]


def test_success_command_says_what_is_next(command_server: Server) -> None:
    out, err = StringIO(), StringIO()
    call_command("sync_register", *flags(command_server), stdout=out, stderr=err)
    row = Registration.objects.get()
    lines = dict(line.split(maxsplit=1) for line in out.getvalue().splitlines()[:4])
    assert lines == {
        "Outcome": "pending",
        "State": "PENDING",
        "ScaiKey": command_server.url,
        "Request": row.request_id,
    }
    assert err.getvalue().splitlines()[-1] == (
        f"Next: approve request {row.request_id} in ScaiKey, then run "
        "`scaiwave sync register` again."
    )


def test_success_command_json(command_server: Server, sandbox: Sandbox) -> None:
    sandbox.registrations.auto_approve = True
    out, err = StringIO(), StringIO()
    call_command("sync_register", *flags(command_server), "--json", stdout=out, stderr=err)
    document = json.loads(out.getvalue())
    assert document["outcome"] == "registered"
    assert "****" in document["client_secret"]
    assert err.getvalue() == ""


def test_success_command_cancel(command_server: Server) -> None:
    request_id = command_server.register().request_id
    out = StringIO()
    call_command("sync_register", "--cancel", stdout=out, stderr=StringIO())
    assert out.getvalue().splitlines() == [
        "Outcome     cancelled",
        f"Request id  {request_id}",
        f"Url         {command_server.url}",
    ]


INTERACTIVE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "scaiwave.settings"
from scaiwave.cli import main
main(["manage", "migrate", "-v", "0"])
sys.exit(main(["sync", "register", "--wait"]))
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    master, slave = os.openpty()
    yield master, slave
    os.close(master)


def test_success_interactive(
    server: Server, sandbox: Sandbox, database_url: str, terminal: tuple[int, int]
) -> None:
    """Everything is asked at a terminal; a wrong answer is asked for again."""
    sandbox.registrations.auto_approve = True
    master, slave = terminal
    os.environ["TERM"] = "xterm"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERACTIVE], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    answers = [
        ("URL of ScaiKey: ", f"{server.url}/"),
        ("Name of this server in ScaiKey [localhost]: ", ""),
        ("Scope (GLOBAL, PARTNER or TENANT) [GLOBAL]: ", "earth"),
        ("Scope (GLOBAL, PARTNER or TENANT) [GLOBAL]: ", "tenant"),
        ("Slug of the tenant in ScaiKey: ", tenant_slug(sandbox)),
        ("Contact e-mail: ", "ops@example.com"),
    ]
    shown = ""
    for question, answer in answers:
        while not shown.endswith(question):
            shown += os.read(master, 4096).decode()
        os.write(master, f"{answer}\n".encode())
    with pytest.raises(OSError):  # noqa: PT011
        while True:  # Until the terminal is hung up.
            shown += os.read(master, 4096).decode()
    assert process.wait() == 0
    assert "There is no such scope. Pass --scope as GLOBAL or PARTNER or TENANT." in shown
    assert "Next: `scaiwave sync`." in shown
    written = read_env_file(server.env_file)
    assert written["SCAIWAVE_SCAIKEY_URL"] == server.url
    assert written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] not in shown


def tenant_slug(sandbox: Sandbox) -> str:
    return str(next(iter(sandbox.directory.tenants()))["slug"])

from __future__ import annotations

import threading
import time

import pytest

from identity_sync.errors import NoPendingRegistration, RegistrationRejected
from identity_sync.models import Registration, RegistrationState
from identity_sync.registration.cancel import cancel_registration
from identity_sync.registration.export_env import export_env
from identity_sync.registration.receipt import load_receipt
from identity_sync.registration.record import record_state
from identity_sync.registration.register import RegistrationResult, register
from identity_sync.registration.show_config import show_config
from identity_sync.reports.status import sync_status
from scaiwave.config.configuration import read_env_file
from scaiwave.core.errors import (
    ConfirmationNeeded,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from scaiwave.sandbox import Sandbox
from tenants.models import AuditEntry
from tests.identity_sync.registration.helpers import (
    HOST_OPERATOR,
    NOW,
    ServerHome,
    approve,
    count_status_requests,
    get_mode,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]


def test_success_requested_approved_and_configured(server: ServerHome, sandbox: Sandbox) -> None:
    server.env_file.write_text("# mine\nSCAIWAVE_SERVER_NAME=chat.example.com\n")
    pending = server.register()
    assert (pending.outcome, pending.state) == ("pending", "PENDING")
    assert get_mode(server.receipt) == 0o600
    assert server.messages == [
        f"Request {pending.request_id} sent. Its status token is saved in {server.receipt}."
    ]
    approve(sandbox, pending.request_id)

    result = server.resume()
    assert (result.outcome, result.state, result.token_scope) == (
        "registered",
        "APPROVED",
        "GLOBAL",
    )
    written = read_env_file(server.env_file)
    assert written == {
        "SCAIWAVE_SERVER_NAME": "chat.example.com",
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": result.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"],
        "SCAIWAVE_SCAIKEY_APP_ID": result.application_id,
        "SCAIWAVE_SCAIKEY_ISSUER": sandbox.get_issuer(None),
        "SCAIWAVE_SCAIKEY_REDIRECT_URI": "http://localhost:8000/oidc/callback/",
    }
    assert written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] not in str(result.document())
    assert get_mode(server.env_file) == 0o600
    assert not server.receipt.exists()

    row = Registration.objects.get()
    assert (row.state, row.request_id) == ("APPROVED", pending.request_id)
    assert (row.client_id, row.scope, row.decided_at) == (result.client_id, "GLOBAL", NOW)
    audit = AuditEntry.objects.order_by("id").values_list("action", "operator", "details__state")
    assert list(audit) == [
        ("register", "ops@example.com", "PENDING"),
        ("register", "ops@example.com", "APPROVED"),
    ]
    client = sandbox.clients.find(result.client_id)
    assert client is not None
    assert (client.app_type, client.redirect_uris) == (
        "WEB",
        ("http://localhost:8000/oidc/callback/",),
    )
    assert set(client.scopes) == {"admin:read", "openid", "profile", "email"}

    before = server.env_file.read_text()
    sandbox.requests.reset()
    assert server.register().outcome == "already_registered"
    assert sandbox.requests.count("*/register/*") == 0
    assert server.env_file.read_text() == before
    assert Registration.objects.count() == 1


def test_success_waiting_until_approved(
    server: ServerHome, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity_sync.registration.poll.POLL_SECONDS", 0.05)

    def approve_after_the_first_request() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not any(
            message.startswith("Waiting") for message in list(server.messages)
        ):
            time.sleep(0.01)
        sandbox.registrations.auto_approve = True

    approval = threading.Thread(target=approve_after_the_first_request)
    approval.start()
    assert server.register(wait=30).outcome == "registered"
    approval.join()
    assert count_status_requests(sandbox) > 1
    assert "Waiting for approval in ScaiKey (0 s) …" in server.messages


def test_success_waiting_continues_after_a_restart_of_scaikey(
    server: ServerHome, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity_sync.registration.poll.POLL_SECONDS", 0.05)
    request_id = server.register().request_id
    sandbox.faults.add("status", path="*/status", status=501, times=1)  # It is not repeated.
    approve(sandbox, request_id)
    assert server.resume(wait=30).outcome == "registered"
    assert any(line.endswith("Still waiting.") for line in server.messages)


def test_fail_unknown_slug(server: ServerHome) -> None:
    with pytest.raises(UpstreamNotFound) as caught:
        register(
            server.make_context(), flags=server.make_flags(scope="TENANT", tenant_slug="unknown")
        )
    assert caught.value.message == "Tenant not found in ScaiKey: unknown."
    assert caught.value.fix == "Check --tenant-slug: it is the slug in ScaiKey."
    assert not Registration.objects.exists()


@pytest.mark.parametrize(
    ("missing", "flag"),
    [
        ("url", "--url"),
        ("name", "--name"),
        ("scope", "--scope"),
        ("contact_email", "--contact-email"),
    ],
)
def test_fail_missing_answer_in_a_script(server: ServerHome, missing: str, flag: str) -> None:
    with pytest.raises(ConfirmationNeeded) as caught:
        register(server.make_context(), flags=server.make_flags(**{missing: None}))
    assert caught.value.fix == f"Pass {flag}."


def test_success_url_of_the_configuration_is_the_default(server: ServerHome) -> None:
    server.environment["SCAIWAVE_SCAIKEY_URL"] = server.url + "/"
    assert register(server.make_context(), flags=server.make_flags(url=None)).url == server.url


@pytest.mark.parametrize(
    ("answers", "message", "fix"),
    [
        (
            {"url": "scaikey.example.com"},
            "Invalid --url: it needs a scheme and a host.",
            "Write --url as something like https://scaikey.example.com.",
        ),
        (
            {"url": "https://me:pw@scaikey.example.com"},
            "Invalid --url: only scheme, host and path are allowed.",
            "Write --url without a user name, query or fragment.",
        ),
        (
            {"url": "http://scaikey.example.com"},
            "Insecure --url: http://scaikey.example.com would receive the client secret "
            "unencrypted.",
            "Use https://, or pass --allow-http if you trust the network between.",
        ),
        (
            {"scope": "WORLD"},
            "Invalid scope: 'WORLD'.",
            "Pass --scope GLOBAL, PARTNER or TENANT.",
        ),
        (
            {"contact_email": "anna"},
            "Invalid e-mail address: 'anna'.",
            "Pass --contact-email as something like ops@example.com.",
        ),
        (
            {"name": " "},
            "Invalid --name: it is empty, too long or contains control characters.",
            "Pass --name as 1 to 200 printable characters.",
        ),
        (
            {"tenant_slug": "acme"},
            "--tenant-slug can't be used with scope GLOBAL.",
            "Leave --tenant-slug out, or pass --scope TENANT.",
        ),
    ],
)
def test_fail_answer_that_cannot_be_sent(
    server: ServerHome, sandbox: Sandbox, answers: dict[str, str], message: str, fix: str
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        register(server.make_context(), flags=server.make_flags(**answers))
    assert (caught.value.message, caught.value.fix) == (message, fix)  # type: ignore[attr-defined]
    assert sandbox.requests.total == 0


def test_success_each_state_is_audited_once(server: ServerHome, sandbox: Sandbox) -> None:
    """Also if the database is lost after a request was sent, or after a state was recorded."""
    server.register()
    Registration.objects.all().delete()
    server.resume()
    server.resume()
    assert Registration.objects.get().state == "PENDING"
    approve(sandbox, Registration.objects.get().request_id)
    receipt = load_receipt(server.home)
    server.resume()
    assert receipt is not None
    record_state(operator=HOST_OPERATOR, receipt=receipt, state=RegistrationState.APPROVED, now=NOW)
    states = AuditEntry.objects.order_by("id").values_list("details__state", flat=True)
    assert list(states) == ["PENDING", "PENDING", "APPROVED"]


NO_SCHEDULER = "No scheduler detected: no scheduled sync has run yet."
TOKEN = "/api/v1/platform/oauth/token"


@pytest.fixture
def first(server: ServerHome, sandbox: Sandbox) -> RegistrationResult:
    """Register the server."""
    approve(sandbox, server.register().request_id)
    return server.resume()


def start_replacement(server: ServerHome, sandbox: Sandbox) -> str:
    """Return the ID of a request that is approved."""
    pending = server.resume(replace_credentials=True)
    approve(sandbox, pending.request_id)
    return pending.request_id


def test_success_credentials_are_replaced(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    before = server.env_file.read_text()
    sandbox.requests.reset()
    plan = server.resume(replace_credentials=True, dry_run=True)
    assert (plan.outcome, plan.replaced_client_id) == ("planned", first.client_id)
    assert plan.redirect_uri == "http://localhost:8000/oidc/callback/"
    assert sandbox.requests.total == 0

    pending = server.resume(replace_credentials=True)
    # The answers of the last request are used again.
    assert (pending.outcome, pending.name, pending.contact_email) == (
        "pending",
        "chat",
        "ops@example.com",
    )
    assert pending.replaced_client_id == first.client_id
    assert "The configured credentials stay in use until the new ones work." in server.messages
    assert server.env_file.read_text() == before
    assert server.resume().outcome == "pending"

    approve(sandbox, pending.request_id)
    result = server.resume()
    assert (result.outcome, result.token_scope) == ("registered", "GLOBAL")
    assert result.client_id != first.client_id
    assert result.replaced_client_id == first.client_id
    assert result.next_step == (
        "run `scaiwave sync`, restart the processes of this server, and remove client "
        f"{first.client_id} in ScaiKey once no other host uses it."
    )
    written = read_env_file(server.env_file)
    assert written["SCAIWAVE_SCAIKEY_CLIENT_ID"] == result.client_id
    assert not server.receipt.exists()
    entries = AuditEntry.objects.order_by("id").values_list("details", flat=True)
    names = ("state", "client_id", "replaced_client_id")
    assert [tuple(details.get(name, "") for name in names) for details in entries][-2:] == [
        ("PENDING", "", first.client_id),
        ("APPROVED", result.client_id, first.client_id),
    ]
    assert server.resume().outcome == "already_registered"


def test_success_while_pending_everything_shows_the_old_ones(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    request_id = server.resume(replace_credentials=True).request_id
    status = sync_status(operator=HOST_OPERATOR, config=server.config, now=NOW, drift=None)
    assert status.credentials["accepted"]
    assert status.registration["state"] == "APPROVED"
    assert status.registration["client_id"] == first.client_id
    assert status.registration["request_id"] == first.request_id
    assert status.registration["pending_request_id"] == request_id
    values = export_env(operator=HOST_OPERATOR, config=server.config, now=NOW)
    assert values["SCAIWAVE_SCAIKEY_CLIENT_ID"] == first.client_id

    approve(sandbox, request_id)
    second = server.resume()
    values = export_env(operator=HOST_OPERATOR, config=server.config, now=NOW)
    assert values["SCAIWAVE_SCAIKEY_CLIENT_ID"] == second.client_id
    assert values["SCAIWAVE_SCAIKEY_REDIRECT_URI"] == second.redirect_uri
    subject = AuditEntry.objects.filter(action="export-env").latest("id").subject_id
    assert subject == str(Registration.objects.get(request_id=request_id).pk)
    status = sync_status(operator=HOST_OPERATOR, config=server.config, now=NOW, drift=None)
    assert status.registration["client_id"] == second.client_id
    assert status.registration["pending_request_id"] is None


@pytest.mark.usefixtures("no_retries")
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"path": TOKEN, "status": 401}, UpstreamUnauthorized),
        ({"path": TOKEN, "status": 500}, UpstreamUnavailable),
        ({"path": "/api/v1/admin/tenants/", "status": 403}, UpstreamForbidden),
    ],
)
def test_fail_new_credentials_do_not_work(
    server: ServerHome,
    sandbox: Sandbox,
    first: RegistrationResult,
    fault: dict[str, object],
    error: type[Exception],
) -> None:
    start_replacement(server, sandbox)
    before = server.env_file.read_text()
    rule = sandbox.faults.add("status", **fault)
    with pytest.raises(error):
        server.resume()
    with pytest.raises(error) as caught:
        server.resume()
    assert rule.fired >= 2
    assert server.env_file.read_text() == before
    problem = caught.value
    assert str(problem).startswith("The new credentials do not work yet. ")
    assert problem.fix.startswith(f"The credentials in {server.env_file} are unchanged. ")  # type: ignore[attr-defined]
    (warning,) = show_config(operator=HOST_OPERATOR, config=server.config).warnings
    assert "its credentials are saved but not configured" in warning

    sandbox.faults.clear()
    sandbox.requests.reset()
    assert server.resume().outcome == "registered"
    assert count_status_requests(sandbox) == 0
    assert server.env_file.read_text() != before


@pytest.mark.parametrize("restart", [True, False])
def test_success_new_credentials_are_discarded(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult, restart: bool
) -> None:
    """They are not the only ones, so that discarding them loses nothing."""
    request_id = start_replacement(server, sandbox)
    before = server.env_file.read_text()
    sandbox.faults.add("status", path=TOKEN, status=401)
    with pytest.raises(UpstreamUnauthorized):
        server.resume()
    sandbox.faults.clear()
    if restart:
        assert server.resume(restart=True).request_id != request_id
        assert any("Remove application app_" in message for message in server.messages)
    else:
        cancel_registration(operator=HOST_OPERATOR, config=server.config, now=NOW)
        with pytest.raises(NoPendingRegistration):
            cancel_registration(operator=HOST_OPERATOR, config=server.config, now=NOW)
        assert server.resume().outcome == "already_registered"
    assert Registration.objects.get(request_id=request_id).state == "CANCELLED"
    assert server.env_file.read_text() == before


def test_fail_rejected_leaves_the_old_ones(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    pending = server.resume(replace_credentials=True)
    sandbox.registrations.decide(pending.request_id, "REJECTED", "Not now")
    with pytest.raises(RegistrationRejected):
        server.resume()
    status = sync_status(operator=HOST_OPERATOR, config=server.config, now=NOW, drift=None)
    assert (status.credentials["accepted"], status.registration["state"]) == (True, "APPROVED")
    assert status.registration["client_id"] == first.client_id
    assert server.resume().outcome == "already_registered"


def test_success_lost_secret(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    """The old secret no longer works, as after it was rotated in ScaiKey."""
    lines = server.env_file.read_text().splitlines()
    secret = "SCAIWAVE_SCAIKEY_CLIENT_SECRET="
    kept = [line for line in lines if not line.startswith(secret)]
    server.env_file.write_text("\n".join([*kept, f"{secret}rotated", ""]))
    with pytest.raises(UpstreamUnauthorized) as caught:
        server.resume()
    assert "`scaiwave sync register --replace`" in caught.value.fix
    sandbox.registrations.auto_approve = True
    assert server.resume(replace_credentials=True).outcome == "registered"
    assert server.resume().outcome == "already_registered"


def test_success_other_answers(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    sandbox.registrations.auto_approve = True
    tenant = next(iter(sandbox.directory.tenants.values()))
    flags = server.make_flags(scope="TENANT", tenant_slug=tenant["slug"], name=None)
    result = register(server.make_context(), flags=flags, replace_credentials=True)
    assert (result.scope, result.token_scope, result.name) == ("TENANT", "TENANT", "chat")
    written = read_env_file(server.env_file)
    assert written["SCAIWAVE_SCAIKEY_ISSUER"] == sandbox.get_issuer(tenant["id"])


def test_success_registration_of_an_earlier_release(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    """It has no redirect URI: syncs work, and every command shows how to get one."""
    text = server.env_file.read_text()
    server.env_file.write_text(text.replace("SCAIWAVE_SCAIKEY_REDIRECT_URI=", "# "))
    warning = (
        "ScaiKey can't sign people in to this server: its registration has no redirect URI, not "
        "http://localhost:8000/oidc/callback/. Run `scaiwave sync register --replace`; syncs do "
        "not need it."
    )
    config = server.config
    status = sync_status(operator=HOST_OPERATOR, config=config, now=NOW, drift=None)
    assert status.credentials["accepted"]
    assert status.warnings == [NO_SCHEDULER, warning]
    assert show_config(operator=HOST_OPERATOR, config=config).warnings == [warning]

    sandbox.registrations.auto_approve = True
    server.resume(replace_credentials=True)
    status = sync_status(operator=HOST_OPERATOR, config=server.config, now=NOW, drift=None)
    assert status.warnings == [NO_SCHEDULER]


def test_success_public_url_was_changed(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    server.environment["SCAIWAVE_PUBLIC_URL"] = "https://chat.example.com/"
    (warning,) = show_config(operator=HOST_OPERATOR, config=server.config).warnings
    assert (
        "only http://localhost:8000/oidc/callback/, not https://chat.example.com/oidc/" in warning
    )
    sandbox.registrations.auto_approve = True
    server.resume(replace_credentials=True)
    assert show_config(operator=HOST_OPERATOR, config=server.config).warnings == []

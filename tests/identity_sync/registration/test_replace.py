"""Replacing the credentials of a registered server, whose old ones work until the new ones do."""

from __future__ import annotations

import pytest

from identity_sync.errors import NoPendingRegistration, RegistrationRejected
from identity_sync.models import Registration
from identity_sync.registration.cancel import cancel_registration
from identity_sync.registration.export_env import export_env
from identity_sync.registration.register import RegistrationResult, register
from identity_sync.registration.show_config import show_config
from identity_sync.reports.status import sync_status
from scaiwave.config.configuration import read_env_file
from scaiwave.core.errors import UpstreamForbidden, UpstreamUnauthorized, UpstreamUnavailable
from scaiwave.sandbox import Sandbox
from tenants.models import AuditEntry
from tests.identity_sync.registration.helpers import (
    HOST_OPERATOR,
    NOW,
    ServerHome,
    approve,
    count_status_requests,
)

NO_SCHEDULER = "No scheduler detected: no scheduled sync has run yet."
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]
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


def test_success(server: ServerHome, sandbox: Sandbox, first: RegistrationResult) -> None:
    before = server.env_file.read_text()
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
    assert server.resume().outcome == "already_registered"


def test_success_audited(server: ServerHome, sandbox: Sandbox, first: RegistrationResult) -> None:
    start_replacement(server, sandbox)
    result = server.resume()
    entries = AuditEntry.objects.order_by("id").values_list("details", flat=True)
    names = ("state", "client_id", "replaced_client_id")
    assert [tuple(details.get(name, "") for name in names) for details in entries][-2:] == [
        ("PENDING", "", first.client_id),
        ("APPROVED", result.client_id, first.client_id),
    ]


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


def test_success_lost_secret(server: ServerHome, sandbox: Sandbox) -> None:
    """The old secret no longer works, as after it was rotated in ScaiKey."""
    approve(sandbox, server.register().request_id)
    server.resume()
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


def test_success_dry_run(server: ServerHome, sandbox: Sandbox, first: RegistrationResult) -> None:
    sandbox.requests.reset()
    plan = server.resume(replace_credentials=True, dry_run=True)
    assert (plan.outcome, plan.replaced_client_id) == ("planned", first.client_id)
    assert plan.redirect_uri == "http://localhost:8000/oidc/callback/"
    assert sandbox.requests.total == 0


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


def test_success_registers_as_an_application_that_signs_in(
    server: ServerHome, sandbox: Sandbox, first: RegistrationResult
) -> None:
    client = sandbox.clients.find(first.client_id)
    assert client is not None
    assert (client.app_type, client.redirect_uris) == (
        "WEB",
        ("http://localhost:8000/oidc/callback/",),
    )
    assert set(client.scopes) == {"admin:read", "openid", "profile", "email"}

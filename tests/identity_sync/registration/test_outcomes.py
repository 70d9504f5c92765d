"""Requests that are not approved, cancelled or discarded; see also `test_states.py`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from identity_sync.errors import (
    CredentialsLost,
    CredentialsUnreadable,
    NoPendingRegistration,
    ReceiptUnreadable,
    RegistrationBusy,
    RegistrationConflict,
)
from identity_sync.models import Registration
from identity_sync.registration.answers import RegistrationFlags
from identity_sync.registration.cancel import cancel_registration
from identity_sync.registration.receipt import registration_lock
from identity_sync.registration.register import register
from scaiwave.core.errors import (
    InsufficientPermission,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tests.identity_sync.registration.helpers import (
    HOST_OPERATOR,
    NOW,
    ServerHome,
    approve,
)
from tests.refusals import refuses

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]


def test_fail_state_that_is_not_documented(server: ServerHome, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    sandbox.registrations.decide(request_id, "PARKED")
    with pytest.raises(Exception, match="undocumented state"):
        server.resume()
    assert server.receipt.exists()


def test_fail_request_is_unknown_to_scaikey(server: ServerHome, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    sandbox.registrations._requests.clear()
    with pytest.raises(UpstreamNotFound) as caught:
        server.resume()
    assert caught.value.fix == (
        "Run `scaiwave sync register --restart` to discard this request and start again."
    )
    assert server.register(restart=True).request_id != request_id


def test_fail_credentials_fetched_before(server: ServerHome, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    approve(sandbox, request_id)
    sandbox.registrations.claim_credentials(sandbox.registrations.get(request_id))
    with pytest.raises(CredentialsLost) as caught:
        server.resume()
    assert caught.value.message == (
        f"ScaiKey has approved request {request_id}, but its credentials were already fetched and "
        f"are not in {server.home}."
    )


def test_success_cancel(server: ServerHome, sandbox: Sandbox) -> None:
    cancel = partial(cancel_registration, operator=HOST_OPERATOR, config=server.config, now=NOW)
    request_id = server.register().request_id
    cancel(dry_run=True)
    assert sandbox.registrations.get(request_id).status == "PENDING"
    assert server.receipt.exists()
    cancel()
    assert sandbox.registrations.get(request_id).status == "CANCELLED"
    assert Registration.objects.get().state == "CANCELLED"
    assert not server.receipt.exists()
    with refuses(NoPendingRegistration, f"No registration request is pending in {server.home}."):
        cancel()
    assert server.resume().request_id != request_id


def test_fail_cancel_after_the_decision(server: ServerHome, sandbox: Sandbox) -> None:
    request_id = server.register().request_id
    approve(sandbox, request_id)
    with pytest.raises(RegistrationConflict) as caught:
        cancel_registration(operator=HOST_OPERATOR, config=server.config, now=NOW)
    assert caught.value.message == (
        f"Request {request_id} has already been approved or rejected in ScaiKey."
    )
    assert caught.value.fix == "Run `scaiwave sync register` to get the result."
    assert server.receipt.exists()


def test_success_restart_cancels_or_discards_and_requests_again(
    server: ServerHome, sandbox: Sandbox
) -> None:
    first = server.register().request_id
    second = server.register(restart=True).request_id
    assert sandbox.registrations.get(first).status == "CANCELLED"
    assert sandbox.registrations.get(second).status == "PENDING"
    approve(sandbox, second)
    assert server.register(restart=True).outcome == "pending"
    assert (
        f"Request {second} has already been approved or rejected in ScaiKey. The result is "
        "discarded."
    ) in server.messages


def test_fail_answers_differ_from_the_pending_request(server: ServerHome) -> None:
    server.register()
    with refuses(RegistrationConflict, "A request with a different --name is pending: 'chat'."):
        register(server.make_context(), flags=RegistrationFlags(name="other"))


def test_fail_pending_in_another_home(server: ServerHome, tmp_path: Path) -> None:
    request_id = server.register().request_id
    other = ServerHome(tmp_path / "other", server.url)
    with pytest.raises(RegistrationConflict) as caught:
        other.register()
    assert caught.value.message == (
        f"Request {request_id} at {server.url} is pending, and its status token is in another "
        "home directory."
    )
    assert other.register(restart=True).outcome == "pending"
    assert Registration.objects.get(request_id=request_id).state == "CANCELLED"


def test_fail_damaged_receipt(server: ServerHome) -> None:
    server.receipt.write_text('{"url": 1')
    with refuses(ReceiptUnreadable, f"{server.receipt} can't be read: it is damaged."):
        server.register()
    assert server.register(restart=True).outcome == "pending"


def test_fail_two_at_once(server: ServerHome) -> None:
    with registration_lock(server.home), pytest.raises(RegistrationBusy) as caught:
        server.register()
    assert caught.value.message == (
        f"Another `scaiwave sync register` is running in {server.home}."
    )


@pytest.mark.parametrize(
    "body",
    [
        {"status": "APPROVED", "client_id": "app", "client_secret": "s3cret"},
        {"status": "APPROVED", "credentials": {"client_id": 1, "client_secret": "s3cret"}},
        {"status": "APPROVED", "credentials": {"clientId": "app", "clientSecret": "s3cret"}},
        {"state": "APPROVED", "credentials": {"client_id": "app", "client_secret": "s3cret"}},
        {"status": "APPROVED", "credentials": [{"client_secret": "s3cret"}]},
    ],
)
def test_fail_credentials_in_another_form(
    server: ServerHome, sandbox: Sandbox, body: dict[str, object]
) -> None:
    server.register()
    sandbox.faults.add("status", path="*/status", status=200, body=body, times=1)
    with pytest.raises(CredentialsUnreadable) as caught:
        server.resume()
    assert_response_is_kept(server, caught.value, "s3cret")


def assert_response_is_kept(server: ServerHome, error: CredentialsUnreadable, secret: str) -> None:
    (copy,) = server.home.glob("scaikey-response-*.http")
    assert str(copy) in error.message
    assert secret in copy.read_text()
    assert secret not in error.message + error.fix
    assert copy.stat().st_mode & 0o777 == 0o600
    assert server.receipt.exists()
    assert not server.env_file.exists()


def test_success_unknown_facts_of_the_credentials_are_null(
    server: ServerHome, sandbox: Sandbox
) -> None:
    server.register()
    body = {
        "status": "APPROVED",
        "request_id": None,
        "credentials": {
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "application_id": None,
            "issuer": None,
        },
    }
    sandbox.faults.add("status", path="*/status", status=200, body=body)
    assert server.resume().outcome == "registered"
    assert not list(server.home.glob("scaikey-response-*"))


@pytest.mark.parametrize(
    "role",
    [
        OperatorRole.PARTNER_ADMIN,
        OperatorRole.TENANT_ADMIN,
        OperatorRole.PLATFORM_READ,
    ],
)
def test_fail_role(server: ServerHome, sandbox: Sandbox, role: OperatorRole) -> None:
    operator = Operator("anna", role, partner_id="prt_1", tenant_id="tnt_1")
    with pytest.raises(InsufficientPermission):
        register(server.make_context(operator=operator), flags=server.make_flags())
    with pytest.raises(InsufficientPermission):
        cancel_registration(operator=operator, config=server.config, now=NOW)
    assert sandbox.requests.total == 0


def test_fail_configured_credentials_are_refused(server: ServerHome, sandbox: Sandbox) -> None:
    server.env_file.write_text(
        f"SCAIWAVE_SCAIKEY_URL={server.url}\n"
        "SCAIWAVE_SCAIKEY_CLIENT_ID=unknown\nSCAIWAVE_SCAIKEY_CLIENT_SECRET=nothing\n"
    )
    with pytest.raises(UpstreamUnauthorized) as caught:
        server.resume()
    assert caught.value.exit_code == 3
    assert caught.value.fix == (
        "Check the settings with `scaiwave sync show-config`, or get new credentials with "
        "`scaiwave sync register --replace`."
    )


def test_fail_registered_with_another_scaikey(server: ServerHome, sandbox: Sandbox) -> None:
    approve(sandbox, server.register().request_id)
    server.resume()
    with refuses(RegistrationConflict, f"This server is already registered with {server.url}."):
        register(server.make_context(), flags=RegistrationFlags(url="https://other.example.com"))


def test_fail_scaikey_is_down(server: ServerHome, sandbox: Sandbox) -> None:
    sandbox.stop()
    with pytest.raises(UpstreamUnreachable) as caught:
        server.register()
    assert caught.value.exit_code == 2
    assert not server.receipt.exists()


def test_success_dry_run_sends_nothing(server: ServerHome, sandbox: Sandbox) -> None:
    result = server.register(dry_run=True)
    assert (result.outcome, result.name) == ("planned", "chat")
    request_id = server.register().request_id
    approve(sandbox, request_id)
    sandbox.requests.reset()
    assert server.resume(dry_run=True).request_id == request_id
    assert server.register(dry_run=True, restart=True).outcome == "planned"
    assert sandbox.requests.total == 0
    assert server.receipt.exists()


def test_success_overriding_environment_variables_are_named(
    server: ServerHome, sandbox: Sandbox
) -> None:
    sandbox.registrations.auto_approve = True
    server.environment["SCAIWAVE_SCAIKEY_CLIENT_ID"] = "exported"
    assert server.register().overridden == ["SCAIWAVE_SCAIKEY_CLIENT_ID"]

"""When `sync register` refuses to run, and what a dry run leaves unchanged."""

from __future__ import annotations

import pytest

from identity_sync.errors import RegistrationConflict
from identity_sync.registration.answers import RegistrationFlags
from identity_sync.registration.cancel import cancel_registration
from identity_sync.registration.register import register
from scaiwave.core.errors import (
    InsufficientPermission,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tests.identity_sync.registration.helpers import (
    NOW,
    ServerHome,
    approve,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]


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
    with pytest.raises(RegistrationConflict) as caught:
        register(server.make_context(), flags=RegistrationFlags(url="https://other.example.com"))
    assert caught.value.message == f"This server is already registered with {server.url}."


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

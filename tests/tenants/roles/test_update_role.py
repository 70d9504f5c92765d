from __future__ import annotations

import json
from functools import partial

import pytest

from scaiwave.core.errors import UsageError
from tenants.errors import InvalidName, RoleBuiltIn, RoleNotFound
from tenants.models import AuditEntry, Role, Tenant
from tenants.roles.update_role import update_role
from tests.concurrency import run_concurrently
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_tenant,
    run_command,
)
from tests.tenants.role_factories import make_role

pytestmark = pytest.mark.django_db


update = partial(
    update_role,
    operator=HOST_OPERATOR,
    role="editors",
    tenant="acme",
    name="Copy editors",
    now=NOW,
)
WORDS = ("update_role", "editors", "--tenant", "acme", "--name", "Copy", "--description", "Texts")


def test_success_changed_and_audited(role: Role) -> None:
    changes = "  name         Editors → Copy\n  description  none → Texts\n"
    assert run_command(*WORDS, "--dry-run") == f"Would change role editors:\n{changes}"
    assert Role.objects.get().name == "Editors"
    assert run_command(*WORDS) == f"Role editors changed:\n{changes}"
    assert "Description  Texts\n" in run_command("show_role", "editors", "--tenant", "acme")
    role.refresh_from_db()
    assert (role.slug, role.name, role.description) == ("editors", "Copy", "Texts")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id, entry.tenant_slug) == (
        "role update",
        str(role.pk),
        "acme",
    )
    assert entry.details == {
        "changes": [
            {"field": "name", "old": "Editors", "new": "Copy"},
            {"field": "description", "old": "", "new": "Texts"},
        ]
    }


def test_success_repeated_changes_nothing(role: Role) -> None:
    run_command(*WORDS)
    again = "Role editors already has these values; nothing changed.\n"
    assert run_command(*WORDS) == again
    document = json.loads(run_command(*WORDS, "--json"))
    assert (document["changed"], document["changes"]) == (False, [])
    assert AuditEntry.objects.count() == 1


def test_success_an_empty_description_removes_it() -> None:
    make_role(make_tenant(), description="Texts")
    result = update(name=None, description="")
    assert result.lines == ["Role editors changed:", "  description  Texts → none"]
    assert Role.objects.get().description == ""


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_concurrent_calls_change_it_once(role: Role) -> None:
    results = run_concurrently(*[update] * 3)
    assert sorted(result.changed for result in results) == [False, False, True]
    assert AuditEntry.objects.count() == 1


def test_fail_built_in(tenant: Tenant) -> None:
    with pytest.raises(RoleBuiltIn) as caught:
        update(role="tenant_admin")
    assert caught.value.message == "Role tenant_admin is built in and can't be changed."
    assert not Role.objects.exists()


def test_fail_values(role: Role) -> None:
    with pytest.raises(UsageError):
        update(name=None)
    for name, description in ((" ", None), (None, "x" * 1001)):
        with pytest.raises(InvalidName):
            update(name=name, description=description)
    with pytest.raises(RoleNotFound):
        update(role="writers")
    assert not AuditEntry.objects.exists()

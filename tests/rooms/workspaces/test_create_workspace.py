from __future__ import annotations

import json
from typing import Any

import pytest

from rooms.errors import WorkspaceConflict
from rooms.models import Workspace
from rooms.workspaces.create_workspace import WorkspaceSpec, create_workspace
from rooms.workspaces.queries import list_workspaces
from scaiwave.core.change import Change
from tenants.errors import InvalidName, InvalidSlug, ParticipantNotFound
from tenants.models import AuditEntry
from tests.concurrency import run_concurrently
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_person,
    make_tenant,
    run_command,
)

pytestmark = pytest.mark.django_db

SALES = WorkspaceSpec("sales", "Sales")


def create(spec: WorkspaceSpec = SALES, **changes: Any) -> Change:
    arguments = {"operator": HOST_OPERATOR, "tenant": "acme", "spec": spec, "now": NOW}
    return create_workspace(**{**arguments, **changes})


def test_success_created_with_an_owner_who_may_import() -> None:
    anna = make_person(make_tenant())
    result = create(WorkspaceSpec("sales", "Sales", "All deals", owner="anna@acme.example"))
    assert result.sentence == (
        "Workspace sales created in tenant acme with owner @anna.acme:localhost."
    )
    workspace, entry = Workspace.objects.get(), AuditEntry.objects.get()
    assert (workspace.name, workspace.description, workspace.created_at) == (
        "Sales",
        "All deals",
        NOW,
    )
    assert (entry.action, entry.subject_id) == ("create-workspace", str(workspace.pk))
    assert entry.details == {"slug": "sales", "name": "Sales", "owner_id": str(anna.pk)}
    (row,) = list_workspaces(operator=HOST_OPERATOR, tenant="acme")
    assert [(person["id"], person["role"]) for person in row["importers"]] == [(anna.pk, "owner")]


def test_success_command() -> None:
    make_tenant()
    words = ("create_workspace", "--tenant", "acme", "--slug", "sales", "--name", "Sales")
    assert run_command(*words, "--dry-run") == "Would create workspace sales in tenant acme.\n"
    assert not Workspace.objects.exists()
    assert run_command(*words) == "Workspace sales created in tenant acme.\n"
    again = "Workspace sales already exists in tenant acme; nothing changed.\n"
    assert run_command(*words) == again
    document = json.loads(run_command(*words, "--json"))
    assert (document["changed"], document["workspace"]["slug"]) == (False, "sales")
    assert AuditEntry.objects.count() == 1


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_created_by_concurrent_calls() -> None:
    make_tenant()
    results = run_concurrently(*[create] * 3)
    assert sorted(result.changed for result in results) == [False, False, True]
    assert AuditEntry.objects.count() == 1


def test_fail_another_name() -> None:
    make_tenant()
    create()
    with pytest.raises(WorkspaceConflict) as caught:
        create(WorkspaceSpec("sales", "Deals"))
    assert caught.value.message == (
        "Workspace sales already exists in tenant acme with the name 'Sales'."
    )


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (WorkspaceSpec("Not a slug", "Sales"), InvalidSlug),
        (WorkspaceSpec("sales", " "), InvalidName),
        (WorkspaceSpec("sales", "x" * 501), InvalidName),
        (WorkspaceSpec("sales", "Sales", "a\x1b"), InvalidName),
        (WorkspaceSpec("sales", "Sales", owner="olga"), ParticipantNotFound),
    ],
)
def test_fail_values(spec: WorkspaceSpec, error: type[Exception]) -> None:
    make_tenant()
    make_person(make_tenant("other"), "olga")
    with pytest.raises(error):
        create(spec)
    assert not Workspace.objects.exists()

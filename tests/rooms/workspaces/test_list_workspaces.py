from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.models import Workspace, WorkspaceMember
from rooms.workspaces.queries import list_workspaces
from tenants.models import Participant, Tenant
from tests.scaiwave.row_factories import (
    NOW,
    make_participant,
    make_room,
    make_tenant,
    make_workspace,
)
from tests.tenants.factories import HOST_OPERATOR, run_command

pytestmark = pytest.mark.django_db


def add_member(to: Workspace, person: Participant, role: str) -> None:
    WorkspaceMember.objects.create(
        tenant=to.tenant, workspace=to, participant=person, role=role, created_at=NOW
    )


@pytest.fixture
def acme() -> Tenant:
    """Create a workspace with every role and a deactivated owner, and an empty workspace.

    Dora, the deactivated owner, counts as a member, and may not import.
    """
    acme, other = make_tenant(), make_tenant("other")
    sales = make_workspace(acme, "sales")
    make_workspace(acme, "empty")
    anna = make_participant(acme)
    add_member(sales, make_participant(acme, "berta"), "editor")
    add_member(sales, anna, "owner")
    add_member(sales, make_participant(acme, "carla"), "viewer")
    add_member(sales, make_participant(acme, "dora", absent_since=NOW), "owner")
    add_member(make_workspace(other), make_participant(other, "olga"), "owner")
    make_room(sales, anna)
    make_room(sales, anna, "Second", state="closed")
    return acme


def test_success_counts_and_importers(acme: Tenant) -> None:
    empty, sales = list_workspaces(operator=HOST_OPERATOR, tenant="acme")
    keys = ("slug", "rooms", "owners", "editors", "viewers")
    assert tuple(empty[key] for key in keys) == ("empty", 0, 0, 0, 0)
    assert tuple(sales[key] for key in keys) == ("sales", 2, 2, 1, 1)
    assert empty["importers"] == []
    assert [(person["fqid"], person["role"]) for person in sales["importers"]] == [
        ("@anna.acme:localhost", "owner"),
        ("@berta.acme:localhost", "editor"),
    ]


def test_success_plain_table(acme: Tenant) -> None:
    empty, sales = Workspace.objects.filter(tenant=acme).order_by("slug")
    assert run_command("list_workspaces", "--tenant", "acme") == (
        f"{'ID':<36}  Slug   Name   Rooms  Owners  Editors  Viewers  May import (--as)\n"
        f"{empty.pk}  empty  empty      0       0        0        0  -\n"
        f"{sales.pk}  sales  sales      2       2        1        1  "
        "@anna.acme:localhost, @berta.acme:localhost\n"
    )


def test_success_many_importers() -> None:
    acme = make_tenant()
    main = make_workspace(acme)
    for number in range(7):
        add_member(main, make_participant(acme, f"p{number}"), "editor")
    line = run_command("list_workspaces", "--tenant", "acme").splitlines()[1]
    assert line.endswith("@p3.acme:localhost, @p4.acme:localhost, and 2 more")
    document = json.loads(run_command("list_workspaces", "--tenant", "acme", "--json"))
    assert [person["display_name"] for person in document["workspaces"][0]["importers"]] == [
        f"P{number}" for number in range(7)
    ]


def test_success_json(acme: Tenant) -> None:
    row = json.loads(run_command("list_workspaces", "--tenant", "acme", "--json"))["workspaces"][1]
    assert [row[name] for name in ("rooms", "owners", "editors", "viewers")] == [2, 2, 1, 1]
    importer = row["importers"][0]
    assert importer["id"] == str(Participant.objects.get(display_name="Anna").pk)
    assert (importer["fqid"], importer["role"]) == ("@anna.acme:localhost", "owner")


def test_success_constant_queries(acme: Tenant) -> None:
    anna = Participant.objects.get(display_name="Anna")
    counts = []
    for numbers in (range(3), range(3, 30)):
        for number in numbers:
            add_member(make_workspace(acme, f"w{number}"), anna, "owner")
        with CaptureQueriesContext(connection) as queries:
            list(list_workspaces(operator=HOST_OPERATOR, tenant="acme"))
        counts.append(len(queries))
    # The tenant, the workspaces, and for their batch the rooms, roles and importers.
    assert counts == [5, 5]

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command

from scaiwave.core.errors import UsageError
from tenants.errors import TenantNotFound
from tenants.models import Participant, Tenant
from tenants.people.queries import participants
from tenants.people.queries.participants import list_participants
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)
from tests.tools import NIGHTLY

pytestmark = pytest.mark.django_db


def names(tenant: str = "acme", **options: Any) -> list[str]:
    rows = list_participants(operator=HOST_OPERATOR, tenant=tenant, **options)
    return [row["display_name"] for row in rows]


@pytest.fixture
def acme() -> Tenant:
    tenant = make_tenant()
    make_person(tenant, "anna")
    make_person(tenant, "berta", scaikey_status="SUSPENDED")
    make_person(tenant, "carla", absent_since=EARLIER)
    make_person(tenant, "gpt", participant_type="model", scaikey_id=None)
    make_person(make_tenant("other"), "olga")
    return tenant


def test_success_filters(acme: Tenant) -> None:
    assert names() == ["Anna", "Berta", "Carla", "Gpt"]
    assert names(status="active") == ["Anna", "Gpt"]
    assert names(status="inactive") == ["Berta", "Carla"]
    assert names(status="suspended") == ["Berta"]
    assert names(status="deactivated") == ["Carla"]
    assert names(participant_type="model") == ["Gpt"]
    assert names(limit=2) == ["Anna", "Berta"]
    assert names(search="ACME.example", status="suspended") == ["Berta"]


def test_success_pages_with_equal_names(acme: Tenant) -> None:
    """The next page begins after the last row, also among participants with the same name."""
    for local_id in ("twin1", "twin2", "twin3"):
        make_person(acme, local_id, display_name="Berta")
    options: dict[str, Any] = {"operator": HOST_OPERATOR, "tenant": "acme"}
    whole = [row["id"] for row in list_participants(**options)]
    ids: list[UUID] = []
    after = None
    while len(ids) < 10:
        page = list_participants(**options, after=after, limit=2)
        ids += [row["id"] for row in page]
        after = page.next_id
        if after is None:
            break
    assert ids == whole
    with pytest.raises(UsageError, match="Not in this list"):
        list_participants(**options, after=Participant.objects.get(tenant__slug="other").pk)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ÅSA", True),
        ("åsa", True),
        ("ЖУК", True),
        ("sa Ж", True),
        ("%", False),
        ("_", False),
        (".*", False),
        ("[", False),
        ("(x)", True),
        ("a\0", False),
        ("\udcff", False),
    ],
)
def test_success_search_folds_case_and_takes_signs_for_what_they_are(
    search: str, found: bool
) -> None:
    make_person(make_tenant(), display_name="Åsa Жук (x)")
    assert bool(names(search=search)) is found


def test_success_plain_table(acme: Tenant) -> None:
    assert run_command("list_participants", "--tenant", "acme", "--status", "inactive") == (
        "Name   E-mail              FQID                   Type   Status       Reason\n"
        "Berta  berta@acme.example  @berta.acme:localhost  human  suspended    "
        "suspended in ScaiKey\n"
        "Carla  carla@acme.example  @carla.acme:localhost  human  deactivated  "
        "removed from ScaiKey on 2026-11-01\n"
    )


def test_success_one_json_object_a_line(acme: Tenant) -> None:
    lines = run_command("list_participants", "--tenant", "acme", "--jsonl").splitlines()
    document = json.loads(run_command("list_participants", "--tenant", "acme", "--json"))
    assert [json.loads(line) for line in lines] == document["participants"]
    assert document["participants"][1]["reason"] == "suspended in ScaiKey"


class Discard(io.StringIO):
    """Forgets what is written, so that only the command's own memory counts."""

    def write(self, text: str) -> int:
        return len(text)


@pytest.mark.once
def test_success_memory_does_not_grow_with_the_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participants, "BATCH_SIZE", 500)
    tenant = make_tenant()

    def measure_peaks(people: int) -> list[int]:
        """Return what the table, and each format of data, takes at most."""
        start = Participant.objects.count()
        Participant.objects.bulk_create(
            Participant(
                tenant=tenant,
                local_id=f"p{number}",
                display_name=f"Person {number}",
                created_at=EARLIER,
                updated_at=EARLIER,
            )
            for number in range(start, people)
        )
        peaks = []
        for words in ([], ["--json"], ["--csv"], ["--jsonl"]):
            tracemalloc.start()
            call_command("list_participants", "--tenant", "acme", *words, stdout=Discard())
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert len(names()) == people
        return peaks

    sizes = (4_000, 10_000) if NIGHTLY else (1_000, 2_500)
    for few, many in zip(*map(measure_peaks, sizes), strict=True):
        assert many < 1.5 * few


@pytest.mark.parametrize("limit", ["0", "-1", "ten", "1.5"])
def test_fail_invalid_limit(acme: Tenant, limit: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_command("list_participants", "--tenant", "acme", f"--limit={limit}")
    assert caught.value.message == (f"Argument --limit: '{limit}' is not a whole number above 0.")


def test_fail_outside_the_scope_at_once(acme: Tenant) -> None:
    with pytest.raises(TenantNotFound):
        list_participants(operator=make_tenant_admin(acme), tenant="other")

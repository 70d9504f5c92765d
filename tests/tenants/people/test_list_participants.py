from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scaiwave import extensions
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator
from tenants.audit.record import record_audit
from tenants.errors import AmbiguousName, ParticipantNotFound
from tenants.models import Participant, Role, RoleGrant, Tenant, TenantErasure
from tenants.people.queries.participants import list_participants, show_participant
from tests.extensions import Provided
from tests.refusals import refuses
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    add_members,
    make_group,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)
from tests.tenants.role_factories import make_nested_groups
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


def test_success_across_tenants_of_the_scope(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the name, and in which tenant, up to a limit."""
    erased = make_tenant("erased")
    make_person(erased, "eva")
    TenantErasure.objects.create(tenant_id=erased.pk, begun_at=NOW)

    def find(operator: Operator) -> list[tuple[str, str]]:
        page = list_participants(
            operator=operator, search="a", participant_type="human", status="active"
        )
        return [(row["tenant"], row["display_name"]) for row in page]

    assert find(HOST_OPERATOR) == [("acme", "Anna"), ("other", "Olga")]
    assert find(READ_ONLY_OPERATOR) == find(HOST_OPERATOR)
    assert find(make_tenant_admin(acme)) == [("acme", "Anna")]
    assert find(make_partner_admin(make_partner())) == []
    with CaptureQueriesContext(connection) as queries:
        find(HOST_OPERATOR)
    assert len(queries) == 1
    monkeypatch.setattr("scaiwave.cli.command.MAX_ACROSS", 1)
    document = json.loads(run_command("list_participants", "--json"))
    assert (len(document["participants"]), document["total"]) == (1, 5)
    page = ("list_participants", "--after", document["next_id"])
    assert run_command(*page).splitlines()[1].split()[:2] == ["acme", "Berta"]
    assert len(run_command("list_participants", "--jsonl").splitlines()) == 5
    assert len(run_command("list_participants", "--tenant", "acme", "--csv").splitlines()) == 5
    for number, tenant in enumerate((Tenant.objects.get(slug="other"), acme)):
        make_person(tenant, f"a{number}", display_name="Anna")
    assert [tenant for tenant, name in find(HOST_OPERATOR) if name == "Anna"] == [
        *("acme", "acme", "other")
    ]


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
def test_success_memory_does_not_grow_with_the_people(tenant: Tenant) -> None:
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


def test_success_highest_limit(acme: Tenant) -> None:
    words = ("list_participants", "--tenant", "acme")
    assert run_command(*words, "--limit=999999999") == run_command(*words)


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        *(
            (limit, f"'{limit}' is not a whole number above 0.")
            for limit in ("0", "-1", "ten", "1.5")
        ),
        *(("9" * n, f"the number has {n:,} digits (maximum 9).") for n in (10, 20, 5000)),
    ],
)
def test_fail_invalid_limit(acme: Tenant, limit: str, problem: str) -> None:
    """A database may not take a limit of many digits."""
    with refuses(UsageError, f"Argument --limit: {problem}"):
        run_command("list_participants", "--tenant", "acme", f"--limit={limit}")


def show(person: Participant) -> dict[str, Any]:
    return show_participant(operator=HOST_OPERATOR, name=str(person.pk))


def reasons(person: Participant) -> list[str]:
    found = show(person)
    assert found["can_sign_in"] is not bool(found["sign_in_blockers"])
    return [row["reason"] for row in found["sign_in_blockers"]]


def test_success_every_sign_in_blocker_is_named() -> None:
    partner = make_partner(scaikey_status="SUSPENDED")
    tenant = make_tenant(partner=partner, absent_since=EARLIER, scaikey_status="LOCKED")
    anna = make_person(tenant, suspended_by_hand_at=EARLIER, scaikey_status="SUSPENDED")
    assert reasons(anna) == [
        "the person is suspended manually",
        "the person is suspended in ScaiKey",
        "tenant acme is removed from ScaiKey",
        "tenant acme is locked in ScaiKey",
        "partner northwind is suspended in ScaiKey",
    ]
    assert show(anna)["sign_in_blockers"][0] == {
        "subject_type": "participant",
        "reason": "the person is suspended manually",
        "started_at": EARLIER,
        "fix": "Run `scaiwave admin resume-participant @anna.acme:localhost`; a sync can't lift "
        "the suspension.",
    }


def test_success_who_can_sign_in() -> None:
    assert reasons(make_person(make_tenant(partner=make_partner()))) == []
    bot = make_person(Tenant.objects.get(), "bot", participant_type="agent", scaikey_id=None)
    assert reasons(bot) == ["participants of type agent do not sign in"]
    person = make_person(make_tenant("lab", suspended_by_hand_at=EARLIER))
    (obstacle,) = show(person)["sign_in_blockers"]
    assert (obstacle["reason"], obstacle["fix"]) == (
        "tenant lab is suspended manually",
        "Run `scaiwave admin resume-tenant lab`; a sync can't lift the suspension.",
    )
    assert reasons(make_person(make_tenant("ours", scaikey_tenant_id=None), scaikey_id=None)) == [
        "the person is not linked to ScaiKey, which signs people in",
        "tenant ours is not linked to ScaiKey, which signs people in",
    ]


def make_nested_participant(tenant: Tenant) -> Participant:
    """Also a member of a group that is gone, and of one that they have left."""
    anna, _ = make_nested_groups(tenant)
    gone, left = make_group(tenant, "Gone", absent_since=EARLIER), make_group(tenant, "Left")
    add_members(gone, anna)
    add_members(left, anna, absent_since=EARLIER)
    return anna


def test_success_groups_direct_and_nested() -> None:
    found = show(make_nested_participant(make_tenant()))
    assert [(row["name"], row["direct"], row["through"]) for row in found["groups"]] == [
        ("All", False, ["Backend"]),
        ("Backend", True, []),
        ("Engineering", False, ["Backend"]),
    ]


def test_success_roles_direct_and_through_groups(tenant: Tenant) -> None:
    anna = make_nested_participant(tenant)
    slugs = ("auditor", "developer", "other")
    roles = [
        Role.objects.create(tenant=tenant, slug=slug, name=slug.title(), created_at=EARLIER)
        for slug in slugs
    ]
    common = {"tenant": tenant, "granted_by": "root", "created_at": EARLIER}
    all_group = tenant.groups.get(name="All")
    RoleGrant.objects.create(role=roles[0], participant=anna, **common)
    RoleGrant.objects.create(role=roles[1], group=all_group, source="scaikey", **common)
    RoleGrant.objects.create(role=roles[2], participant=make_person(tenant, "berta"), **common)
    grants = [(row["slug"], row["group"], row["source"]) for row in show(anna)["roles"]]
    assert grants == [("auditor", None, "manual"), ("developer", "All", "scaikey")]
    assert run_command("show_participant", str(anna.pk)).endswith(
        "Roles\n"
        "Role       How                                  Source   Granted by\n"
        "auditor    directly                             manual   root\n"
        "developer  through Backend > Engineering > All  scaikey  root\n"
    )


def test_success_the_same_user_elsewhere_within_the_scope() -> None:
    old, new, other = make_tenant("old"), make_tenant("new"), make_tenant("other")
    make_person(old, scaikey_id="usr_1", absent_since=EARLIER)
    here = make_person(new, scaikey_id="usr_1")
    make_person(other, email=here.email)
    make_person(other, "unlinked", email="", scaikey_id=None)
    assert [row["tenant"] for row in show(here)["other_accounts"]] == ["old", "other"]
    found = show_participant(operator=make_tenant_admin(new), name="usr_1")
    assert found["other_accounts"] == []


def test_success_facts_and_audit(monkeypatch: pytest.MonkeyPatch, anna: Participant) -> None:
    facts = [Provided(lambda key: [("Last sync", f"none for {key}")])]
    monkeypatch.setattr(extensions, "PARTICIPANT_FACTS", facts)
    record_audit(
        operator=HOST_OPERATOR, action="suspend", subject=anna, tenant=anna.tenant, now=NOW
    )
    found = show(anna)
    assert found["facts"] == [{"title": "Last sync", "value": f"none for {anna.pk}"}]
    assert [entry["action"] for entry in found["audit_entries"]] == ["suspend"]
    assert f"Last sync    none for {anna.pk}\n" in run_command("show_participant", str(anna.pk))


def test_success_plain_text() -> None:
    tenant = make_tenant(scaikey_status="SUSPENDED")
    anna = make_person(tenant, scaikey_id="usr_1")
    add_members(make_group(tenant, group_type="SECURITY"), anna)
    assert run_command("show_participant", "anna@acme.example") == (
        "Can sign in  no\n"
        "Name         Anna\n"
        "E-mail       anna@acme.example\n"
        "FQID         @anna.acme:localhost\n"
        "Type         human\n"
        "Tenant       acme\n"
        "Status       active\n"
        f"ID           {anna.pk}\n"
        "ScaiKey ID   usr_1\n"
        "Created      2026-11-01 08:30:00 UTC\n"
        "Changed      2026-11-01 08:30:00 UTC\n"
        "\n"
        "Sign-in blocked by\n"
        "Reason                               Since  Fix\n"
        "tenant acme is suspended in ScaiKey  -      Activate it in ScaiKey, then run `scaiwave "
        "sync`.\n"
        "\n"
        "Groups\n"
        "Group        Type      How\n"
        "Engineering  SECURITY  directly\n"
    )


def test_fail_unknown_and_ambiguous() -> None:
    for slug in ("acme", "globex"):
        make_person(make_tenant(slug), email="anna@x.example")
    with refuses(ParticipantNotFound, "Participant not found: bert@x.example."):
        run_command("show_participant", "bert@x.example")
    with pytest.raises(AmbiguousName):
        run_command("show_participant", "anna@x.example")
    assert "Tenant       globex\n" in run_command(
        "show_participant", "anna@x.example", "--tenant", "globex"
    )

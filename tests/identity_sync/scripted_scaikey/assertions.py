"""Compare the facts of the database with those of a scripted ScaiKey."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tenants.models import Group, GroupMembership, Participant, Partner, RoleGrant, Tenant
from tests.identity_sync.scripted_scaikey.records import Fact, is_person
from tests.identity_sync.scripted_scaikey.server import ScriptedScaiKey


def collect_local_facts() -> set[Fact]:
    """Collect the facts of the linked and active rows, as `RemoteDirectory.collect_facts` does."""
    active: dict[str, Any] = {"absent_since": None}
    facts: set[Fact] = set()
    for key, status in Partner.objects.filter(**active).values_list("scaikey_id", "scaikey_status"):
        facts |= {("partner", str(key)), ("partner status", str(key), status)}
    columns = "scaikey_tenant_id", "scaikey_status", "partner__scaikey_id"
    for key, status, partner in Tenant.objects.filter(**active).values_list(*columns):
        facts |= {("tenant", str(key)), ("tenant status", str(key), status)}
        if partner is not None:  # A new tenant whose partner was added while the lists were read.
            facts.add(("tenant of", str(key), str(partner)))
    id_columns = "tenant__scaikey_tenant_id", "scaikey_id"
    for *ids, status in Participant.objects.filter(**active).values_list(
        *id_columns, "scaikey_status"
    ):
        facts |= {("person", *map(str, ids)), ("person status", *map(str, ids), status)}
    groups = Group.objects.filter(**active).values_list(*id_columns)
    facts.update(("group", str(tenant), str(key)) for tenant, key in groups)
    edges = GroupMembership.objects.filter(**active, group__absent_since=None)
    for column in ("member_participant", "member_group"):
        present = edges.filter(**{f"{column}__isnull": False, f"{column}__absent_since": None})
        pairs = present.values_list("group__scaikey_id", f"{column}__scaikey_id")
        facts.update(("member", str(group), str(member)) for group, member in pairs)
    grants = RoleGrant.objects.filter(source="scaikey", participant__absent_since=None)
    columns = "tenant__scaikey_tenant_id", "participant__scaikey_id", "role__slug"
    facts.update(("role", *map(str, grant)) for grant in grants.values_list(*columns))
    return facts


def format_facts(facts: set[Fact]) -> str:
    """Format the number of facts of each kind, and some examples, for a message."""
    counter = Counter(fact[0] for fact in facts)
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(counter.items()))
    examples = "; ".join(" ".join(fact) for fact in sorted(facts)[:5])
    return f"{counts} ({examples} …)" if facts else "nothing"


def assert_nothing_lost(
    scaikey: ScriptedScaiKey, before: set[Fact], ending: object, transient: set[Fact]
) -> None:
    """Assert that the run lost no fact that stayed true in ScaiKey, and invented none.

    A suspension is nothing that can be lost, and the partner of a tenant matters only if it is not
    active. `transient` are facts that were true for a time since the run before.
    """
    unchanged = (before & scaikey.unchanged) - scaikey.find_undetectable_facts()
    after = collect_local_facts()
    lost = {
        fact for fact in unchanged - after if fact[0] != "tenant of" and fact[-1] != "SUSPENDED"
    }
    assert not lost, f"Removed, but still in ScaiKey: {format_facts(lost)}. {ending!r}"
    people = find_people_who_lost(unchanged, after)
    assert not people, f"{len(people)} people lost access that they still have. {ending!r}"
    invented = after - before - scaikey.past_facts - transient
    assert not invented, f"Never in ScaiKey: {format_facts(invented)}. {ending!r}"


def collect_access(facts: set[Fact]) -> dict[str, set[Fact]]:
    """Return the access of each person: being active in their tenant, their roles and groups."""
    partners = {fact[1] for fact in facts if fact[0] == "partner status" and fact[2] == "ACTIVE"}
    behind = {fact[1] for fact in facts if fact[0] == "tenant of" and fact[2] in partners}
    active = {fact[1] for fact in facts if fact[0] == "tenant status" and fact[2] == "ACTIVE"}
    access: dict[str, set[Fact]] = {}
    for fact in facts:
        match fact:
            case ("person status", tenant, person, "ACTIVE") if tenant in active & behind:
                access.setdefault(person, set()).add(("active", tenant))
            case ("role", _, person, _):
                access.setdefault(person, set()).add(fact)
            case ("member", _, person) if is_person(person):
                access.setdefault(person, set()).add(fact)
    return access


def find_people_who_lost(before: set[Fact], after: set[Fact]) -> set[str]:
    """Return the people who have less access after than before."""
    access = collect_access(after)
    return {
        person
        for person, old_access in collect_access(before).items()
        if old_access - access.get(person, set())
    }

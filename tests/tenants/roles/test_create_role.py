from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import InvalidName, InvalidRoleSlug, RoleBuiltIn, RoleConflict
from tenants.lookup.validators import ROLE_SLUG_RULES, is_role_slug, validate_role_slug
from tenants.models import AuditEntry, Role, Tenant
from tenants.roles.create_role import create_role
from tests.concurrency import run_concurrently
from tests.refusals import refuses
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_tenant,
    run_command,
)
from tests.tenants.role_factories import make_role

pytestmark = pytest.mark.django_db


create = partial(
    create_role, operator=HOST_OPERATOR, tenant="acme", slug="editors", name="Editors", now=NOW
)


def test_success_created_and_audited(tenant: Tenant) -> None:
    assert create().changed
    role, entry = Role.objects.get(), AuditEntry.objects.get()
    assert (role.slug, role.name, role.tenant, role.is_built_in, role.created_at) == (
        "editors",
        "Editors",
        tenant,
        False,
        NOW,
    )
    assert (entry.action, entry.subject_id, entry.tenant_slug) == (
        "role create",
        str(role.pk),
        "acme",
    )
    assert entry.details == {"slug": "editors", "name": "Editors"}


def test_success_repeated_finds_the_role(tenant: Tenant) -> None:
    words = ("create_role", "--tenant", "acme", "--slug", "editors", "--name", "Editors")
    assert run_command(*words, "--dry-run") == "Would create role editors in tenant acme.\n"
    assert not Role.objects.exists()
    made = run_command(*words)
    role = Role.objects.get()
    assert made == f"Role editors created in tenant acme ({role.pk}).\n"
    assert run_command(*words) == "Role editors already exists in tenant acme; nothing changed.\n"
    document = json.loads(run_command(*words, "--json"))
    assert (document["role"]["id"], document["changed"]) == (str(role.pk), False)
    dry = json.loads(run_command(*words[:4], "writers", *words[5:], "--json", "--dry-run"))
    assert (dry["role"]["id"], dry["changed"], dry["dry_run"]) == (None, True, True)
    assert AuditEntry.objects.count() == 1


def test_success_the_same_slug_in_another_tenant() -> None:
    make_tenant("acme"), make_tenant("globex")
    create()
    assert create(tenant="globex", name="Redaktion").changed


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_created_by_concurrent_calls(tenant: Tenant) -> None:
    results = run_concurrently(*[create] * 4)
    assert sorted(result.changed for result in results) == [False, False, False, True]
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize(
    "slug", ["ed", "a-b_c", "super-admin", "admin", "support", "9to5", "x" * 63]
)
def test_success_slugs(slug: str) -> None:
    validate_role_slug(slug)
    assert is_role_slug(slug)


@pytest.mark.parametrize(
    ("slug", "hint"),
    [
        ("", ""),
        ("e", ""),
        ("Editors", "Try 'editors'. "),
        ("sales team", "Try 'sales-team'. "),
        ("_editors_", "Try 'editors'. "),
        ("a--b", "Try 'a-b'. "),
        ("a_-b", "Try 'a_b'. "),
        ("編集者", ""),
        ("x" * 64, f"Try '{'x' * 63}'. "),
        ("editors\n", "Try 'editors'. "),
        ("e\0d", "Try 'ed'. "),
        ("01a20f14-cfce-72a5-aed3-2300001f8d54", ""),
    ],
)
def test_fail_slugs(slug: str, hint: str) -> None:
    with refuses(InvalidRoleSlug, f"Invalid slug of a role: {slug!r}.", hint + ROLE_SLUG_RULES):
        validate_role_slug(slug)


@given(st.text())
def test_success_a_slug_needs_no_escape_anywhere(text: str) -> None:
    if is_role_slug(text):
        assert text.isascii()
        assert text.replace("-", "").replace("_", "").isalnum()
        assert text == text.lower() == text.strip("-_")


def test_fail_another_role_has_the_slug() -> None:
    make_role(make_tenant(), name="Writers")
    with refuses(
        RoleConflict, "Role editors already exists in tenant acme with the name 'Writers'."
    ):
        create()


def test_fail_built_in(tenant: Tenant) -> None:
    with pytest.raises(RoleBuiltIn) as caught:
        create(slug="tenant_admin")
    assert caught.value.message == "Role tenant_admin is built in; every tenant already has it."
    assert caught.value.exit_code == 1
    assert not Role.objects.exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 1001, "a\x1b[31m"])
def test_fail_names(name: str, tenant: Tenant) -> None:
    with refuses(InvalidName, f"Invalid name of a role: {name[:100]!r}."):
        create(name=name)

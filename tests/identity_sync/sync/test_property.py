"""Whatever happens to the directory: after a sync we have what it has, and nothing more to do."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tenants.models import Participant
from tests.identity_sync.sync.directory import (
    configured,
    counts,
    duplicates,
    every_group,
    everybody,
    in_database,
    in_directory,
    sync,
    tenant_in,
)

ACTS = (
    "add_user",
    "update_user",
    "suspend_user",
    "remove_user",
    "move_user",
    "add_group",
    "update_group",
    "remove_group",
    "add_member",
    "remove_member",
    "nest_group",
    "add_tenant",
    "rename_tenant",
    "swap_slugs",
    "hand_over_tenant",
    "remove_tenant",
    "add_partner",
    "remove_partner",
    "sync",
)
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12
).filter(str.strip)


class Named(NamedTuple):
    name: str
    slug: str


def act(sandbox: Sandbox, name: str, one: int, two: int, text: str, number: int) -> None:
    """Do one thing to whoever the numbers point at; nothing when there is nobody."""
    if name == "sync":
        sync(allow_removals=10**6)
    elif name.endswith("_user"):
        _to_people(sandbox, name, one, two, text)
    elif name.endswith(("_group", "_member")):
        _to_groups(sandbox, name, one, two, text)
    else:
        _to_tenants(sandbox, name, one, two, Named(text, f"slug-{number}"))


def _to_people(sandbox: Sandbox, name: str, one: int, two: int, text: str) -> None:
    directory, tenants = sandbox.directory, list(sandbox.directory.tenants)
    if name == "add_user" and tenants:
        tenant = tenants[one % len(tenants)]
        directory.add_user(tenant, display_name=text, email=f"{one % 5}@example.org")
    elif people := everybody(sandbox):
        person = people[one % len(people)]["id"]
        match name:
            case "update_user":
                directory.update_user(person, display_name=text, email=f"{two}@b.example")
            case "suspend_user":
                directory.suspend_user(person)
            case "remove_user":
                directory.remove_user(person)
            case "move_user":
                directory.move_user(person, tenants[two % len(tenants)])


def _to_groups(sandbox: Sandbox, name: str, one: int, two: int, text: str) -> None:
    directory, tenants = sandbox.directory, list(sandbox.directory.tenants)
    if name == "add_group" and tenants:
        directory.add_group(tenants[one % len(tenants)], name=text)
    elif groups := every_group(sandbox):
        group = groups[two % len(groups)]
        match name:
            case "update_group":
                directory.update_group(group["id"], name=text)
            case "remove_group":
                directory.remove_group(group["id"])
            case "nest_group":
                inside = [row for row in groups if row["tenant_id"] == group["tenant_id"]]
                child = inside[one % len(inside)]["id"]
                directory.add_member(group["id"], member_group_id=child)
            case _:
                _member(sandbox, name, group, one)


def _to_tenants(sandbox: Sandbox, name: str, one: int, two: int, named: Named) -> None:
    directory = sandbox.directory
    tenants, partners = list(directory.tenants), list(directory.partners)
    if name == "add_partner":
        directory.add_partner(name=named.name, slug=named.slug)
    elif name == "remove_partner" and len(partners) > 1:
        directory.remove_partner(partners[one % len(partners)])
    elif name == "add_tenant":
        directory.add_tenant(name=named.name, slug=named.slug, people=2)
    elif len(tenants) > 1:
        tenant = tenants[one % len(tenants)]
        match name:
            case "rename_tenant":
                directory.update_tenant(tenant, name=named.name, slug=named.slug)
            case "swap_slugs":
                _swap(sandbox, *tenants[:2])
            case "hand_over_tenant":
                directory.update_tenant(tenant, partner_id=partners[two % len(partners)])
            case "remove_tenant":
                directory.remove_tenant(tenant)


def _member(sandbox: Sandbox, name: str, group: dict[str, Any], one: int) -> None:
    inside = [row for row in everybody(sandbox) if tenant_in(row) == group["tenant_id"]]
    if inside:
        getattr(sandbox.directory, name)(group["id"], user_id=inside[one % len(inside)]["id"])


def _swap(sandbox: Sandbox, one: str, two: str) -> None:
    slugs = [sandbox.directory.tenants[tenant]["slug"] for tenant in (one, two)]
    sandbox.directory.update_tenant(one, slug="in-between")
    sandbox.directory.update_tenant(two, slug=slugs[0])
    sandbox.directory.update_tenant(one, slug=slugs[1])


@pytest.mark.django_db
@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    story=st.lists(
        st.tuples(st.sampled_from(ACTS), st.integers(0, 999), st.integers(0, 999), NAMES),
        min_size=1,
        max_size=20,
    )
)
def test_success_any_story(settings: Settings, story: list[tuple[str, int, int, str]]) -> None:
    sandbox = Sandbox(partners=2, tenants=3, people=24, groups=6)
    with sandbox, transaction.atomic():
        settings.CONFIG = configured(sandbox)
        sync()
        names = dict(Participant.objects.values_list("pk", "local_id"))
        for number, (name, one, two, text) in enumerate(story):
            act(sandbox, name, one, two, text, number)

        sync(allow_removals=10**6)

        assert in_database() == in_directory(sandbox)
        assert counts(sync()) == {}
        later = dict(Participant.objects.values_list("pk", "local_id"))
        assert later.items() >= names.items()
        assert duplicates() == 0
        transaction.set_rollback(True)

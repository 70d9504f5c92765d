"""After any changes of the directory a sync copies them, and the next one changes nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from scaiwave.console.output import remove_control_chars
from scaiwave.sandbox import Sandbox
from tenants.models import Participant
from tests.identity_sync.sync.helpers import (
    count_duplicate_names,
    get_changed_counts,
    get_tenant_id,
    list_groups,
    list_people,
    read_database,
    read_directory,
    sync,
)
from tests.tenants.fake_scaikey import make_config
from tests.tools import count_examples

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
# Names as they are stored; what a sync removes from them has tests of its own.
NAMES = (
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
    .map(lambda text: remove_control_chars(text).strip())
    .filter(bool)
)


class NameAndSlug(NamedTuple):
    name: str
    slug: str


def apply_act(sandbox: Sandbox, name: str, first: int, second: int, text: str, number: int) -> None:
    """Apply a change to the records that the numbers select, if there are any."""
    if name == "sync":
        sync(allow_removals=10**6)
    elif name.endswith("_user"):
        _change_people(sandbox, name, first, second, text)
    elif name.endswith(("_group", "_member")):
        _change_groups(sandbox, name, first, second, text)
    else:
        _change_tenants(sandbox, name, first, second, NameAndSlug(text, f"slug-{number}"))


def _change_people(sandbox: Sandbox, name: str, first: int, second: int, text: str) -> None:
    directory, tenants = sandbox.directory, list(sandbox.directory.tenants)
    if name == "add_user" and tenants:
        tenant = tenants[first % len(tenants)]
        directory.add_user(tenant, display_name=text, email=f"{first % 5}@example.org")
    elif people := list_people(sandbox):
        person = people[first % len(people)]["id"]
        match name:
            case "update_user":
                directory.update_user(person, display_name=text, email=f"{second}@b.example")
            case "suspend_user":
                directory.suspend_user(person)
            case "remove_user":
                directory.remove_user(person)
            case "move_user":
                directory.move_user(person, tenants[second % len(tenants)])


def _change_groups(sandbox: Sandbox, name: str, first: int, second: int, text: str) -> None:
    directory, tenants = sandbox.directory, list(sandbox.directory.tenants)
    if name == "add_group" and tenants:
        directory.add_group(tenants[first % len(tenants)], name=text)
    elif groups := list_groups(sandbox):
        group = groups[second % len(groups)]
        match name:
            case "update_group":
                directory.update_group(group["id"], name=text)
            case "remove_group":
                directory.remove_group(group["id"])
            case "nest_group":
                inside = [row for row in groups if row["tenant_id"] == group["tenant_id"]]
                child = inside[first % len(inside)]["id"]
                directory.add_member(group["id"], member_group_id=child)
            case _:
                _change_member(sandbox, name, group, first)


def _change_tenants(
    sandbox: Sandbox, name: str, first: int, second: int, named: NameAndSlug
) -> None:
    directory = sandbox.directory
    tenants, partners = list(directory.tenants), list(directory.partners)
    if name == "add_partner":
        directory.add_partner(name=named.name, slug=named.slug)
    elif name == "remove_partner" and len(partners) > 1:
        directory.remove_partner(partners[first % len(partners)])
    elif name == "add_tenant":
        directory.add_tenant(name=named.name, slug=named.slug, people=2)
    elif len(tenants) > 1:
        tenant = tenants[first % len(tenants)]
        match name:
            case "rename_tenant":
                directory.update_tenant(tenant, name=named.name, slug=named.slug)
            case "swap_slugs":
                _swap_slugs(sandbox, *tenants[:2])
            case "hand_over_tenant":
                directory.update_tenant(tenant, partner_id=partners[second % len(partners)])
            case "remove_tenant":
                directory.remove_tenant(tenant)


def _change_member(sandbox: Sandbox, name: str, group: dict[str, Any], first: int) -> None:
    inside = [row for row in list_people(sandbox) if get_tenant_id(row) == group["tenant_id"]]
    if inside:
        getattr(sandbox.directory, name)(group["id"], user_id=inside[first % len(inside)]["id"])


def _swap_slugs(sandbox: Sandbox, first: str, second: str) -> None:
    slugs = [sandbox.directory.tenants[tenant]["slug"] for tenant in (first, second)]
    sandbox.directory.update_tenant(first, slug="in-between")
    sandbox.directory.update_tenant(second, slug=slugs[0])
    sandbox.directory.update_tenant(first, slug=slugs[1])


@pytest.mark.django_db
@settings(
    max_examples=count_examples(20),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    story=st.lists(
        st.tuples(st.sampled_from(ACTS), st.integers(0, 999), st.integers(0, 999), NAMES),
        min_size=1,
        max_size=20,
    )
)
def test_success_any_sequence_of_changes(
    settings: Settings, story: list[tuple[str, int, int, str]]
) -> None:
    sandbox = Sandbox(partners=2, tenants=3, people=24, groups=6)
    with sandbox, transaction.atomic():
        settings.CONFIG = make_config(sandbox)
        sync()
        names = dict(Participant.objects.values_list("pk", "local_id"))
        for number, (name, first, second, text) in enumerate(story):
            apply_act(sandbox, name, first, second, text, number)

        sync(allow_removals=10**6)

        assert read_database() == read_directory(sandbox)
        assert get_changed_counts(sync()) == {}
        later = dict(Participant.objects.values_list("pk", "local_id"))
        assert later.items() >= names.items()
        assert count_duplicate_names() == 0
        transaction.set_rollback(True)

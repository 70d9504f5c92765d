"""Slugs that a tenant keeps, or may not have, as long as a removal is not proven."""

from __future__ import annotations

import pytest

from identity_sync.models import SyncSkip
from scaiwave.sandbox import Sandbox
from tenants.models import Tenant
from tests.identity_sync.sync.helpers import (
    assert_partial,
    get_changed_counts,
    list_people_of_tenant,
)
from tests.tenants.factories import make_tenant

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=60, groups=3, scim=False),
]


def test_fail_a_slug_in_use_does_not_hide_a_suspension(synced: Sandbox) -> None:
    key = next(iter(synced.directory.tenants))
    slug = Tenant.objects.get(scaikey_tenant_id=key).slug
    make_tenant("mine", scaikey_tenant_id=None)
    synced.directory.update_tenant(key, slug="mine", status="SUSPENDED")

    caught = assert_partial(allow_removals=1000)

    assert "its slug mine is in use by a local tenant" in caught.report.warnings[0]
    tenant = Tenant.objects.get(scaikey_tenant_id=key)
    assert (tenant.slug, tenant.scaikey_status) == (slug, "SUSPENDED")


@pytest.mark.sandbox(partners=2, tenants=8, people=400, groups=0)
def test_fail_a_tenant_whose_removal_is_skipped_keeps_its_slug(synced: Sandbox) -> None:
    sizes = {key: len(list_people_of_tenant(synced, key)) for key in synced.directory.tenants}
    removed = min((key for key in sizes if sizes[key] > 25), key=lambda key: sizes[key])
    assert sizes[removed] < 40
    slug = Tenant.objects.get(scaikey_tenant_id=removed).slug
    other, third = (key for key in list(sizes)[:3] if key != removed)
    synced.directory.remove_tenant(removed)
    synced.directory.update_tenant(other, slug=slug)
    synced.directory.update_tenant(third, name="Renamed")

    assert_partial()

    assert Tenant.objects.get(scaikey_tenant_id=removed).slug == slug


@pytest.mark.sandbox(partners=2, tenants=8, people=400, groups=0)
def test_fail_a_new_tenant_without_its_slug_is_skipped_with_all_its_rows(synced: Sandbox) -> None:
    sizes = {key: len(list_people_of_tenant(synced, key)) for key in synced.directory.tenants}
    removed = min((key for key in sizes if sizes[key] > 25), key=lambda key: sizes[key])
    slug = Tenant.objects.get(scaikey_tenant_id=removed).slug
    synced.directory.remove_tenant(removed)
    new = synced.directory.add_tenant(name="New", slug=slug, people=2)
    group = synced.directory.add_group(new, name="Staff")
    person = synced.directory.add_user(new, display_name="Ada")
    synced.directory.add_member(group, user_id=person)
    other = next(key for key in sizes if key != removed)
    synced.directory.update_tenant(other, name="Renamed")

    caught = assert_partial()

    changed = get_changed_counts(caught.report)
    assert changed["tenants"]["updated"] == 1
    assert changed["memberships"] == {"skipped": 1}
    assert not Tenant.objects.filter(scaikey_tenant_id=new).exists()
    skip = SyncSkip.objects.get(kind="memberships")
    assert (skip.subject_scaikey_id, skip.subject_name) == (f"{group} {person}", "Ada")
    assert skip.reason == "its slug is still in use"

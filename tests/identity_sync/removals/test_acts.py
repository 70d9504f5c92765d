"""Decide on pending removals in the admin site: on exactly the rows that were shown."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identity_sync.models import PendingRemoval
from scaiwave.sandbox import Sandbox
from tenants.models import AdminUser, AuditEntry, Participant, Tenant
from tests.identity_sync.removals.helpers import (
    list_open,
    pick_tenant,
    remove_groups,
    remove_people,
    sync_partly,
)
from tests.identity_sync.sync.helpers import sync

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=6, people=300, groups=2, scim=False),
]

APPROVE_ALL = "sync-approve-tenant-slug-expect-digest"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("olga"))
    return client


@pytest.fixture
def tenant(scaikey: Sandbox) -> Tenant:
    """Thirty people of it wait."""
    remove_groups(scaikey)
    sync()
    key = pick_tenant(scaikey)
    remove_people(scaikey, key, 30)
    sync_partly()
    return Tenant.objects.get(scaikey_tenant_id=key)


def post(client: Client, slug: str, row: Any, **values: str) -> Any:
    return client.post(reverse("admin:act", args=[slug, row.pk]), values)


def get_states() -> set[str]:
    return set(PendingRemoval.objects.values_list("state", flat=True))


def list_acts(client: Client, row: Any) -> list[str]:
    page = client.get(
        reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])
    )
    return [act.title for act in page.context["acts"]]


def test_success_all_of_a_tenant_as_they_were_shown(
    scaikey: Sandbox, client: Client, tenant: Tenant
) -> None:
    assert "Approve removals" in list_acts(client, tenant)
    question = post(client, APPROVE_ALL, tenant)
    assert question.status_code == HTTPStatus.OK
    assert "will apply 30 removals" in question.context["question"]
    confirmed = question.context["confirmation"]
    # More come in while the question is read.
    remove_people(scaikey, str(tenant.scaikey_tenant_id), 1)
    sync_partly()
    again = post(client, APPROVE_ALL, tenant, confirmed=confirmed)
    assert "will apply 31 removals" in again.context["question"]
    assert get_states() == {"pending"}

    done = post(client, APPROVE_ALL, tenant, confirmed=again.context["confirmation"])
    assert done.status_code == HTTPStatus.FOUND
    assert get_states() == {"approved"}
    assert AuditEntry.objects.get(action="sync approve").operator == "olga"
    active = Participant.objects.filter(absent_since=None).count()
    sync()
    assert active - Participant.objects.filter(absent_since=None).count() == 31
    assert "Approve removals" not in list_acts(client, tenant)


def test_success_as_many_others_are_asked_about_again(
    scaikey: Sandbox, client: Client, tenant: Tenant
) -> None:
    """The question names the first ten only, so that it would be the same without the digest."""
    question = post(client, APPROVE_ALL, tenant)
    last = max(list_open(), key=lambda row: row.subject_name)
    PendingRemoval.objects.filter(pk=last.pk).delete()
    sync_partly()
    assert len(list_open()) == 30
    again = post(client, APPROVE_ALL, tenant, confirmed=question.context["confirmation"])
    assert again.status_code == HTTPStatus.OK
    assert again.context["is_asked_again"]
    assert get_states() == {"pending"}


def test_success_one_is_kept_and_one_approved(client: Client, tenant: Tenant) -> None:
    first, second, *_ = list_open()
    for slug, row, values in (
        ("sync-keep-id", first, {"reason": "on leave"}),
        ("sync-approve-id", second, {}),
    ):
        assert list_acts(client, row) == ["Approve", "Keep access"]
        question = post(client, slug, row, **values)
        done = post(client, slug, row, **values, confirmed=question.context["confirmation"])
        assert done.status_code == HTTPStatus.FOUND
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.decision_reason, first.decided_by) == ("kept", "on leave", "olga")
    assert second.state == "approved"
    sync_partly()
    second.refresh_from_db()
    assert second.state == "applied"
    assert list_acts(client, second) == []

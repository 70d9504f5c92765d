"""What people who signed in with ScaiKey can do: what their role may do on the command line."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from scaiwave.config import load
from scaiwave.core.operators import ROLE_PERMISSIONS, OperatorRole
from scaiwave.site.access import SCAIKEY_BACKEND
from scaiwave.site.acts import Act, RowSource, get_acts
from tenants.models import AuditEntry, Participant, Partner, Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.site.scaikey_sessions import sign_in

pytestmark = pytest.mark.django_db
ACTS = [(act, act.model) for act in get_acts() if not isinstance(act.model, RowSource)]
"""Those of jobs are in `test_jobs_page.py`."""
VALUES = {"reason": "unpaid", "confirmed": "yes", "number": "1", "max_rooms": "5"}


@pytest.fixture(autouse=True)
def acme(settings: Settings) -> Tenant:
    settings.AUTHENTICATION_BACKENDS = [*django_settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    settings.CONFIG = load({"SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true"})
    acme = row_factories.make_row_of_every_model(1)
    Partner.objects.update(scaikey_id="prt_1")
    return acme


def enter(role: str) -> Client:
    return sign_in(role, partner="prt_1", tenant="scaikey-1")


def list_offered(client: Client, row: Model) -> set[str]:
    meta = row._meta
    page: Any = client.get(
        reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    )
    if page.status_code != HTTPStatus.OK:
        return set()
    return {link.url for link in page.context["acts"]}


def get_url(act: Act, row: Model | None) -> str:
    return reverse("admin:act", args=[act.slug, row.pk] if row is not None else [act.slug])


@pytest.mark.parametrize("role", ["super_admin", "partner_admin", "tenant_admin"])
def test_success_only_acts_of_the_role_are_offered_and_done(role: str) -> None:
    client, permissions = enter(role), ROLE_PERMISSIONS[OperatorRole(role)]
    for act, model in ACTS:
        row = None if act.is_of_list else model._default_manager.order_by("pk").first()
        url = get_url(act, row)
        may = (act.permission or act.declared_permission) in permissions
        if row is not None:
            offered = list_offered(client, row)
            assert url not in offered or may, (act.slug, "offered")
            is_due = may and act.is_offered(row)
            assert url in offered or not is_due, (act.slug, "not offered")
        if not may or not act.is_offered(row):
            for answer in (client.get(url), client.post(url, VALUES)):
                refused = [HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND]
                refused += [HTTPStatus.FOUND] if may else []  # which leads to the row
                assert answer.status_code in refused, (act.slug, answer.status_code)
    assert not AuditEntry.objects.filter(operator="eve@example.com").exists()


def test_success_a_partner_admin_acts_in_their_own_name(acme: Tenant) -> None:
    client = enter("partner_admin")
    url = reverse("admin:act", args=["admin-suspend-tenant", acme.pk])
    asked: Any = client.post(url, VALUES)
    done = client.post(url, {**VALUES, "confirmed": asked.context["confirmation"]})
    assert done.status_code == HTTPStatus.FOUND
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.operator, entry.operator_role, entry.origin) == (
        "suspend-tenant",
        "eve@example.com",
        "partner_admin",
        "203.0.113.7 via ScaiKey",
    )


def test_fail_a_tenant_admin_suspends_no_one(acme: Tenant) -> None:
    client = enter("tenant_admin")
    anna = Participant.objects.filter(tenant=acme)[0]
    for kind, row in (("tenant", acme), ("participant", anna)):
        answer = client.post(reverse("admin:act", args=[f"admin-suspend-{kind}", row.pk]), VALUES)
        assert answer.status_code == HTTPStatus.FORBIDDEN
        row.refresh_from_db()
        assert row.suspended_by_hand_at is None


def test_fail_an_expired_sign_in_can_not_act(acme: Tenant) -> None:
    client = sign_in("super_admin", seconds=0)
    url = reverse("admin:act", args=["admin-suspend-tenant", acme.pk])
    assert client.post(url, VALUES).status_code == HTTPStatus.FOUND  # to the sign-in page
    acme.refresh_from_db()
    assert acme.suspended_by_hand_at is None

"""What people who signed in with ScaiKey can do: what their role may do on the command line."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from scaiwave.config import load
from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.models import AuditEntry, Partner, Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.site.scaikey_sessions import sign_in

pytestmark = pytest.mark.django_db
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


def test_fail_an_expired_sign_in_can_not_act(acme: Tenant) -> None:
    client = sign_in("super_admin", seconds=0)
    url = reverse("admin:act", args=["admin-suspend-tenant", acme.pk])
    assert client.post(url, VALUES).status_code == HTTPStatus.FOUND  # to the sign-in page
    acme.refresh_from_db()
    assert acme.suspended_by_hand_at is None

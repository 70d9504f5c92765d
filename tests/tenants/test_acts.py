"""What administrators can do in the admin site: every act, and who may not."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django import Settings

from federation.models import ServerKey
from scaiwave.admin.acts import Act, get_acts
from scaiwave.cli.verbs import VERBS
from scaiwave.config import load
from tenants.models import AdminUser, AuditEntry, Participant, Partner, Role, RoleGrant, Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.admin_pages import strip_markup

pytestmark = pytest.mark.django_db
ACTS = {act.slug: act for act in get_acts()}
every_act = pytest.mark.parametrize("act", ACTS.values(), ids=lambda act: act.slug)
REASON = {"reason": "unpaid <invoice>"}


@pytest.fixture
def client() -> Client:
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


@pytest.fixture
def acme() -> Tenant:
    return row_factories.make_row_of_every_model(1)


def address(slug: str, row: Model | None) -> str:
    return reverse("admin:act", args=[slug, row.pk] if row else [slug])


def page_with(client: Client, act: Act) -> Any:
    """Return the page that links to the act: that of its row, or the list."""
    row = get_row(act)
    if row is not None:
        return page_of(client, row)
    meta = act.model._meta
    return client.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"))


def page_of(client: Client, row: Model) -> Any:
    meta = row._meta
    return client.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk]))


def do(client: Client, slug: str, row: Model, **values: str) -> str:
    """Fill in the form, answer the question with yes, and return what the page of the row says."""
    answer = client.post(address(slug, row), values)
    if answer.status_code == HTTPStatus.OK and answer.context["question"]:
        answer = client.post(address(slug, row), {**values, "confirmed": "yes"})
    assert answer.status_code == HTTPStatus.FOUND, strip_markup(answer.content.decode())[-800:]
    page = client.get(answer["Location"])
    (message,) = page.context["messages"]
    return str(message)


def get_status(row: Any) -> str:
    return str(type(row)._default_manager.get(pk=row.pk).status)


def get_row(act: Act) -> Model | None:
    if act.is_of_list:
        return None
    row = act.model._default_manager.order_by("pk").first()
    assert row is not None
    return row


@every_act
def test_success_each_act_stands_for_a_command(act: Act) -> None:
    assert tuple(act.command.split()) in VERBS


@every_act
def test_fail_only_those_who_may_act(act: Act, acme: Tenant, settings: Settings) -> None:
    row, entries = get_row(act), AuditEntry.objects.count()
    user = AdminUser.objects.create_user("view", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    viewer = Client()
    viewer.force_login(user)
    assert not page_with(viewer, act).context["acts"]
    for method in (viewer.get, viewer.post):
        assert method(address(act.slug, row), REASON).status_code == HTTPStatus.FORBIDDEN
    assert Client().post(address(act.slug, row), REASON).status_code == HTTPStatus.FOUND
    root = AdminUser.objects.create_superuser("root")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(root)
    assert strict.post(address(act.slug, row), REASON).status_code == HTTPStatus.FORBIDDEN
    settings.CONFIG = load({"SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true"})
    signed_in = Client()
    signed_in.force_login(root)
    assert signed_in.post(address(act.slug, row), REASON).status_code == HTTPStatus.FORBIDDEN
    assert not page_with(signed_in, act).context["acts"]
    assert AuditEntry.objects.count() == entries


@every_act
def test_success_looking_at_the_form_changes_nothing(
    act: Act, acme: Tenant, client: Client
) -> None:
    row, entries = get_row(act), AuditEntry.objects.count()
    answer = client.get(address(act.slug, row), {"confirmed": "yes", **REASON})
    assert answer.status_code == HTTPStatus.OK
    assert escape(act.command_line) in answer.content.decode()
    assert AuditEntry.objects.count() == entries


def test_fail_unknown_acts_and_rows(acme: Tenant, client: Client) -> None:
    for slug, row_id in (
        ("admin-destroy", str(acme.pk)),
        ("admin-suspend-tenant", "0197b0e2-4c1f-7a3e-8000-000000000000"),
        ("admin-suspend-tenant", "x"),
        ("admin-suspend-tenant", ""),
        ("sync", str(acme.pk)),
    ):
        url = reverse("admin:act", args=[slug, row_id] if row_id else [slug])
        assert client.post(url, REASON).status_code == HTTPStatus.NOT_FOUND


def test_success_suspend_and_resume_a_tenant(acme: Tenant, client: Client) -> None:
    question = client.post(address("admin-suspend-tenant", acme), REASON)
    assert "This blocks sign-in for" in question.context["question"]
    assert get_status(acme) == "active"
    titles = [link.title for link in page_of(client, acme).context["acts"]]
    assert {"Suspend", "Change limits"} <= set(titles)
    assert "Resume" not in titles

    assert "suspended" in do(client, "admin-suspend-tenant", acme, **REASON)

    assert get_status(acme) == "suspended"
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.operator, entry.operator_role, entry.origin) == (
        "suspend-tenant",
        "root",
        "super_admin",
        "203.0.113.7",
    )
    assert entry.details == REASON
    do(client, "admin-resume-tenant", acme, reason="paid")
    assert get_status(acme) == "active"


def test_fail_a_reason_is_required(acme: Tenant, client: Client) -> None:
    answer = client.post(address("admin-suspend-tenant", acme), {"confirmed": "yes"})
    assert "This field is required." in answer.content.decode()
    assert get_status(acme) == "active"


def test_success_suspend_and_resume_partners_and_people(acme: Tenant, client: Client) -> None:
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    partner = Partner.objects.get()
    for kind, row in (("partner", partner), ("participant", anna)):
        do(client, f"admin-suspend-{kind}", row, **REASON)
        assert get_status(row) == "suspended"
        do(client, f"admin-resume-{kind}", row, **REASON)
        assert get_status(row) == "active"


def test_success_change_limits(acme: Tenant, client: Client) -> None:
    do(client, "admin-update-tenant", acme, max_rooms="5", max_participants="7")
    do(client, "admin-update-tenant", acme, max_rooms="none", max_storage_mb="")
    acme.refresh_from_db()
    assert (acme.max_rooms, acme.max_participants, acme.max_storage_mb) == (None, 7, None)
    for wrong in ("-1", "many", "1" * 30):
        answer = client.post(address("admin-update-tenant", acme), {"max_rooms": wrong})
        assert "Enter a number, or none." in answer.content.decode()


def test_success_grant_and_revoke_a_role(acme: Tenant, client: Client) -> None:
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    role = Role.objects.get(tenant=acme)
    RoleGrant.objects.all().delete()
    do(client, "role-grant", role, holder=str(anna.pk))
    grant = RoleGrant.objects.get(role=role, participant=anna)
    answer = client.post(address("role-revoke", grant), {"confirmed": "yes"})
    assert answer.status_code == HTTPStatus.FOUND
    assert not RoleGrant.objects.exists()


def test_fail_an_error_of_the_service_is_shown_with_its_fix(acme: Tenant, client: Client) -> None:
    role = Role.objects.get(tenant=acme)
    answer = client.post(address("role-grant", role), {"holder": "<b>stranger</b>"})
    assert answer.status_code == HTTPStatus.CONFLICT
    page = answer.content.decode()
    assert "SW_PARTICIPANT_NOT_FOUND" in page
    assert "<b>stranger" not in page


def test_success_revoking_a_key_needs_its_id(client: Client, settings: Settings) -> None:
    run_generate()
    key = ServerKey.objects.get()
    answer = client.post(
        address("admin-federation-key-revoke", key), {"key_id": "other", "confirmed": "yes"}
    )
    assert "This is not the ID of this key." in answer.content.decode()
    do(client, "admin-federation-key-rotate", key)
    assert ServerKey.objects.count() == 2
    do(client, "admin-federation-key-revoke", key, key_id=key.key_id)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert not page_of(client, key).context["acts"]


def run_generate() -> None:
    from django.utils import timezone

    from federation.services.keys import generate_key
    from tests.tenants.factories import HOST_OPERATOR

    generate_key(operator=HOST_OPERATOR, now=timezone.now())


def test_success_every_model_without_acts_stays_read_only(acme: Tenant, client: Client) -> None:
    acting = {act.model for act in ACTS.values()}
    for model in admin.site._registry:
        row = model._default_manager.order_by("pk").first()
        if model not in acting and row is not None:
            links = page_of(client, row).context["acts"]
            assert not [link for link in links if "/act/" in link.url]

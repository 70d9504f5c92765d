"""Rules for every page of the admin site, with any model."""

from __future__ import annotations

import re
from html import unescape
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import ForeignKey, Model
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from federation.models import KnownPeer, Policy, ServerKey
from identity_sync.models import (
    PendingRemoval,
    Registration,
    SyncChange,
    SyncChangeValues,
    SyncRun,
    SyncSkip,
    WebhookEvent,
)
from rooms.models import Event, Media, Room, RoomImport
from scaiwave.site import ReadOnlyAdmin
from scaiwave.site.formatting import format_name
from scaiwave.site.menu import Section
from tenants.models import (
    AdminUser,
    AuditEntry,
    AuditSeal,
    DailyFigures,
    DoctorRun,
    Group,
    GroupMembership,
    Participant,
    Partner,
    Role,
    RoleGrant,
    Tenant,
)
from tests.scaiwave import row_factories
from tests.scaiwave.site.conftest import fill_json_fields
from tests.scaiwave.site.every_model import MODELS, every_model
from tests.scaiwave.site.model_pages import address, text
from tests.scaiwave.site.pages import POLICY, InlineFinder, strip_markup

LISTED: dict[type[Model], str] = {PendingRemoval: "?state="}
"""Without a filter, some lists are pages of their own."""
SECRETS = ("never to be seen", "pbkdf2", "md5$")

pytestmark = pytest.mark.django_db


def test_fail_refused_requests_have_pages_of_their_own(client: Client) -> None:
    client.handler.enforce_csrf_checks = True
    forged = client.post("/admin/act/sync/")
    assert forged.status_code == HTTPStatus.FORBIDDEN
    unknown_host = client.get("/admin/", HTTP_HOST="unknown.example")
    assert unknown_host.status_code == HTTPStatus.BAD_REQUEST
    for answer, heading in ((forged, "Form not accepted"), (unknown_host, "Invalid request")):
        page = answer.content.decode()
        assert heading in page
        assert "operators.css" in page
        assert "<style" not in page


def test_fail_there_is_no_history_of_django(client: Client) -> None:
    tenant = row_factories.make_tenant("acme")
    answer = client.get(address(Tenant, "history", tenant.pk))
    assert answer.status_code == HTTPStatus.NOT_FOUND


@every_model
def test_success_every_model_has_a_list_and_pages(model: type[Model]) -> None:
    assert admin.site.is_registered(model), f"{model._meta.label} has no admin"
    model_admin = admin.site.get_model_admin(model)
    assert isinstance(model_admin, ReadOnlyAdmin)
    assert bool(model_admin.search_fields) == bool(model_admin.search_help_text)


@pytest.mark.slow
def test_fail_nothing_can_be_changed_by_the_forms_of_django(client: Client) -> None:
    """All that is registered, by this suite or a library: no form passes by the services."""
    row_factories.make_row_of_every_model(1)
    before = read_all_rows()
    for model in admin.site._registry:
        row = model._default_manager.order_by("pk").first()
        assert row is not None, model
        for url, values in (
            (address(model, "add"), vars(row)),
            (address(model, "change", row.pk), {**vars(row), "_save": "Save"}),
            (address(model, "delete", row.pk), {"post": "yes"}),
        ):
            form = {name: str(value) for name, value in values.items()}
            assert client.post(url, form).status_code == HTTPStatus.FORBIDDEN, url
            assert client.get(url).status_code in {HTTPStatus.OK, HTTPStatus.FORBIDDEN}
        chosen = {"_selected_action": str(row.pk), "select_across": "1", "index": "0"}
        for action in ("delete_selected", "act", ""):
            client.post(address(model, "changelist"), {"action": action, **chosen})
        client.post(address(model, "changelist"), {"form-0-id": str(row.pk), "_save": "Save"})
        assert not admin.site.get_model_admin(model).get_actions(RequestFactory().get("/"))
    assert read_all_rows() == before


def read_all_rows() -> dict[str, list[Any]]:
    return {
        model._meta.label: sorted(model._default_manager.values_list(), key=repr)
        for model in admin.site._registry
    }


PUZZLING = (
    *("Scaikey", "Client id", "Local id", "Origin ts", "uuid", "Scope kind", "Participants"),
    *("Required. 150", "Unselect", "tenant=", "an unknown server", "create-tenant", "slugs:"),
)


def find_faults(page: str) -> list[str]:
    """Return which rules a page breaks, which are the same for each list and row."""
    shown = strip_markup(page.partition('id="content-start"')[2])
    shown = shown.replace("command, such as create-tenant", "")
    faults = {
        "a secret": any(secret in page for secret in SECRETS),
        "None": re.search(r">\s*None\s*<", page),
        "something that the content security policy forbids": InlineFinder(page).found,
        "JSON": re.search(r"""[\[{]\s*[\[{]?["']|\[\{|\{\}|<pre""", unescape(page)),
    }
    puzzling = [words for words in PUZZLING if words in shown]
    return [fault for fault, is_found in faults.items() if is_found] + puzzling


@every_model
@pytest.mark.usefixtures("filled")
def test_success_list_and_pages_of_a_model(model: type[Model], client: Client) -> None:
    """Each is opened once, for all rules."""
    with CaptureQueriesContext(connection) as caught:
        listed = text(client, address(model, "changelist") + LISTED.get(model, ""))
    # A list must not read its table to find the choices of its filters.
    assert not [query["sql"] for query in caught if "DISTINCT" in query["sql"]]
    assert find_faults(listed) == []
    results = listed.partition('id="changelist"')[2]
    for row in model._default_manager.order_by("pk"):
        url = address(model, "change", row.pk)
        assert f'href="{url}' in results
        answer = client.get(url)
        assert answer.headers["Content-Security-Policy"] == POLICY
        page = answer.content.decode()
        assert find_faults(page) == [], row
        assert "<select" not in page.partition('id="content-main"')[2]
        for link in answer.context["related_links"]:
            linked = client.get(link.url)
            assert linked.status_code == HTTPStatus.OK, link
            assert linked.context["cl"].result_count == link.count, link


ID_FIELDS: dict[type[Model], dict[str, str]] = {
    Partner: {"scaikey_id": "prt_1"},
    Tenant: {"scaikey_tenant_id": "scaikey-1"},
    Participant: {"scaikey_id": "usr_1"},
    AuditSeal: {"key_id": "key1", "signature": "c2lnbmF0dXJl"},
    ServerKey: {"key_id": "key1", "public_key": "cHVibGlj"},
    RoomImport: {"manifest_sha256": "0" * 64},
    Registration: {"request_id": "request-1", "client_id": "app_1"},
    WebhookEvent: {"event_id": "evt_1", "scaikey_id": "usr_1"},
    SyncSkip: {"subject_scaikey_id": "usr_skipped_1"},
    AuditEntry: {},
}


@pytest.mark.usefixtures("tenant")
def test_success_every_id_can_be_copied(client: Client) -> None:
    Partner.objects.update(scaikey_id="prt_1")
    Participant.objects.update(scaikey_id="usr_1")
    WebhookEvent.objects.update(scaikey_id="usr_1")
    Registration.objects.update(client_id="app_1")
    for model, fields in ID_FIELDS.items():
        row = model._default_manager.order_by("pk")[0]
        page = text(client, address(model, "change", row.pk))
        values = (row.subject_id, row.tenant_id) if isinstance(row, AuditEntry) else fields.values()
        for value in (*values, str(row.pk)):
            assert f'<code class="id" title="{value}">{value}</code>' in page, (model, value)


def test_success_values_of_fields_are_shown_with_their_unit(client: Client) -> None:
    row_factories.make_row_of_every_model(1)
    Event.objects.update(origin_ts=1_772_600_767)
    DailyFigures.objects.update(storage_bytes=936_378_368)
    event, figures, person = Event.objects.get(), DailyFigures.objects.get(), Participant.objects
    for row, words in (
        (event, "2026-03-04 05:06:07 UTC"),
        (figures, "893.0 MiB"),
        (person.get(participant_type="human"), "this server"),
    ):
        assert words in strip_markup(text(client, address(type(row), "change", row.pk)))
    Event.objects.update(origin_ts=10**18)
    page = strip_markup(text(client, address(Event, "change", event.pk)))
    assert "1,000,000,000,000,000,000 seconds after 1970" in page


def test_success_findings_of_doctor_are_a_table_with_the_worst_first(
    client: Client, tenant: Tenant
) -> None:
    fill_json_fields(tenant)
    run = DoctorRun.objects.get()
    page = strip_markup(text(client, address(DoctorRun, "change", run.pk)))
    assert "faildisk91%full.Free.SW_DISKwarndisk" in page.replace(" ", "")


def test_success_menu_is_by_task_with_internals_last(client: Client) -> None:
    menu = client.get(reverse("admin:index")).context["app_list"]
    assert [section["name"] for section in menu] == [section.value for section in Section]
    assert menu[0]["models"][0]["name"] == "Tenants"
    names = {model["object_name"] for model in menu[-1]["models"]}
    joins = {"GroupMembership", "WorkspaceMember", "RoomMember", "RoomMedia"}
    assert joins | {"StreamCounter", "SearchRange", "ImportIntent"} <= names
    assert "RoleGrant" not in names


def test_success_menu_begins_with_the_overview(client: Client) -> None:
    link = '<a class="menu-overview" href="/admin/"{}>Overview</a>'
    assert link.format(' aria-current="page"') in text(client, reverse("admin:index"))
    elsewhere = text(client, address(Tenant, "changelist"))
    assert link.format("") in elsewhere
    menu = elsewhere[elsewhere.index('id="nav-sidebar"') :]
    assert menu.index("menu-overview") < menu.index("app-tenants")


@pytest.mark.parametrize(
    ("app", "model"),
    [("tenants", "tenants_tenant"), ("rooms", "rooms_workspace"), ("federation", None)],
)
def test_success_pages_of_apps_lead_to_their_section(
    app: str, model: str | None, client: Client
) -> None:
    """The one with lists of the app that comes first, or the overview."""
    if model is None:
        client.force_login(AdminUser.objects.create_user("newcomer", is_staff=True))
    expected = reverse(f"admin:{model}_changelist") if model else reverse("admin:index")
    answer = client.get(reverse("admin:app_list", args=[app]))
    assert (answer.status_code, answer.headers["Location"]) == (HTTPStatus.FOUND, expected)


@pytest.mark.parametrize("code", [403, 404, 500, 503])
def test_success_error_pages_look_like_the_site(code: int, client: Client) -> None:
    client.raise_request_exception = False
    page = render_to_string(f"{code}.html")
    assert "ScaiWave operators" in page
    assert str(code) in page
    if code == HTTPStatus.NOT_FOUND:
        assert client.get("/nowhere").content.decode() == page


def test_success_list_says_which_policy_is_in_force_without_one(client: Client) -> None:
    url = reverse("admin:federation_policy_changelist")
    assert "The policy in force is closed" in text(client, url)
    row_factories.make_row_of_every_model(1)
    assert "federation policy set" not in text(client, url)


def test_success_index_links_to_every_list(client: Client) -> None:
    page = text(client, reverse("admin:index"))
    for model in MODELS:
        assert f'href="{address(model, "changelist")}"' in page
    assert "ScaiWave operators" in page


def test_success_the_root_redirects_to_the_site(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_fail_stranger_is_asked_to_sign_in() -> None:
    answer = Client().get(address(Tenant, "changelist"))
    assert answer.status_code == HTTPStatus.FOUND
    assert answer.headers["Location"].startswith("/admin/login/?next=")


def test_success_administrator_signs_in() -> None:
    AdminUser.objects.create_superuser("eve", password="correct horse battery")
    client = Client()
    given = {"username": "eve", "password": "correct horse battery"}
    answer = client.post(reverse("admin:login"), {**given, "next": "/admin/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_fail_administrator_without_permission_sees_nothing() -> None:
    client = Client()
    client.force_login(AdminUser.objects.create_user("newcomer", is_staff=True))
    assert client.get(address(Tenant, "changelist")).status_code == HTTPStatus.FORBIDDEN


def test_fail_link_with_a_bad_id_is_refused(client: Client) -> None:
    url = address(Participant, "changelist")
    answer = client.get(url, {"tenant__id__exact": "not an id"})
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{url}?e=1")


@every_model
@pytest.mark.usefixtures("tenant")
def test_success_view_permission_shows_one_model_only(model: type[Model]) -> None:
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    user = AdminUser.objects.create_user("viewer", is_staff=True)
    codename = f"view_{model._meta.model_name}"
    user.user_permissions.add(
        Permission.objects.get(codename=codename, content_type__app_label=model._meta.app_label)
    )
    client = Client()
    client.force_login(user)
    page = text(client, address(model, "change", row.pk))
    assert not [secret for secret in SECRETS if secret in page]
    answer = client.get(address(model, "changelist"))
    listed = answer.content.decode()
    for field in model._meta.fields:
        if isinstance(field, ForeignKey) and field.related_model is not model:
            assert f"field-{field.name} " not in f"{page}{listed}".replace('"', " "), field
    names = admin.site.get_model_admin(model).named_by  # type: ignore[attr-defined]
    name = escape(strip_markup(format_name(row)))
    assert (name in page) is not bool(names) or name in str(row.pk)
    menu = answer.context["available_apps"]
    assert {each["object_name"] for part in menu for each in part["models"]} == {model.__name__}
    start = MODELS.index(model) + 1
    for other in (MODELS + MODELS)[start : start + 4]:
        refused = client.get(address(other, "changelist"))
        assert refused.status_code == HTTPStatus.FORBIDDEN, other
    assert client.post(address(model, "change", row.pk), {}).status_code == HTTPStatus.FORBIDDEN
    lookup = {"id__startswith": "0"}
    answer = client.get(address(model, "changelist"), lookup)
    assert answer.status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("model", "field", "others"),
    [
        (SyncRun, "changed", (SyncChange, SyncChangeValues)),
        (SyncChange, "values", (SyncChangeValues,)),
        (Participant, "groups", (Group, GroupMembership)),
        (Participant, "roles", (Role, RoleGrant, Group, GroupMembership)),
        (Group, "member_count", (GroupMembership,)),
        (Partner, "tenant_count", (Tenant,)),
        (Tenant, "people", (Participant,)),
        (Tenant, "storage", (Media,)),
        (Tenant, "last_activity", (Event,)),
        (Participant, "tenant", (Tenant,)),
        (RoleGrant, "holder", (Participant, Group)),
        (KnownPeer, "policy_badge", (Policy,)),
        (SyncRun, "loss_list", (Tenant,)),
    ],
)
def test_success_rows_of_other_models_need_their_permission(
    model: type[Model], field: str, others: tuple[type[Model], ...]
) -> None:
    """On the page of a row, above a list, and in an export."""
    row_factories.make_row_of_every_model(1)
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    columns = map(str, admin.site.get_model_admin(model).list_display)
    is_column = field in columns
    url = address(model, "changelist") if is_column else address(model, "change", row.pk)
    user = AdminUser.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(user)
    shown = []
    for models in ((model, *others[1:]), (model, *others)):
        names = [f"view_{each._meta.model_name}" for each in models]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        shown.append(f"field-{field}" in text(client, url))
    assert shown == [False, True]


def test_success_fields_without_a_value_are_named_in_one_line(
    client: Client, tenant: Tenant
) -> None:
    Tenant.objects.update(partner=None, contact_email="ops@a.example")
    url = address(Tenant, "change", tenant.pk)
    named = strip_markup(text(client, url).partition("field-not_set")[2])[:300]
    assert "partner" in named
    assert "contact e-mail" not in named
    Tenant.objects.update(contact_email="")
    page = text(client, url)
    assert "contact e-mail" in strip_markup(page.partition("field-not_set")[2])[:300]
    assert "field-partner" not in page
    assert "field-contact_email" not in page


def test_success_notes_figures_and_titles_need_the_permission_too() -> None:
    tenant = row_factories.make_row_of_every_model(1)
    room, grant = Room.objects.get(), RoleGrant.objects.get(group=None)
    person = Participant.objects.filter(tenant=tenant, participant_type="human")[0]
    Tenant.objects.filter(pk=tenant.pk).update(suspended_by_hand_at=row_factories.NOW)
    Partner.objects.update(absent_since=row_factories.NOW)
    user = AdminUser.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(user)
    pages = {
        address(Tenant, "change", tenant.pk): ("AI tokens this month", "tokenusage"),
        f"{address(Tenant, 'changelist')}?limits=near": ("limits=full", "tokenusage"),
        address(Room, "change", room.pk): ("Events</span>", "event"),
        address(ServerKey, "changelist"): ("The policy in force", "policy"),
        address(KnownPeer, "changelist"): ("The policy in force", "policy"),
        address(RoleGrant, "change", grant.pk): (str(grant), "participant"),
        address(Participant, "change", person.pk): (f"Tenant {tenant.slug} is", "tenant"),
        f"{address(Participant, 'change', person.pk)}?": (f"Partner {tenant.partner}", "partner"),
    }
    all_others = Permission.objects.filter(codename__startswith="view_")
    for url, (shown, other) in pages.items():
        user.user_permissions.set(all_others.exclude(codename=f"view_{other}"))
        assert shown not in client.get(url, follow=True).content.decode(), url
        user.user_permissions.set(all_others)
        assert shown in text(client, url), url


def test_success_chosen_row_is_named_and_can_be_cleared(client: Client) -> None:
    of = row_factories.make_row_of_every_model(1)
    row_factories.make_row_of_every_model(2)
    page = client.get(address(Participant, "changelist"), {"tenant__id__exact": str(of.pk)})
    assert [each.tenant for each in page.context["cl"].result_list] == [of]
    filters = {spec.title: spec for spec in page.context["cl"].filter_specs}
    named = [choice["display"] for choice in filters["tenant"].choices(page.context["cl"])]
    assert named == ["All", "tenant1"]


def test_fail_a_list_of_two_tenants_is_not_headed_by_one_of_them(client: Client) -> None:
    one, other = (row_factories.make_row_of_every_model(number) for number in (1, 2))
    query = urlencode([("tenant__id__exact", str(tenant.pk)) for tenant in (one, other)])
    page = client.get(f"{address(Participant, 'changelist')}?{query}")
    assert {row.tenant for row in page.context["cl"].result_list} == {one, other}
    assert page.context["heading"] is None


def test_success_times_are_shown_in_utc(client: Client) -> None:
    row_factories.make_row_of_every_model(1)
    assert "2026-03-04 05:06:07 UTC" in text(client, address(Tenant, "changelist"))


def test_success_the_page_after_signing_out_with_a_password_is_about_this_server() -> None:
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    page = client.post(reverse("admin:logout")).content.decode()
    assert "You are signed out of this server." in page
    assert "ScaiKey" not in page
    assert client.get(reverse("admin:index")).status_code == HTTPStatus.FOUND

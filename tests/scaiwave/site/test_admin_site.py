"""Rules for every page of the admin site, with any model."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
    WebhookEvent,
)
from rooms.models import Event, ImportIntent, Media, Room, RoomImport, SearchBackfill
from scaiwave.ids import new_id
from scaiwave.site import ReadOnlyAdmin
from scaiwave.site.formatting import format_name
from scaiwave.site.menu import Section
from scaiwave.site.pagination import CappedPaginator
from tenants.models import (
    AdminUser,
    AuditEntry,
    AuditPruning,
    AuditSeal,
    Counter,
    DailyFigures,
    DoctorRun,
    Group,
    GroupMembership,
    Participant,
    Partner,
    Role,
    RoleGrant,
    Tenant,
    TokenUsage,
)
from tests.scaiwave import row_factories
from tests.scaiwave.site.every_model import MODELS, every_model
from tests.scaiwave.site.pages import POLICY, InlineFinder, strip_markup

LISTED: dict[type[Model], str] = {PendingRemoval: "?state="}
"""Without a filter, some lists are pages of their own."""
SECRETS = ("never to be seen", "pbkdf2", "md5$")

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant(db: None) -> Tenant:
    """The tenant of a row of every model."""
    return row_factories.make_row_of_every_model(1)


@pytest.fixture
def filled(tenant: Tenant) -> None:
    """Two rows of every model, with JSON of each shape in the first."""
    fill_json_fields(tenant)
    row_factories.make_row_of_every_model(2)
    RoleGrant.objects.update(source="scaikey")


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == HTTPStatus.OK, (url, answer)
    return answer.content.decode()


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as caught:
        text(client, url)
    return len(caught)


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


def test_success_lists_use_a_constant_number_of_queries(client: Client) -> None:
    lists = [address(model, "changelist") for model in MODELS]
    for number in range(2):
        row_factories.make_row_of_every_model(number)
    few = {url: queries(client, url) for url in lists}
    for number in range(2, 12):
        row_factories.make_row_of_every_model(number)
    assert {url: queries(client, url) for url in lists} == few


@every_model
@pytest.mark.usefixtures("filled")
def test_success_every_list_can_be_searched(model: type[Model], client: Client) -> None:
    url = address(model, "changelist")
    for search in ("tenant1", "0197b0e2-4c1f-7a3e-8000-000000000000", "%", "'", "a@b", "@a:b"):
        assert client.get(url, {"q": search}).status_code == HTTPStatus.OK, search
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    assert client.get(url, {"q": str(row.pk)}).context["cl"].result_list == [row]
    # Each word would be a condition on each field: SQLite has a limit, PostgreSQL takes long.
    words = {"q": " ".join("a" * 1900)}
    assert client.get(url, words).status_code == HTTPStatus.OK
    assert client.post(f"{url}export/csv/?{urlencode(words)}").status_code == HTTPStatus.OK


def fill_json_fields(tenant: Tenant) -> None:
    """Give every model that has JSON a value of each shape, as its writers do."""
    Tenant.objects.update(features={"ai": True, "limits": {"rooms": 3, "regions": ["eu", "us"]}})
    Counter.objects.update(labels='{"action": "sync", "kind": "tenant"}')
    found = {"check": "disk", "state": "warn", "message": "91 % full.", "fix": "Free.", "code": ""}
    DoctorRun.objects.update(findings=[found, {**found, "state": "fail", "code": "SW_DISK"}])
    AuditSeal.objects.update(statement='{"day": "2026-03-03", "parts": [{"sha256": "ab"}]}')
    AuditPruning.objects.update(statement='{"through": "2026-03-03", "entries": 3}')
    outcome = {"tenant": "acme", "tenant_id": str(tenant.pk), "written": 3, "removed": 0}
    SearchBackfill.objects.update(outcome={"tenants": [outcome]}, finished_at=row_factories.NOW)
    ImportIntent.objects.update(hashes=["0" * 64, "1" * 64])
    Room.objects.update(read_role_slugs=["moderator", "admins"])
    KnownPeer.objects.update(protocol_versions=["1.0", "1.1"])
    changes = [{"field": "features", "old": {"ai": [{"on": True}]}, "new": {}}]
    details = {"changes": changes, "losses": [{"people": 3}], "a": {"b": 1}}
    AuditEntry.objects.create(at=row_factories.NOW, action="update-tenant", details=details)
    SyncChangeValues.objects.update(values={"roles": [["a", "b"], []], "limits": [{"a": 1}, None]})
    SyncPlannedChange.objects.update(values={"limits": [{"a": 1, "b": [{"c": 2}]}, None]})
    SyncRun.objects.update(warnings=["slow"], losses=[["people", str(tenant.pk), 3]])


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


def find(client: Client, term: str) -> dict[str, list[str]]:
    answer = client.get(reverse("admin:search"), {"q": term}, follow=True)
    if "found" not in answer.context:
        return {"": [answer.redirect_chain[-1][0]]}
    return {each.title: [row.url for row in each.rows] for each in answer.context["found"]}


def test_success_search_finds_rows_of_every_kind(client: Client) -> None:
    acme = row_factories.make_row_of_every_model(1)
    row_factories.make_row_of_every_model(2)
    anna = Participant.objects.get(tenant=acme, participant_type="human")
    key = ServerKey.objects.order_by("pk").first()
    assert key is not None
    for term, row in (
        (acme.slug, acme),
        (str(acme.pk), acme),
        (f"@{anna.local_id}:localhost", anna),
        (str(anna.pk), anna),
        (key.key_id, key),
    ):
        urls = [url for urls in find(client, term).values() for url in urls]
        assert address(type(row), "change", row.pk) in urls, term


@pytest.mark.usefixtures("tenant")
def test_success_search_for_a_null_character_finds_nothing(client: Client) -> None:
    """PostgreSQL refuses it in a text."""
    for term in ("\0", "a\0b", "@a\0:b", "a@b\0"):
        assert find(client, term) == {}


@every_model
@pytest.mark.usefixtures("tenant")
def test_success_filters_by_a_null_character_find_nothing(
    model: type[Model], client: Client
) -> None:
    model_admin: Any = admin.site.get_model_admin(model)
    request = RequestFactory().get("/")
    request.user = AdminUser.objects.get(username="root")
    request.session = client.session
    for lookup in sorted(model_admin._get_filter_parameters(request)):
        for value in ("\0", "a\0b"):
            url = f"{address(model, 'changelist')}?{urlencode({lookup: value})}"
            answer = client.get(url)
            if answer.status_code == HTTPStatus.OK:
                assert not answer.context["cl"].result_list, lookup
            else:
                assert (answer.status_code, answer["Location"][-4:]) == (HTTPStatus.FOUND, "?e=1")
            exported: Any = client.post(url.replace("/?", "/export/csv/?"))
            assert exported.status_code == answer.status_code
            assert not exported.streaming or exported.getvalue().count(b"\n") == 1
    assert client.get(address(model, "changelist"), {"q": "\0"}).status_code == HTTPStatus.OK


@pytest.mark.usefixtures("tenant")
def test_success_an_unknown_id_finds_nothing(client: Client) -> None:
    for model in (DailyFigures, ImportIntent, TokenUsage):
        answer = client.get(address(model, "changelist"), {"q": str(new_id())})
        assert answer.context["cl"].result_list == []


@pytest.mark.usefixtures("tenant")
@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T00:00:00+00:00", "noon"],
)
@pytest.mark.parametrize(
    ("model", "names"),
    [
        (AuditEntry, ("from", "to")),
        (SyncRun, ("started_at__gte", "started_at__lt")),
        (WebhookEvent, ("received_at__gte", "received_at__lt")),
    ],
)
def test_success_filters_by_impossible_times(
    model: type[Model], names: tuple[str, ...], time: str, client: Client
) -> None:
    url = address(model, "changelist")
    for name in names:
        query = urlencode({name: time})
        for answer in (client.get(f"{url}?{query}"), client.post(f"{url}export/csv/?{query}")):
            is_refused = (
                answer.status_code == HTTPStatus.FOUND and answer["Location"][-4:] == "?e=1"
            )
            assert is_refused or answer.status_code == HTTPStatus.OK


@every_model
@pytest.mark.usefixtures("tenant")
def test_fail_lists_sort_only_by_the_columns_that_they_offer(
    model: type[Model], client: Client
) -> None:
    """Sorting by another one would read and sort the whole table."""
    model_admin: Any = admin.site.get_model_admin(model)

    def get_order(number: int) -> Any:
        request = RequestFactory().get("/", {"o": str(number)})
        request.user, request.session = AdminUser.objects.get(username="root"), client.session
        return model_admin.get_changelist_instance(request).queryset.query.order_by

    for number, name in enumerate(model_admin.list_display):
        assert name in (model_admin.sortable_by or ()) or get_order(number) == get_order(99), name


@pytest.mark.parametrize(
    ("model", "other"),
    [(TokenUsage, Tenant), (SyncSkip, Tenant), (SyncRun, Tenant), (RoleGrant, Role)],
)
def test_fail_names_that_are_not_shown_are_not_found_either(
    model: type[Model], other: type[Model]
) -> None:
    """Character by character, a search could guess them."""
    row_factories.make_row_of_every_model(1)
    other._default_manager.update(slug="kestrel")
    user = AdminUser.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(user)
    found = []
    for models in ((model,), (model, other)):
        names = [f"view_{each._meta.model_name}" for each in models]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        answer = client.get(address(model, "changelist"), {"q": "kest"})
        found.append(bool(answer.context["cl"].result_list))
    assert found == [False, True]


def test_success_search_shows_only_what_the_account_may_see() -> None:
    row_factories.make_row_of_every_model(1)
    user = AdminUser.objects.create_user("view", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    client = Client()
    client.force_login(user)
    assert set(find(client, "1")) <= {"", "Tenants"}
    assert find(client, "") == {}


def test_success_search_has_a_constant_number_of_queries(client: Client) -> None:
    counts = []
    for numbers in (range(3), range(3, 12)):
        for number in numbers:
            row_factories.make_row_of_every_model(number)
        counts.append(queries(client, f"{reverse('admin:search')}?q=tenant"))
    assert counts[0] == counts[1] <= 20


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


def list_lookups(model: type[Model], prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the fields of a model, and of those it refers to and that refer to it."""
    for field in model._meta.get_fields():
        yield prefix + field.name
        if field.related_model and depth < 2:
            yield from list_lookups(field.related_model, f"{prefix}{field.name}__", depth + 1)


@every_model
def test_fail_no_lookup_can_guess_a_value(model: type[Model], client: Client) -> None:
    lookups = [
        f"{name}__{operator}"
        for name in list_lookups(model)
        for operator in ("startswith", "regex", "lte")
    ]
    request = RequestFactory().get("/")
    request.user = AdminUser()
    model_admin = admin.site.get_model_admin(model)
    assert [name for name in lookups if model_admin.lookup_allowed(name, "x", request)] == []
    url = address(model, "changelist")
    for name in lookups[:3]:
        assert client.get(url, {name: "x"}).status_code == HTTPStatus.BAD_REQUEST, name


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (AdminUser, "password__startswith"),
        (AdminUser, "password"),
        (AdminUser, "password__exact"),
        (ServerKey, "private_key_encrypted__startswith"),
        (ServerKey, "private_key_encrypted__isnull"),
        (Participant, "tenant__contact_email__startswith"),
        (SyncChange, "subject_name__gte"),
        (Tenant, "nonsense"),
    ],
)
def test_fail_lookup_of_a_hidden_or_related_field(
    model: type[Model], lookup: str, client: Client
) -> None:
    answer = client.get(address(model, "changelist"), {lookup: "p"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST


@every_model
@pytest.mark.usefixtures("tenant")
def test_success_every_choice_of_every_filter_works(model: type[Model], client: Client) -> None:
    url = address(model, "changelist")
    changelist = client.get(url).context["cl"]
    for spec in changelist.filter_specs:
        for choice in spec.choices(changelist):
            query = choice.get("query_string") or f"?{choice['name']}="
            assert client.get(url + query).status_code == HTTPStatus.OK


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


def test_success_long_lists_are_counted_only_so_far(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.site.pagination.MAX_ROWS", 3)
    for number in range(5):
        row_factories.make_tenant(f"tenant{number}")
    assert CappedPaginator(Tenant.objects.order_by("slug"), 2).num_pages == 2
    page = text(client, address(Tenant, "changelist"))
    assert "Only the first 3 rows are shown; search or filter to see others." in page


def test_success_the_page_after_signing_out_with_a_password_is_about_this_server() -> None:
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    page = client.post(reverse("admin:logout")).content.decode()
    assert "You are signed out of this server." in page
    assert "ScaiKey" not in page
    assert client.get(reverse("admin:index")).status_code == HTTPStatus.FOUND

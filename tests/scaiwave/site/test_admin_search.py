"""The search of the admin site across all lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib import admin
from django.db.models import Field, ForeignKey, Model, UUIDField
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from rooms.models import Room
from scaiwave.site.access import SCAIKEY_BACKEND
from scaiwave.site.terms import TermForm, get_term_form
from tenants.models import AdminUser, DailyFigures, Partner, Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.site.scaikey_sessions import sign_in

pytestmark = pytest.mark.django_db


def get_key_field(model: type[Model]) -> Field[Any, Any]:
    key: Field[Any, Any] = model._meta.pk
    return key.target_field if isinstance(key, ForeignKey) else key


MODELS = [
    model
    for model in apps.get_models()
    if admin.site.is_registered(model) and isinstance(get_key_field(model), UUIDField)
]


@pytest.fixture(autouse=True)
def scaikey_sign_in(settings: Settings) -> None:
    settings.AUTHENTICATION_BACKENDS = [*django_settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]


@pytest.fixture
def client() -> Client:
    client = Client()
    root = AdminUser.objects.create_superuser("root")
    client.force_login(root, "django.contrib.auth.backends.ModelBackend")
    return client


def search(client: Client, term: object) -> dict[str, str]:
    """Return what a search finds: the texts of the rows by their addresses."""
    answer: Any = client.get(reverse("admin:search"), {"q": str(term)}, follow=True)
    if answer.redirect_chain:
        return {answer.redirect_chain[-1][0]: ""}
    return {
        row.url: f"{row.text} | {row.details}"
        for each in answer.context["found"]
        for row in each.rows
    }


def address(row: Model) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


@pytest.mark.slow
def test_success_an_id_finds_a_row_of_every_list(client: Client) -> None:
    row_factories.make_row_of_every_model(1)
    assert len(MODELS) > 30
    missed = []
    for model in MODELS:
        row = model._default_manager.order_by("pk")[0]
        wanted = row.tenant if model._meta.model_name == "streamcounter" else row  # type: ignore[attr-defined]
        if address(wanted) not in search(client, row.pk):
            missed.append(model._meta.label)
    assert missed == []


@pytest.mark.slow
@pytest.mark.parametrize("role", ["partner_admin", "tenant_admin"])
def test_success_an_id_finds_the_rows_that_the_role_sees(role: str) -> None:
    for number in (1, 2):
        row_factories.make_row_of_every_model(number)
        Partner.objects.filter(slug=f"partner{number}").update(scaikey_id=f"prt_{number}")
    client = sign_in("partner_admin", partner="prt_1")
    if role == "tenant_admin":
        client = sign_in(role, tenant="scaikey-1")
    wrong = []
    for model in MODELS:
        model_admin: Any = admin.site.get_model_admin(model)
        list_url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer: Any = client.get(list_url)
        is_listed = answer.context is not None and "cl" in answer.context
        seen = model_admin.get_queryset(answer.wsgi_request) if is_listed else model.objects.none()  # type: ignore[attr-defined]
        for row in model._default_manager.all():
            found = search(client, row.pk)
            is_named = bool(model_admin.searched_forms) or model._meta.model_name != "streamcounter"
            if is_named and (address(row) in found) is not (row in seen):
                wrong.append(model._meta.label)
    assert wrong == []


def test_success_hits_of_one_name_have_details(client: Client) -> None:
    for slug in ("acme", "lab"):
        tenant = row_factories.make_tenant(slug, name=f"The {slug}")
        row_factories.make_participant(tenant, f"anna.{slug}", display_name="Anna Smith")
    texts = search(client, "Anna Smith").values()
    assert sorted(texts) == [
        "Anna Smith | anna.acme@example.com, acme",
        "Anna Smith | anna.lab@example.com, lab",
    ]
    assert sorted(search(client, "The").values()) == ["acme | The acme", "lab | The lab"]


def test_success_a_tenant_is_found_by_its_id_before_its_counter(client: Client) -> None:
    tenant = row_factories.make_row_of_every_model(1)
    assert search(client, tenant.pk) == {address(tenant): ""}


def test_success_a_day_finds_its_figures_and_a_room(client: Client) -> None:
    tenant = row_factories.make_row_of_every_model(1)
    figures = DailyFigures.objects.get()
    assert search(client, figures.day) == {address(figures): ""}
    Room.objects.filter(tenant=tenant).update(name=f"Retro {figures.day}")
    assert set(search(client, figures.day)) == {
        address(figures),
        *(address(room) for room in Room.objects.all()),
    }


def test_success_an_e_mail_address_with_a_space_is_a_text(client: Client) -> None:
    acme = row_factories.make_tenant("acme", name="Acme @ Berlin")
    assert search(client, "Acme @ Berlin") == {address(acme): ""}
    assert Tenant.objects.count() == 1


@pytest.mark.parametrize(
    ("term", "form"),
    [
        ("0197b0e2-4c1f-7a3e-8000-000000000000", TermForm.ID),
        ("0197b0e24c1f7a3e8000000000000000", TermForm.ID),
        ("@anna:localhost", TermForm.ADDRESS),
        ("@anna:", TermForm.ADDRESS),
        ("anna@acme.example", TermForm.EMAIL),
        ("@acme.example", TermForm.EMAIL),
        ("SW_SYNC_REMOVAL_LIMIT", TermForm.CODE),
        ("0" * 64, TermForm.HASH),
        ("2026-11-24", TermForm.DAY),
        ("acme", TermForm.TEXT),
        ("Acme @ Berlin", TermForm.TEXT),
        ("usr_1", TermForm.TEXT),
        ("sw_sync", TermForm.TEXT),
        ("#lobby:localhost", TermForm.TEXT),
    ],
)
def test_success_a_term_has_one_form(term: str, form: TermForm) -> None:
    assert get_term_form(term) is form


def test_success_rows_are_suggested_while_typing(client: Client) -> None:
    tenant = row_factories.make_tenant("harbour", name="Harbour Port")
    row_factories.make_participant(tenant, "harriet", display_name="Harriet \u202eevil\u2067")
    url = reverse("admin:suggest")
    rows = client.get(url, {"q": "har"}).json()["results"]
    assert [(row["kind"], row["text"]) for row in rows] == [
        ("Tenants", "harbour"),
        ("People", "Harriet [U+202E]evil[U+2067]"),
    ]
    assert rows[0]["url"] == reverse("admin:tenants_tenant_change", args=[tenant.pk])
    (row,) = client.get(url, {"q": "har", "of": "tenants.tenant"}).json()["results"]
    assert (row["value"], row["details"]) == ("harbour", "Harbour Port")
    stranger = sign_in("tenant_admin", tenant="tnt_other")
    assert stranger.get(url, {"q": "har"}).json() == {"results": []}


def test_success_rooms_and_people_are_filtered_by_tenant(client: Client) -> None:
    tenants = [row_factories.make_tenant(slug, name=f"The {slug}") for slug in ("acme", "zebra")]
    for each in tenants:
        anna = row_factories.make_participant(each, f"anna-{each.slug}")
        row_factories.make_room(row_factories.make_workspace(each), anna)
    tenant = tenants[1]
    for name in ("tenants_participant", "rooms_room", "rooms_workspace"):
        url = reverse(f"admin:{name}_changelist")
        for given in ("zebra", "ZEBRA", "the zebra", str(tenant.pk)):
            rows = client.get(url, {"tenant": given}).context["cl"].result_list
            assert [row.tenant.slug for row in rows] == ["zebra"], (name, given)
        assert not client.get(url, {"tenant": "nowhere"}).context["cl"].result_list
    own = sign_in("tenant_admin", tenant=tenant.scaikey_tenant_id)
    page = own.get(reverse("admin:rooms_room_changelist"))
    assert 'name="tenant"' not in page.content.decode()


def test_fail_unknown_filters_are_named(client: Client) -> None:
    url = reverse("admin:tenants_participant_changelist")
    for answer in (client.get(url, {"colour": "1"}), client.post(f"{url}export/csv/?colour=1")):
        assert answer.status_code == 400
        assert "The list of people has no filter named colour." in answer.content.decode()
    invalid = client.get(url, {"tenant__id__exact": "x"}, follow=True)
    assert "A filter had an invalid value" in invalid.content.decode()


def test_success_a_search_that_finds_nothing_names_where_messages_are_searched(
    client: Client,
) -> None:
    page = client.get(reverse("admin:search"), {"q": "launch"}).content.decode()
    assert (
        "Nothing was found for “launch”. Texts of messages are not searched here: use "
        "<code>scaiwave room search</code>." in page
    )

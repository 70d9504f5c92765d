"""Lists of the admin site: their search, filters and order."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse

from federation.models import ServerKey
from identity_sync.models import (
    SyncChange,
    SyncRun,
    SyncSkip,
    WebhookEvent,
)
from rooms.models import ImportIntent
from scaiwave.ids import new_id
from scaiwave.site.pagination import CappedPaginator
from tenants.models import (
    AdminUser,
    AuditEntry,
    DailyFigures,
    Participant,
    Role,
    RoleGrant,
    Tenant,
    TokenUsage,
)
from tests.scaiwave import row_factories
from tests.scaiwave.site.every_model import MODELS, every_model
from tests.scaiwave.site.model_pages import address, queries, text

pytestmark = pytest.mark.django_db


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


def test_success_long_lists_are_counted_only_so_far(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.site.pagination.MAX_ROWS", 3)
    for number in range(5):
        row_factories.make_tenant(f"tenant{number}")
    assert CappedPaginator(Tenant.objects.order_by("slug"), 2).num_pages == 2
    page = text(client, address(Tenant, "changelist"))
    assert "Only the first 3 rows are shown; search or filter to see others." in page

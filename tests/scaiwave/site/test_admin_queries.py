"""Pages of the admin site need few queries for every kind of session, and as many on a large server
as on a small one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection, reset_queries, transaction
from django.db.models import UUIDField
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.models import AdminUser, Participant, Partner, StoredOverview
from tests.browser.sample_site import create_sample_site
from tests.scaiwave.row_factories import make_row_of_every_model
from tests.scaiwave.site.addresses import Address, iter_addresses
from tests.scaiwave.site.scaikey_sessions import sign_in

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MAX_OF_LIST, MAX_OF_PAGE, MAX_OF_OVERVIEW, MAX_OF_STORED_OVERVIEW = 12, 12, 46, 4
SMALL, LARGE = 1, 3
PARTNER, TENANT = "prt_northwind", "tnt_acme"
HOUR = 3600.0

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def enter_with_password() -> Client:
    client = Client()
    root = AdminUser.objects.create_superuser("root")
    client.force_login(root, "django.contrib.auth.backends.ModelBackend")
    return client


SESSIONS: dict[str, Callable[[], Client]] = {
    "superuser": enter_with_password,
    "super_admin": lambda: sign_in("super_admin", seconds=HOUR),
    "partner_admin": lambda: sign_in("partner_admin", partner=PARTNER, seconds=HOUR),
    "tenant_admin": lambda: sign_in("tenant_admin", tenant=TENANT, seconds=HOUR),
}
WITH_ALL_PAGES = ("superuser", "tenant_admin", "partner_admin")
"""A super_admin has the rows of a superuser, and the session of the other two."""


@pytest.fixture(autouse=True)
def scaikey_sign_in(settings: Settings) -> None:
    settings.AUTHENTICATION_BACKENDS = [*django_settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]


@dataclass(frozen=True)
class Counts:
    """The queries of a kind of session: of each address by its name, and of the overview when it is
    built and when it is stored."""

    pages: dict[str, tuple[Address, int]]
    overview: tuple[int, int]


def count_all(scale: int) -> dict[str, Counts]:
    """Return the queries of each kind of session, on a server of this size. Nothing is kept."""
    ContentType.objects.clear_cache()
    counts = {}
    with transaction.atomic():
        create_sample_site(NOW, scale=scale)
        make_row_of_every_model(1)
        Partner.objects.filter(slug="northwind").update(scaikey_id=PARTNER)
        person = Participant.objects.filter(tenant__scaikey_tenant_id=TENANT).order_by("pk")[7]
        for kind, enter in SESSIONS.items():
            with transaction.atomic():
                # The person is in a tenant, too.
                Participant.objects.filter(pk=person.pk).update(scaikey_id=f"usr_{kind}")
                client = enter()
                pages = count_pages(kind, client, scale) if kind in WITH_ALL_PAGES else {}
                counts[kind] = Counts(pages, count_overview(client))
                transaction.set_rollback(True)
        transaction.set_rollback(True)
    return counts


class CountingClient:
    """Opens each page once, and counts its queries."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._opened: dict[str, tuple[Any, int]] = {}

    def get(self, url: str) -> Any:
        return self._open(url)[0]

    def count_queries(self, url: str) -> int:
        response, count = self._open(url)
        if response.status_code == HTTPStatus.FOUND:  # A search leads to the only row it finds.
            assert response["Location"].endswith("/change/"), url
        else:
            assert response.status_code == HTTPStatus.OK, url
        return count

    def _open(self, url: str) -> tuple[Any, int]:
        if url not in self._opened:
            self._opened[url] = count_queries(self._client, url)
        return self._opened[url]


def count_queries(client: Client, url: str) -> tuple[Any, int]:
    """Return the response, and the number of its queries."""
    assert connection.features.supports_json_field  # SQLite is asked once per process.
    reset_queries()  # Django keeps 9,000 of them.
    with CaptureQueriesContext(connection) as caught:
        response = client.get(url)
    return response, len(caught)


def iter_other_pages(client: CountingClient) -> Iterator[Address]:
    """Yield the pages that belong to no model, and searches of the site in each form."""
    if client.get(reverse("admin:jobs")).status_code == HTTPStatus.OK:
        yield Address("jobs", reverse("admin:jobs"), is_list=False)
    person = Participant.objects.filter(tenant__scaikey_tenant_id=TENANT).order_by("pk")[0]
    terms = {
        "nothing": "",
        "a slug": "acme",
        "a text": "a",
        "two words": "Acme Industries",
        "an e-mail address": person.email,
        "an unknown e-mail address": "unknown@acme.example",
        "an address": f"@{person.local_id}:localhost",
        "an ID of ScaiKey": f"{person.scaikey_id}",
        "a hash": "0" * 64,
        "an unknown ID": "01900000-0000-7000-8000-000000000000",
    }
    for model in admin.site._registry:
        if isinstance(model._meta.pk, UUIDField):
            terms[f"the ID of a {model._meta.label}"] = str(
                model._default_manager.order_by("pk").values_list("pk", flat=True)[0]
            )
    for name, term in terms.items():
        url = f"{reverse('admin:search')}?q={term}"
        yield Address(f"search for {name}", url, is_list=False)


def count_pages(kind: str, client: Client, scale: int) -> dict[str, tuple[Address, int]]:
    """Count the queries of each page.

    Only a superuser on a small server opens each order, on which the number of queries does not
    depend.
    """
    counting = CountingClient(client)
    of_models = iter_addresses(counting, with_orders=(kind, scale) == ("superuser", SMALL))
    addresses = [*of_models, *iter_other_pages(counting)]
    return {each.name: (each, counting.count_queries(each.url)) for each in addresses}


def count_overview(client: Client) -> tuple[int, int]:
    StoredOverview.objects.all().delete()
    built, queries = count_queries(client, reverse("admin:index"))
    stored, later_queries = count_queries(client, reverse("admin:index"))
    assert built.status_code == stored.status_code == HTTPStatus.OK
    return queries, later_queries


def test_success_lists_and_pages_have_few_queries_on_any_server() -> None:
    small_server, large_server = count_all(SMALL), count_all(LARGE)
    for kind in SESSIONS:
        assert_few_queries(small_server[kind], large_server[kind])


def assert_few_queries(on_small: Counts, on_large: Counts) -> None:
    assert on_small.overview == on_large.overview
    of_built, of_stored = on_small.overview
    assert of_built <= MAX_OF_OVERVIEW
    assert of_stored <= MAX_OF_STORED_OVERVIEW
    small, large = on_small.pages, on_large.pages
    assert {name for name in small if " sorted by " not in name} == set(large)
    changed = {name: (small[name][1], large[name][1]) for name in large}
    assert {name: counts for name, counts in changed.items() if len(set(counts)) > 1} == {}
    too_many = {
        name: count
        for name, (address, count) in small.items()
        if count > (MAX_OF_LIST if address.is_list else MAX_OF_PAGE)
    }
    assert too_many == {}

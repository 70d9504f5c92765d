"""Pages of the admin site need few queries, and as many on a large server as on a small one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants.models import AdminUser, StoredOverview
from tests.browser.sample_site import create_sample_site
from tests.scaiwave.admin_addresses import Address, iter_addresses
from tests.scaiwave.row_factories import make_row_of_every_model

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MAX_OF_LIST, MAX_OF_PAGE, MAX_OF_STORED_OVERVIEW = 8, 12, 4
MAX_OF_OVERVIEW = 42  # on PostgreSQL the lock of the builder takes two
SMALL, LARGE = 1, 3

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


def count_queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as caught:
        response = client.get(url)
    assert response.status_code == 200, url
    return len(caught)


def count_all(client: Client, scale: int) -> dict[str, tuple[Address, int]]:
    """Return each address by its name with its queries, on a server of this size."""
    ContentType.objects.clear_cache()
    with transaction.atomic():
        create_sample_site(NOW, scale=scale)
        make_row_of_every_model(1)
        counts = {
            each.name: (each, count_queries(client, each.url)) for each in iter_addresses(client)
        }
        transaction.set_rollback(True)
    return counts


def test_success_lists_and_pages_have_few_queries_on_any_server(client: Client) -> None:
    small, large = count_all(client, SMALL), count_all(client, LARGE)
    assert small.keys() == large.keys()
    changed = {name: (small[name][1], large[name][1]) for name in small}
    assert {name: counts for name, counts in changed.items() if len(set(counts)) > 1} == {}
    too_many = {
        name: count
        for name, (address, count) in small.items()
        if count > (MAX_OF_LIST if address.is_list else MAX_OF_PAGE)
    }
    assert too_many == {}


def test_success_the_overview_has_few_queries_on_any_server(client: Client) -> None:
    url = reverse("admin:index")
    counts = []
    for scale in (SMALL, LARGE):
        with transaction.atomic():
            create_sample_site(NOW, scale=scale)
            StoredOverview.objects.all().delete()
            counts.append((count_queries(client, url), count_queries(client, url)))
            transaction.set_rollback(True)
    assert counts[0] == counts[1]
    built, stored = counts[0]
    assert built <= MAX_OF_OVERVIEW
    assert stored <= MAX_OF_STORED_OVERVIEW

"""Exports of the lists of the admin site: their contents, permissions and audit entries."""

from __future__ import annotations

import csv
import gc
import io
import json
import tracemalloc
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from federation.models import ServerKey
from identity_sync.models import SyncChangeValues
from rooms.models import Event, SearchDocument
from scaiwave.config import load
from tenants.models import AdminUser, AuditEntry, Counter, DoctorRun, Participant, Partner, Tenant
from tests.conftest import ON_POSTGRES
from tests.scaiwave import row_factories
from tests.scaiwave.site.every_model import MODELS, every_model
from tests.tools import NIGHTLY

pytestmark = pytest.mark.django_db
SECRETS = ("never to be seen", "pbkdf2", "Grüße", "Gr\\u00fc\\u00dfe")


@pytest.fixture
def client() -> Client:
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


def address(model: type[Model], format_name: str = "csv", query: str = "") -> str:
    meta = model._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_export", args=[format_name])
    return f"{url}?{query}" if query else url


def read(client: Client, model: type[Model], format_name: str = "csv", query: str = "") -> str:
    answer: Any = client.post(address(model, format_name, query))
    assert answer.status_code == HTTPStatus.OK
    assert answer.streaming
    return str(answer.getvalue().decode())


def read_rows(client: Client, model: type[Model], query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(read(client, model, "csv", query))))


def get_last_record() -> AuditEntry:
    return AuditEntry.objects.order_by("-id")[0]


@pytest.fixture
def three_rows(db: None) -> None:
    for number in range(3):
        row_factories.make_row_of_every_model(number)


@every_model
@pytest.mark.usefixtures("three_rows")
def test_success_every_list_is_exported_without_secrets_and_messages(
    model: type[Model], client: Client
) -> None:
    expected = {str(key) for key in model._default_manager.values_list("pk", flat=True)}
    rows = read_rows(client, model)
    (documents,) = json.loads(read(client, model, "json")).values()
    assert {row["id"] for row in rows} >= expected
    assert {str(row["id"]) for row in documents} >= expected
    assert list(rows[0]) == list(documents[0])
    text = read(client, model) + read(client, model, "json")
    assert not [secret for secret in SECRETS if secret in text]
    assert "<" not in text


def count_queries(client: Client, model: type[Model]) -> int:
    with CaptureQueriesContext(connection) as caught:
        read(client, model)
    return len(caught)


def test_success_queries_do_not_grow_with_the_rows(client: Client) -> None:
    counts = []
    for numbers in (range(2), range(2, 8)):
        for number in numbers:
            row_factories.make_row_of_every_model(number)
        counts.append({model._meta.label: count_queries(client, model) for model in MODELS})
    assert counts[0] == counts[1]
    assert max(counts[0].values()) <= 16


@pytest.mark.parametrize("model", [Event, SearchDocument])
def test_success_texts_of_messages_are_not_even_read(model: type[Model], client: Client) -> None:
    """A batch of the largest messages would need hundreds of megabytes."""
    row_factories.make_row_of_every_model(1)
    with CaptureQueriesContext(connection) as caught:
        read(client, model)
    assert not [
        query["sql"] for query in caught if '"content"' in query["sql"] or '"body"' in query["sql"]
    ]


def test_success_values_are_those_of_the_list(client: Client) -> None:
    partner = row_factories.make_partner("north")
    tenant = row_factories.make_tenant("acme", partner=partner)
    Tenant.objects.update(name="=1+1")
    (row,) = read_rows(client, Tenant)
    assert row["id"] == str(tenant.pk)
    assert row["name"] == "'=1+1"
    assert (row["partner"], row["partner_id"]) == ("north", str(partner.pk))
    assert row["status"] == "active"
    (document,) = json.loads(read(client, Tenant, "json"))["tenants"]
    assert document["name"] == "=1+1"
    assert (document["people"], document["last_activity"]) == (0, None)
    (document,) = json.loads(read(client, Partner, "json"))["partners"]
    assert document["updated_at"] == "2026-03-04T05:06:07Z"
    (entry, _) = AuditEntry.objects.filter(details__format="json").order_by("at", "id")
    assert entry.details["rows"] == 1


def test_success_exports_have_values_where_the_list_has_words(client: Client) -> None:
    row_factories.make_row_of_every_model(1)
    keys = json.loads(read(client, SyncChangeValues, "json"))["sync_change_values"][0]
    assert keys["values"] == {"email": ["a@b.example", "c@d.example"]}
    assert json.loads(read(client, DoctorRun, "json"))["doctor_runs"][0]["is_healthy"] is True
    assert json.loads(read(client, Counter, "json"))["counters"][0]["labels"] == "{}"
    assert json.loads(read(client, AuditEntry, "json"))["audit_entries"][0]["action"]
    assert list(json.loads(read(client, Participant, "json"))) == ["participants"]


def test_success_markup_in_names_is_kept_as_text(client: Client) -> None:
    tenant = row_factories.make_tenant("acme")
    row_factories.make_participant(tenant, display_name="<b>Anna</b> & Bert")
    (row,) = read_rows(client, Participant)
    assert row["name"] == "<b>Anna</b> & Bert"


def test_success_filters_search_and_order_are_those_of_the_list(client: Client) -> None:
    for number in range(3):
        row_factories.make_tenant(f"acme{number}")
    row_factories.make_tenant("idle", suspended_by_hand_at=row_factories.NOW)
    page = client.get(f"{reverse('admin:tenants_tenant_changelist')}?q=acme&o=-1&p=1")
    (link, _) = page.context["export_links"]
    assert link.url.endswith("/export/csv/?q=acme&o=-1")
    answer: Any = client.post(link.url)
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [row["slug"] for row in rows] == ["acme2", "acme1", "acme0"]
    assert [row["slug"] for row in read_rows(client, Tenant, "status=suspended")] == ["idle"]


def test_success_more_rows_than_a_page_shows(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.site.pagination.MAX_ROWS", 3)
    Counter.objects.bulk_create(Counter(name=f"c{number:04}", value=1) for number in range(1234))
    assert len(read_rows(client, Counter)) == 1234


def test_success_references_are_read_once_in_a_batch(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.site.list_export.MAX_BATCH_ROWS", 2)
    monkeypatch.setattr("scaiwave.site.list_export.MAX_KEPT_TEXTS", 1)
    tenants = {slug: row_factories.make_tenant(slug) for slug in ("acme", "bolt")}
    slugs = ["bolt", "bolt", "acme", "acme", "bolt", "acme"]
    for number, slug in enumerate(reversed(slugs)):  # The list has the newest first.
        row_factories.make_participant(tenants[slug], f"p{number}")
    with CaptureQueriesContext(connection) as caught:
        rows = read_rows(client, Participant)
    assert [row["tenant"] for row in rows] == slugs
    assert [row["tenant_id"] for row in rows] == [str(tenants[slug].pk) for slug in slugs]
    reads = [query["sql"] for query in caught if 'FROM "sw_tenants"' in query["sql"]]
    assert len(reads) == 3
    assert not [query["sql"] for query in caught if 'JOIN "sw_tenants"' in query["sql"]]


def test_success_an_export_is_recorded_before_it_begins(client: Client) -> None:
    tenant = row_factories.make_row_of_every_model(1)
    client.post(address(Participant, "csv", f"q=anna&tenant__id__exact={tenant.pk}&o=1"))
    entry = get_last_record()
    assert (entry.action, entry.operator, entry.operator_role, entry.origin) == (
        "export-list",
        "root",
        "super_admin",
        "203.0.113.7",
    )
    assert (entry.subject_type, entry.subject_name) == ("list", "participants")
    assert entry.details == {
        "format": "csv",
        "filters": {"tenant__id__exact": str(tenant.pk)},
        "is_searched": True,
        "rows": 1,
    }


@pytest.mark.django_db(transaction=True)
def test_success_an_export_that_ends_early_is_recorded_again(client: Client) -> None:
    name = "x" * 60
    Counter.objects.bulk_create(
        Counter(name=f"{number:04}{name}", value=1) for number in range(2000)
    )
    answer: Any = client.post(address(Counter))
    chunks = iter(answer.streaming_content)
    next(chunks)
    answer.close()
    entry = get_last_record()
    assert entry.action == "export-list-aborted"
    assert 0 < entry.details["rows"] < 2000
    assert AuditEntry.objects.filter(action="export-list", details__rows=2000).exists()


@pytest.mark.skipif(ON_POSTGRES, reason="a session of PostgreSQL may take its own lock again")
@pytest.mark.django_db(transaction=True)
def test_fail_too_many_exports_at_a_time(client: Client, settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_TRANSFER_LIMIT": "1"})
    first: Any = client.post(address(Counter))
    entries = AuditEntry.objects.count()
    refused = client.post(address(Tenant, "csv", "q=acme"))
    assert (refused.status_code, refused["Retry-After"]) == (HTTPStatus.TOO_MANY_REQUESTS, "30")
    page = refused.content.decode()
    assert "SW_RATE_LIMIT_EXCEEDED" in page
    assert f"{reverse('admin:tenants_tenant_changelist')}?q=acme" in page
    assert AuditEntry.objects.count() == entries
    other = Client()
    other.force_login(AdminUser.objects.create_superuser("other"))
    assert read_rows(other, Counter) == []
    first.close()
    assert read_rows(client, Counter) == []
    assert client.post(address(Participant, "csv", "tenant__id__exact=x"))["Location"]
    assert read_rows(client, Counter) == []


def test_success_memory_does_not_grow_with_the_list(client: Client) -> None:
    peaks = []
    for number in (1500, 15_000 if NIGHTLY else 4500):
        start = Counter.objects.count()
        Counter.objects.bulk_create(
            Counter(name=f"c{index:06}", value=1) for index in range(start, number)
        )
        gc.collect()
        tracemalloc.start()
        answer: Any = client.post(address(Counter, "json"))
        size = sum(map(len, answer.streaming_content))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert size > number * 20
    assert peaks[1] < peaks[0] * 1.3, peaks


def test_fail_only_with_the_permission_to_see_the_list(client: Client) -> None:
    row_factories.make_row_of_every_model(1)
    entries = AuditEntry.objects.count()
    user = AdminUser.objects.create_user("view", is_staff=True)
    viewer, strict = Client(), Client(enforce_csrf_checks=True)
    viewer.force_login(user)
    strict.force_login(AdminUser.objects.get(username="root"))
    for model in MODELS:
        assert viewer.post(address(model)).status_code == HTTPStatus.FORBIDDEN
        assert Client().post(address(model)).status_code == HTTPStatus.FOUND
        assert client.get(address(model)).status_code == HTTPStatus.METHOD_NOT_ALLOWED
        assert strict.post(address(model)).status_code == HTTPStatus.FORBIDDEN
    assert AuditEntry.objects.count() == entries
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    for model in MODELS:
        assert read_rows(viewer, model)
    entry = get_last_record()
    assert (entry.operator, entry.operator_role) == ("view", "administrator")


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (AdminUser, "password__startswith=p"),
        (ServerKey, "private_key_encrypted__startswith=g"),
        (Event, "content__body=x"),
        (SearchDocument, "body__startswith=x"),
    ],
)
def test_fail_filters_that_the_list_does_not_have(
    model: type[Model], query: str, client: Client
) -> None:
    entries = AuditEntry.objects.count()
    answer = client.post(address(model, "csv", query))
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert AuditEntry.objects.count() == entries


def test_fail_unknown_formats_and_clients_that_see_no_end(client: Client) -> None:
    assert client.post(address(Tenant, "xml")).status_code == HTTPStatus.NOT_FOUND
    answer = client.post(address(Tenant), SERVER_PROTOCOL="HTTP/1.0")
    assert answer.status_code == HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    answer = client.post(address(Participant, "csv", "tenant__id__exact=x"))
    assert (answer.status_code, answer["Location"][-4:]) == (HTTPStatus.FOUND, "?e=1")
    assert not AuditEntry.objects.exists()


def test_success_tenants_have_what_a_limit_leaves_them(client: Client) -> None:
    acme = row_factories.make_tenant("acme", max_participants=4, max_storage_mb=0, max_rooms=0)
    for name in ("anna", "ben", "cleo"):
        row_factories.make_participant(acme, name)
    row_factories.make_media(acme, "file", size=5)
    (row,) = read_rows(client, Tenant)
    used = ("participants", "participants_limit", "participants_percent")
    assert [row[key] for key in used] == ["3", "4", "75"]
    assert [row[key] for key in ("storage", "storage_limit", "storage_percent")] == [
        "5",
        "0",
        "100",
    ]
    assert (row["rooms"], row["rooms_percent"], row["ai_tokens_this_month_limit"]) == ("0", "0", "")
    assert row["status"] == "active"

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tenants.models import AdminUser
from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


def test_success_events_of_a_room_are_newest_first_and_cut_short(client: Client) -> None:
    tenant = row_factories.make_tenant()
    lobby = row_factories.make_room(
        row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )
    for position, body in ((2, "b" * 500), (3, "<i>hello</i>"), (1, "first")):
        row_factories.make_event(lobby, position, content={"body": body})
    row_factories.make_event(lobby, 4, event_type="swp.room.topic", content={"topic": "Grüße"})
    url = reverse("admin:rooms_event_changelist")
    response = client.get(url, {"room__id__exact": str(lobby.pk)})
    positions = [event.stream_position for event in response.context["cl"].result_list]
    assert positions == [4, 3, 2, 1]
    page = response.content.decode()
    assert "b" * 100 + "…" in page
    assert "b" * 101 not in page
    assert "&lt;i&gt;hello&lt;/i&gt;" in page
    assert "{&quot;topic&quot;: &quot;Grüße&quot;}" in page


def test_success_content_is_laid_out_on_its_page(client: Client) -> None:
    tenant = row_factories.make_tenant()
    lobby = row_factories.make_room(
        row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )
    event = row_factories.make_event(lobby, 1, content={"body": "東京", "mentions": []})
    page = client.get(reverse("admin:rooms_event_change", args=[event.pk])).content.decode()
    laid_out = "<pre>{\n  &quot;body&quot;: &quot;東京&quot;,\n  &quot;mentions&quot;: []\n}</pre>"
    assert laid_out in page

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db


def test_success_events_of_a_room_are_newest_first(client: Client) -> None:
    tenant = row_factories.make_tenant()
    lobby = row_factories.make_room(
        row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )
    for position in (2, 3, 1, 4):
        row_factories.make_event(lobby, position)
    url = reverse("admin:rooms_event_changelist")
    response = client.get(url, {"room__id__exact": str(lobby.pk)})
    positions = [event.stream_position for event in response.context["cl"].result_list]
    assert positions == [4, 3, 2, 1]


def test_success_heading_of_a_room_shows_its_size(client: Client) -> None:
    tenant = row_factories.make_row_of_every_model(1)
    room = tenant.rooms.get()
    page = client.get(reverse("admin:rooms_room_change", args=[room.pk])).content.decode()
    for title, figure in (("Members", "1"), ("Events", "1"), ("Files", "5 B")):
        assert f'<span class="name">{title}</span><br>{figure}</div>' in page

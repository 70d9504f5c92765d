"""Rooms that stay where they are, and who gets none."""

from __future__ import annotations

from typing import Any

import pytest

from rooms.errors import ExportRefused, RoomNotFound
from rooms.models import Room
from tenants.errors import TenantNotFound
from tenants.models import AuditEntry
from tests.rooms.exports.factories import export_bundle, make_room, prepare_export
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, make_tenant_admin

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"room_type": "sidekick"}, "its type is sidekick"),
        ({"room_type": "bridge"}, "its type is bridge"),
        ({"room_type": "incognito"}, "its type is incognito"),
        ({"scope_kind": "incognito"}, "it is incognito"),
        ({"is_federated": True}, "it is federated"),
    ],
)
def test_fail_rooms_that_cannot_be_exported(fields: dict[str, Any], reason: str) -> None:
    room = make_room(**fields)
    with pytest.raises(ExportRefused) as caught:
        export_bundle(room)
    assert caught.value.message == f"Can't export room {room.pk}: {reason}."
    assert not AuditEntry.objects.exists()


def test_fail_outside_the_scope_it_does_not_exist() -> None:
    room, other = make_room(), row_factories.make_tenant("other", scaikey_tenant_id="tnt_other")
    for operator, tenant in ((HOST_OPERATOR, "other"), (make_tenant_admin(other), "other")):
        with pytest.raises(RoomNotFound) as caught:
            export_bundle(room, operator=operator, tenant=tenant)
        assert caught.value.message == f"Room not found in tenant other: {room.pk}."
    with pytest.raises(TenantNotFound):
        export_bundle(room, operator=make_tenant_admin(other))
    assert not AuditEntry.objects.exists()


def test_fail_changed_between_the_request_and_the_first_byte() -> None:
    room = make_room()
    begun = prepare_export(room)()
    Room.objects.update(is_federated=True)
    with pytest.raises(ExportRefused):
        next(begun)
    Room.objects.update(is_federated=False)
    begun = prepare_export(room)()
    Room.objects.all().delete()
    with pytest.raises(RoomNotFound) as caught:
        next(begun)
    assert caught.value.message == f"Room {room.pk} was deleted after the export started."

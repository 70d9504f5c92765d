"""Any room is the same after an export, an import and another export.

Except for what an import changes, as documented.
"""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings

from federation.keys.lifecycle import generate_key
from federation.models import ServerKey
from rooms.bundle.manifest.schema import WHOLE_ROOM, TimeWindow
from rooms.exports.export_room import export_room
from rooms.imports.import_room import ImportRequest, import_room
from scaiwave.core.operators import get_host_operator
from tests.rooms.exports.factories import make_window
from tests.rooms.imports.factories import ImportTargetRows, make_home
from tests.rooms.random_rooms import Drawn, create_room, rooms
from tests.rooms.round_trip import Target, find_differences, read_bundle
from tests.scaiwave.row_factories import NOW
from tests.tools import count_examples

_NUMBERS = count()


def a_home() -> ImportTargetRows:
    """Bundles are signed, because scan results of unknown signers are ignored."""
    if not ServerKey.objects.exists():
        generate_key(operator=get_host_operator(), now=NOW)
    return make_home(f"home{next(_NUMBERS)}")


def export_bytes(home: ImportTargetRows, room_id: str, window: TimeWindow = WHOLE_ROOM) -> bytes:
    export = export_room(
        operator=get_host_operator(),
        tenant=home.tenant.slug,
        room=room_id,
        window=window,
        with_media=True,
        now=NOW,
    )
    return b"".join(export)


def import_bytes(home: ImportTargetRows, bundle: bytes) -> str:
    done = import_room(
        operator=get_host_operator(),
        request=ImportRequest(
            tenant=home.tenant.slug,
            workspace=home.workspace.slug,
            participant=str(home.anna.pk),
            max_bytes=2**24,
            now=NOW,
        ),
        file=BytesIO(bundle),
    )
    return str(done.room_id)


def target(home: ImportTargetRows) -> Target:
    place, anna = home.workspace, home.anna
    return Target(
        {"id": str(place.pk), "slug": place.slug, "name": place.name},
        str(anna.pk),
        {
            "display_name": anna.display_name,
            "avatar_url": anna.avatar_url,
            "fqid": f"@{anna.local_id}:localhost",
            "participant_type": "human",
            "is_foreign": False,
        },
    )


def window_of(drawn: Drawn) -> TimeWindow:
    if drawn.window is None:
        return WHOLE_ROOM
    return make_window(*(datetime.fromtimestamp(second, UTC) for second in drawn.window))


@pytest.mark.django_db(transaction=True)
@property_settings(
    max_examples=count_examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=rooms)
def test_success_any_room(media_root: Path, drawn: Drawn) -> None:
    home = a_home()
    room = create_room(drawn, home)
    first = export_bytes(home, str(room.pk), window_of(drawn))
    for there in (a_home(), home):
        second = export_bytes(there, import_bytes(there, first))
        assert list(find_differences(read_bundle(first), read_bundle(second), target(there))) == []
        first = second

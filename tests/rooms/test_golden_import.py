"""The bundle that every later release has to import."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from federation.models import KnownPeer
from rooms.imports.import_room import import_room
from scaiwave.core.operators import get_host_operator
from tests.rooms.bundle.golden import GOLDEN, PUBLIC_KEY
from tests.rooms.round_trip import ReadBundle, find_differences, read_bundle
from tests.rooms.test_round_trip import a_home, export_bytes, target
from tests.scaiwave.row_factories import NOW


@pytest.mark.django_db(transaction=True)
def test_success_everything_that_the_format_has(media_root: Path) -> None:
    home, golden = a_home(), GOLDEN.read_bytes()
    key = PUBLIC_KEY.removeprefix("ed25519:")
    KnownPeer.objects.create(
        server_name="chat.example.com", public_key=key, first_seen_at=NOW, last_seen_at=NOW
    )
    done = import_room(
        operator=get_host_operator(),
        tenant=home.tenant.slug,
        workspace=home.workspace.slug,
        participant=str(home.anna.pk),
        file=BytesIO(golden),
        max_bytes=2**24,
        now=NOW,
        key=PUBLIC_KEY,
        require_signature=True,
    )
    assert (done.signature, done.events, done.references_cut) == ("valid", 16, 1)
    assert done.stripped == {
        "swp.room.read_marker": 1,
        "swp.sidekick.*": 1,
        "swp.room.reaction": 1,
    }
    media = (done.media_stored, done.media_already_there, done.media_infected, done.media_missing)
    assert media == (2, 0, 1, 2)
    again = read_bundle(export_bytes(home, str(done.room_id)))
    assert list(find_differences(drop_unknown_keys(read_bundle(golden)), again, target(home))) == []


def drop_unknown_keys(bundle: ReadBundle) -> ReadBundle:
    """Without the keys that it has to show that unknown ones are ignored."""
    manifest = bundle.manifest
    for place in (manifest, manifest["room"], *manifest["media"], *manifest["senders"].values()):
        place.pop("unknown_key", None)
    return bundle

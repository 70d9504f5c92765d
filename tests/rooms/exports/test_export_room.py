"""One room, as a service: what its bundle is."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from importlib import resources
from io import BytesIO

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from jsonschema import Draft202012Validator

from federation.keys.encryption import encrypt_seed
from federation.models import ServerKey
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.bundle.reader import read_bundle
from tenants.models import AuditEntry
from tests.rooms.bundle.factories import list_events
from tests.rooms.exports.factories import (
    CONTENTS,
    EARLY,
    KEY,
    attach_media,
    export_bundle,
    make_room,
    make_window,
    prepare_export,
)
from tests.scaiwave import row_factories
from tests.tenants.factories import NOW

pytestmark = pytest.mark.django_db(transaction=True)


def test_success_complete_room() -> None:
    room = make_room(
        name='The "Lobby" \\',
        topic="Alles\nMögliche",
        room_alias="lobby",
        visibility="members",
        read_role_slugs=["admins"],
        is_public=True,
        created_at=EARLY,
    )
    row_factories.make_event(room, 7)
    bundle = export_bundle(room, room="lobby")
    assert list(bundle.files) == ["manifest.json", "signature.json"]
    manifest = {**bundle.manifest}
    assert list(manifest) == [
        "format",
        "version",
        "generator",
        "server_name",
        "exported_at",
        "room",
        "window",
        "senders",
        "media",
        "events",
    ]
    assert manifest["format"] == "scaiwave-room-bundle"
    assert manifest["version"] == 1
    assert manifest["generator"].startswith("scaiwave ")
    assert manifest["server_name"] == "localhost"
    assert manifest["exported_at"] == "2026-11-24T12:00:00.000000Z"
    assert (manifest["window"], manifest["media"]) == (None, [])
    assert manifest["room"] == {
        "id": str(room.pk),
        "name": 'The "Lobby" \\',
        "topic": "Alles\nMögliche",
        "room_type": "group",
        "scope_kind": None,
        "state": "open",
        "is_public": True,
        "is_federated": False,
        "visibility": "members",
        "read_role_slugs": ["admins"],
        "room_alias": "lobby",
        "creator_id": str(room.creator_id),
        "created_at": "2026-03-04T05:06:07.000089Z",
        "workspace": {"id": str(room.workspace_id), "slug": "place0", "name": "place0"},
    }
    assert manifest["senders"] == {
        str(room.creator_id): {
            "display_name": "Anna0",
            "avatar_url": "",
            "fqid": "@anna0.acme:localhost",
            "participant_type": "human",
            "is_foreign": False,
        }
    }


def test_success_signed_by_the_servers_key() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    ServerKey.objects.create(
        key_id="kid",
        public_key=base64.b64encode(private.public_key().public_bytes_raw()).decode(),
        private_key_encrypted=encrypt_seed(bytes(range(32))),
        created_at=NOW,
        signs_from=NOW,
    )
    bundle = export_bundle(make_room())
    document = bundle.signature
    signature = base64.b64decode(document.pop("signature"), validate=True)
    private.public_key().verify(signature, rfc8785.dumps(document))
    assert (document["key_id"], document["algorithm"]) == ("kid", "ed25519")
    assert document["signed_at"] == "2026-11-24T12:00:00.000000Z"
    assert list(bundle.result.sentences())[-1] == "Signed with key kid."


def test_success_bundle_is_read_by_an_import() -> None:
    room = make_room()
    for number, content in enumerate(CONTENTS):
        row_factories.make_event(room, number + 1, content={**content, "_imported_sender": None})
    bundle = export_bundle(room)
    with read_bundle(BytesIO(bundle.data), max_bytes=2**24) as checked:
        assert checked.header.room.id == str(room.pk)
        assert checked.manifest_sha256 == bundle.result.manifest_sha256
        assert len(list_events(checked)) == len(CONTENTS)
        assert checked.signature is not None


def test_success_bundle_of_repetitive_messages_is_readable() -> None:
    """Messages that compress to a four-hundredth are not refused as a ZIP bomb."""
    room = make_room()
    for number in range(40):
        row_factories.make_event(room, number + 1, content={"body": "x" * 60_000})
    bundle = export_bundle(room)
    with read_bundle(BytesIO(bundle.data), max_bytes=2**24) as checked:
        assert len(list_events(checked)) == 40


def test_success_bundle_with_old_times_is_readable() -> None:
    """An imported room may have any time that a bundle can express."""
    ancient = datetime(1, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    room = make_room(created_at=ancient)
    row_factories.make_event(room, 1, created_at=ancient, edited_at=ancient)
    bundle = export_bundle(room, window=make_window(until=EARLY), now=ancient)
    with read_bundle(BytesIO(bundle.data), max_bytes=2**24) as checked:
        (found,) = list_events(checked)
        assert checked.header.room.created_at == "0001-02-03T04:05:06.000007Z"
        assert found.created_at == found.edited_at == checked.header.room.created_at


def test_success_meets_the_schemas() -> None:
    room = make_room(room_alias="lobby")
    attach_media(room, b"bytes")
    attach_media(room, b"lost", stored=False)
    row_factories.make_event(
        room, 1, original_content={}, event_uuid=KEY, edited_at=NOW, do_not_index=True
    )
    for window in (WHOLE_ROOM, make_window(since=EARLY)):
        bundle = export_bundle(room, window=window)
        assert list(schema("manifest").iter_errors(bundle.manifest)) == []
        assert list(schema("signature").iter_errors(bundle.signature)) == []


def schema(name: str) -> Draft202012Validator:
    text = (resources.files("rooms.bundle") / f"{name}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def test_success_audited_before_the_first_byte() -> None:
    room = make_room(name="Lobby")
    begun = prepare_export(room, window=make_window(until=EARLY), with_media=False)()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.at) == ("export-room", "root", NOW)
    assert (entry.subject_id, entry.subject_name) == (str(room.pk), "Lobby")
    assert (entry.tenant_id, entry.tenant_slug) == (str(room.tenant_id), "acme")
    assert entry.details == {
        "window": {"since": None, "until": "2026-03-04T05:06:07.000089Z"},
        "media": False,
    }
    begun.close()


def test_success_closed_early_leaves_the_connection_as_it_was() -> None:
    room = make_room()
    for number in range(30):
        row_factories.make_event(room, number + 1, content={"body": "x" * 20_000})
    begun = prepare_export(room)()
    for _ in range(3):
        assert next(begun)
    begun.close()
    with pytest.raises(RuntimeError):
        _ = begun.result
    assert not connection.in_atomic_block
    if connection.vendor == "sqlite":
        assert not connection.connection.in_transaction
    row_factories.make_event(room, 31)
    assert list(begun) == []
    assert len(export_bundle(room).events) == 31


def test_success_result_sentences() -> None:
    room = make_room(name="Lobby")
    row_factories.make_event(room, 1)
    sentences = list(export_bundle(room).result.sentences())
    assert sentences[0].startswith("Exported room 'Lobby': 1 event from 1 sender, 0 attachments, ")
    assert sentences[1:] == ["Not signed: this server has no signing key."]

"""Avatars of a bundle: public addresses and attachments of the bundle itself, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pytest_django import Settings

from rooms.bundle.manifest.schema import Sender
from rooms.imports.import_room import ImportResult
from rooms.models import Event, RoomMedia
from scaiwave.config import load
from tests.rooms.imports.bundle_factories import ANNA, Bundle, make_event
from tests.rooms.imports.factories import ImportTargetRows, make_home
from tests.rooms.imports.test_import_room import UNSIGNED, import_bundle
from tests.rooms.imports.test_signature import Signer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]
ELSEWHERE = "https://old.example/anna.png"
HOSTILE = [
    "javascript:alert(document.cookie)",
    "file:///etc/passwd",
    "data:text/html,x",
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://metadata.google.internal/",
    "https://anna:secret@old.example/a.png",
    "https://chat.here.example/v1/media/019ab000-0000-7000-8000-00000000beef",
    "https://bucket.s3.here.example/tenant/1/2",
    "https://www.alias.example/a.png",
    "https://other-name.example/a.png",
    "/v1/media/019ab000-0000-7000-8000-00000000beef",
    "media:",
    "media:../../other",
    "media:019ab000-0000-7000-8000-00000000beef",
]
REMOVED = (
    "avatar of senders removed: only https addresses of public hosts and attachments of the bundle "
    "are imported."
)


@pytest.fixture
def home(settings: Settings) -> ImportTargetRows:
    settings.CONFIG = load(
        {
            "SCAIWAVE_SERVER_NAME": "here.example",
            "SCAIWAVE_PUBLIC_URL": "https://chat.here.example",
            "SCAIWAVE_S3_ENDPOINT": "https://s3.here.example",
            "SCAIWAVE_ALLOWED_HOSTS": ".alias.example,other-name.example:8443,*",
        }
    )
    return make_home()


def make_bundle(avatar: str | None, content: dict[str, Any] | None = None) -> Bundle:
    sender = Sender("Anna", avatar, "@anna:old.example", "human", False)
    return Bundle([make_event(1, content=content or {"body": "Hi"})], senders={ANNA: sender})


def import_avatar(home: ImportTargetRows, bundle: Bundle, **options: Any) -> tuple[Any, Any]:
    """Return the stored avatar, and the warnings, which a dry run has too."""
    preview: ImportResult = import_bundle(home, bundle, dry_run=True, **options)
    result = import_bundle(home, bundle, **options)
    assert preview.warnings == result.warnings
    sender = Event.objects.get(room=result.room_id).content["_imported_sender"]
    return sender["avatar_url"], result.warnings


@pytest.mark.parametrize("avatar", HOSTILE)
def test_success_removed_with_a_note(home: ImportTargetRows, avatar: str) -> None:
    assert import_avatar(home, make_bundle(avatar)) == ("", (UNSIGNED, f"1 {REMOVED}"))


@pytest.mark.parametrize("bucket", ["", "media"])
def test_success_at_amazon_if_the_files_of_this_server_are_not(
    home: ImportTargetRows, settings: Settings, bucket: str
) -> None:
    avatar = "https://media.s3.eu-central-1.amazonaws.com/a.png"
    settings.CONFIG = load({"SCAIWAVE_SERVER_NAME": "here.example", "SCAIWAVE_S3_BUCKET": bucket})
    stored, _ = import_avatar(home, make_bundle(avatar))
    assert stored == ("" if bucket else avatar)


@pytest.mark.parametrize("avatar", [None, "", ELSEWHERE])
def test_success_kept(home: ImportTargetRows, avatar: str | None) -> None:
    assert import_avatar(home, make_bundle(avatar)) == (avatar, (UNSIGNED,))


@pytest.mark.parametrize("avatar", [*HOSTILE, 7, ["https://old.example/a.png"], {}])
def test_success_removed_from_earlier_senders_that_a_signature_proves(
    home: ImportTargetRows, avatar: Any
) -> None:
    earlier = {"display_name": "Eve", "avatar_url": avatar, "fqid": "@eve:far.example"}
    bundle = make_bundle(ELSEWHERE, {"body": "Hi", "_imported_sender": earlier})
    bundle.signer = signer = Signer(Ed25519PrivateKey.generate())
    stored, (_, *warnings) = import_avatar(home, bundle, key=signer.key)
    assert stored in ("", {})
    assert tuple(warnings) == ((f"1 {REMOVED}",) if avatar else ())


def test_success_an_attachment_of_the_bundle(home: ImportTargetRows) -> None:
    bundle = make_bundle(None)
    media_id = bundle.add("anna.png", b"Anna")
    bundle.senders = {
        ANNA: Sender("Anna", f"media:{media_id}", "@anna:old.example", "human", False)
    }
    stored, warnings = import_avatar(home, bundle)
    assert stored == f"media:{RoomMedia.objects.get().media_id}"
    assert warnings == (UNSIGNED,)


def test_success_a_missing_attachment(home: ImportTargetRows) -> None:
    bundle = make_bundle(None)
    media_id = bundle.add("anna.png", b"Anna", missing="lost")
    bundle.senders = {
        ANNA: Sender("Anna", f"media:{media_id}", "@anna:old.example", "human", False)
    }
    stored, warnings = import_avatar(home, bundle)
    assert stored == ""
    assert f"1 {REMOVED}" in warnings

"""The bundle that every later release has to import, and the signed files that it has to read."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
from pytest_django import Settings

from federation.keys.signing import verify_file
from federation.models import KnownPeer
from rooms.erasure.certificate import verify_certificate
from rooms.erasure.plan import read_plan, write_plan
from rooms.exports.export_room import BundleSigner
from rooms.imports.import_room import ImportRequest, import_room
from rooms.imports.verify_bundle import load_keys
from rooms.moves.index import read_index, write_index
from scaiwave.core.operators import get_host_operator
from scaiwave.core.signed_files import add_signature
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
        request=ImportRequest(
            tenant=home.tenant.slug,
            workspace=home.workspace.slug,
            participant=str(home.anna.pk),
            max_bytes=2**24,
            now=NOW,
            key=PUBLIC_KEY,
            require_signature=True,
        ),
        file=BytesIO(golden),
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


def test_success_signed_files(tmp_path: Path, settings: Settings) -> None:
    """They were written once, by a key with the seed 0, 1, 2 …, and are written the same again."""
    golden, settings.SECRET_KEY = Path(__file__).parent / "golden", "golden" * 10
    text = "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    keys, tenant = load_keys(None, text, None), "018f0000-0000-7000-8000-000000000001"
    index, document = read_index(golden)
    signer = BundleSigner(index.key_id, bytes(range(32)))
    name = verify_file(document, keys, index.snapshot_at)
    assert name == f"key {index.key_id}, which proves no server name"
    write_index(tmp_path, index, signer)
    write_plan(tmp_path / "erasure.plan", read_plan(golden / "erasure.plan"))
    file = golden / "certificate.json"
    certificate, _ = verify_certificate(operator=None, file=file, key=text, tenant_id=tenant)
    signed = add_signature(msgspec.to_builtins(certificate), signer.sign)
    (tmp_path / file.name).write_text(json.dumps(signed))
    for each in golden.iterdir():
        assert (tmp_path / each.name).read_bytes() == each.read_bytes()

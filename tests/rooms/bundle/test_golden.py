"""The golden bundle: what version 1 is, for every later release."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from federation.keys.signing import key_from_text
from rooms.bundle.manifest.reader import EventCounts
from rooms.bundle.reader import ValidatedBundle
from rooms.bundle.signature import VerificationStatus, verify_signature
from tests.rooms.bundle.corpus_events import EVENTS
from tests.rooms.bundle.corpus_manifests import MANIFESTS
from tests.rooms.bundle.factories import list_events, validate
from tests.rooms.bundle.golden import (
    GOLDEN,
    NOTES,
    PHOTO,
    PUBLIC_KEY,
    SCRIPTS,
    SENDERS,
    make_document,
    make_golden,
)

BAD = {**MANIFESTS, **EVENTS}
# Names in BAD of the rules that the reader checks, and that the schema can't express.
BEYOND_SCHEMA = {
    "room created on an invalid day", "two sizes of one hash", "two hashes of one id",
    "one name of one hash twice",
    "sender that is not there", "event ids twice", "out of order", "one position twice",
    "reaction to nothing", "many references to nothing", "reference that isn't text",
    "reference in the original content", "invalid day", "year 0", "U+0000", "U+0000 in a key",
    "too deep", "far too deep", "integer of more than 64 bits", "integer of less than 64 bits",
    "huge integer", "content too large", "imported sender too large", "original content too large",
    "event too long",
    "value of the head too long",
}  # fmt: skip


def open_golden() -> ValidatedBundle:
    return validate(GOLDEN.read_bytes())


def entry(name: str) -> Any:
    with zipfile.ZipFile(GOLDEN) as archive:
        return json.loads(archive.read(name))


def schema(name: str) -> Draft202012Validator:
    text = files("rooms.bundle").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    Draft202012Validator.check_schema(json.loads(text))
    return Draft202012Validator(json.loads(text))


def test_success_counts() -> None:
    with open_golden() as bundle:
        assert bundle.counts == EventCounts(
            events=19,
            kept=16,
            stripped={"swp.room.read_marker": 1, "swp.sidekick.*": 1},
            references_cut=1,
            reactions_stripped=1,
        )


def test_success_head() -> None:
    with open_golden() as bundle:
        head = bundle.header
        assert (head.room.name, head.room.read_role_slugs) == ("Launch 🚀", ["crew", "press"])
        assert head.window is None
        assert head.senders.keys() == SENDERS.keys()
        assert [row.missing for row in head.media] == [None] * 3 + ["infected", "lost", "left out"]


def test_success_events() -> None:
    with open_golden() as bundle:
        found = {event.stream_position: event for event in list_events(bundle)}
    given = {event["stream_position"]: event for event in make_document()["events"]}
    for position in (130, 140, 150):  # a read marker, a private note, and a reaction to the note
        del given[position]
    del given[160]["content"]["reply_to_event_id"]  # a reply to the read marker
    assert {position: event.content for position, event in found.items()} == {
        position: event["content"] for position, event in given.items()
    }
    assert found[10].content["body"] == SCRIPTS
    assert found[60].original_content == given[60]["original_content"]
    assert (found[60].edited_at, found[90].redacted_at) == ("2026-11-24T19:06:07.891234Z",) * 2
    assert (found[50].do_not_index, found[20].event_uuid) == (True, given[20]["event_uuid"])
    assert 2**62 in found


def test_success_media() -> None:
    with open_golden() as bundle:
        rows = bundle.header.media
        for row, data in ((rows[0], PHOTO), (rows[2], NOTES)):
            with bundle.open_media(row.sha256) as file:
                assert file.read() == data


def test_success_signature() -> None:
    key = replace(key_from_text(PUBLIC_KEY), is_own=True)
    with open_golden() as bundle:
        assert (
            verify_signature(bundle.signature, {key.key_id: key}).status is VerificationStatus.VALID
        )


def test_success_writing_it_again_gives_the_same_bytes() -> None:
    """Each entry has them; how the archive is compressed depends on the version of zlib."""
    with zipfile.ZipFile(GOLDEN) as old, zipfile.ZipFile(io.BytesIO(make_golden())) as new:
        assert old.namelist() == new.namelist()
        assert all(old.read(name) == new.read(name) for name in old.namelist())


def test_success_schema() -> None:
    for name in ("manifest", "signature"):
        assert list(schema(name).iter_errors(entry(f"{name}.json"))) == []


@pytest.mark.parametrize("name", sorted(BAD.keys() - BEYOND_SCHEMA))
def test_fail_schema(name: str) -> None:
    assert not schema("manifest").is_valid(BAD[name])


@pytest.mark.parametrize("name", sorted(BEYOND_SCHEMA))
def test_success_schema_is_not_stricter_than_the_program(name: str) -> None:
    assert schema("manifest").is_valid(BAD[name])


def test_fail_schema_of_signatures() -> None:
    good = entry("signature.json")
    changes: dict[str, Any]
    for changes in ({"version": 2}, {"entries": None}, {"counts": {}}, {"signed_at": "today"}):
        assert not schema("signature").is_valid({**good, **changes})

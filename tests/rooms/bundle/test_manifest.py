from __future__ import annotations

import json

import pytest

from rooms.errors import BundleBadManifest
from scaiwave.core.errors import ScaiWaveError
from tests.rooms.bundle.corpus_events import CONTENTS, EVENTS
from tests.rooms.bundle.corpus_manifests import MANIFESTS
from tests.rooms.bundle.factories import (
    JSON,
    encode_manifest,
    make_event,
    make_manifest,
    make_manifest_bundle,
    make_media_row,
    make_uid,
    read_events,
    validate,
)
from tests.rooms.bundle.malformed_bundles import REFUSALS


def encode_one_line(document: JSON) -> bytes:
    return json.dumps(document).encode()


def encode_events_first(document: JSON) -> bytes:
    head = {key: value for key, value in document.items() if key != "events"}
    return encode_one_line({"events": document["events"], **head})


def encode_indented(document: JSON) -> bytes:
    return json.dumps(document, indent=2).encode()


LAYOUTS = [encode_manifest, encode_one_line, encode_events_first, encode_indented]


@pytest.mark.parametrize("name", [*MANIFESTS, *EVENTS])
def test_fail_bad_manifest(name: str) -> None:
    """In every layout: events on lines are read fast, others one by one."""
    document = {**MANIFESTS, **EVENTS}[name]
    for layout in LAYOUTS:
        if layout in (encode_manifest, encode_events_first) and "events" not in document:
            continue
        with pytest.raises(ScaiWaveError) as caught:
            validate(make_manifest_bundle(layout(document)))
        assert (caught.value.code, caught.value.message) == REFUSALS[name]
        assert caught.value.details["entry"] == "manifest.json"


@pytest.mark.parametrize("name", CONTENTS)
def test_fail_content_that_json_cannot_express(name: str) -> None:
    raw, message = CONTENTS[name]
    mark = json.dumps("mark")
    document = make_manifest(make_event(1), make_event(2, content="mark"), make_event(3))
    for layout in LAYOUTS:
        with pytest.raises(BundleBadManifest) as caught:
            validate(make_manifest_bundle(layout(document).replace(mark.encode(), raw.encode())))
        assert caught.value.message.startswith("Event 2 ")
        assert message in caught.value.message.replace(f"({make_uid(0x1002)}) ", "")


def test_fail_error_names_the_event() -> None:
    with pytest.raises(BundleBadManifest) as caught:
        validate(
            make_manifest_bundle(
                encode_manifest(make_manifest(make_event(1), make_event(2, origin_ts=2**63)))
            )
        )
    assert caught.value.details == {
        "entry": "manifest.json",
        "event": 2,
        "event_id": make_uid(0x1002),
    }


TEXTS = {
    b"": "The manifest ends too early.",
    b"[]": "The manifest is not JSON: `{` expected (at 0).",
    b"hello": "The manifest is not JSON: `{` expected (at 0).",
    b"{": "The manifest ends too early.",
    b"{}": "The manifest has no `format`.",
    b'{"a"': "The manifest ends too early.",
    b'{"a": tru': "`a` of the manifest is not JSON: Expecting value (at 0).",
    b'{"a": "b': "The manifest ends too early.",
    b'{"a": [1, {"b': "The manifest ends too early.",
    b'{"a": }': "The manifest is not JSON: a value is missing (at 6).",
    b'{"a": 1 "b": 2}': "The manifest is not JSON: `,` or `}` expected (at 8).",
    b'{"a": 1,}': 'The manifest is not JSON: `"` expected (at 8).',
    b"{'a': 1}": 'The manifest is not JSON: `"` expected (at 1).',
    b'{"a": 1, "a": 1}': "The manifest has a duplicate key 'a'.",
    b'{"a": [}]}': "`a` of the manifest is not JSON: Expecting value (at 1).",
    b'{"a": 01}': "`a` of the manifest is not JSON: Extra data (at 1).",
    b'{"a": "\xff"}': "`a` of the manifest is not UTF-8.",
    b'{"\xed\xa0\x80": 1}': "The manifest is not UTF-8.",
    b'{"a": "\t"}': "`a` of the manifest is not JSON: Invalid control character at (at 1).",
    b'\xef\xbb\xbf{"a": 1}': "The manifest begins with a byte-order mark.",
    b"\xff\xfe{\0}\0": "The manifest is not JSON: `{` expected (at 0).",
    b'{"events": {}}': "The manifest is not JSON: `[` expected (at 11).",
    b'{"events": [,]}': "Event 1 is not JSON: a value is missing (at 12).",
    b'{"senders": []}': "The manifest is not JSON: `{` expected (at 12).",
    b'{"media": {}}': "The manifest is not JSON: `[` expected (at 10).",
    encode_manifest(make_manifest(make_event(1)))[:-3]: "The manifest ends too early.",
    encode_manifest(make_manifest(make_event(1)))[:-5]: "Event 1 ends too early.",
    encode_manifest(make_manifest(make_event(1)))
    + b"{}": "The manifest continues after its end (at 1,273).",
}


@pytest.mark.parametrize("raw", TEXTS)
def test_fail_not_json(raw: bytes) -> None:
    with pytest.raises(BundleBadManifest) as caught:
        validate(make_manifest_bundle(raw))
    assert caught.value.message == TEXTS[raw]


def test_success_layout_does_not_matter() -> None:
    texts = ('{"json": "in a text"}' if number % 40 == 0 else "" for number in range(1, 2000))
    document = make_manifest(
        *[make_event(n, content={"n": n, "t": t}) for n, t in enumerate(texts, 1)]
    )
    expected = read_events(make_manifest_bundle(encode_manifest(document)))
    assert len(expected[1]) == 1999
    for layout in LAYOUTS:
        assert read_events(make_manifest_bundle(layout(document))) == expected


@pytest.mark.parametrize(
    ("limit", "document", "message"),
    [
        ("_MAX_KEYS", make_manifest(make_event(1), extra=1), "The manifest has more than 10 keys."),
        ("MAX_SENDERS", make_manifest(make_event(1)), "The manifest has more than 1 keys."),
        (
            "MAX_MEDIA",
            make_manifest(
                media=[make_media_row(b"x", missing="lost"), make_media_row(b"yy", missing="lost")]
            ),
            "The manifest has an array of more than 1 values.",
        ),
        (
            "MAX_HEADER_BYTES",
            make_manifest(make_event(1)),
            "The manifest has more than 1 bytes besides its events.",
        ),
    ],
)
def test_fail_manifest_without_events_is_too_large(
    limit: str, document: JSON, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 10 if limit == "_MAX_KEYS" else 1
    monkeypatch.setattr(f"rooms.bundle.manifest.reader.{limit}", most)
    with pytest.raises(BundleBadManifest) as caught:
        validate(make_manifest_bundle(encode_manifest(document)))
    assert caught.value.message == message


def test_fail_events_by_too_many_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The events come first, when the content of `senders` is not known yet."""
    monkeypatch.setattr("rooms.bundle.manifest.reader.MAX_SENDERS", 2)
    events = [make_event(number, sender_id=make_uid(number)) for number in range(1, 4)]
    with pytest.raises(BundleBadManifest) as caught:
        validate(make_manifest_bundle(encode_events_first(make_manifest(*events))))
    assert caught.value.message == "The manifest has events of more than 2 senders."

"""New ids from old, and what contents look like with them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.bundle.format import IMPORTED_SENDER
from rooms.bundle.manifest.events import Batch, BundleEvent
from rooms.bundle.manifest.schema import Sender
from rooms.imports.id_mapping import BundleOrigin, EventRewriter, IdMapper
from scaiwave.ids import new_id
from tests.rooms.imports.bundle_factories import make_event

ROOM, OTHER_ROOM = uuid4(), uuid4()
ANNA = {"display_name": "Anna", "avatar_url": "", "fqid": "@anna:old.example"}
SENDER = str(uuid4())
HERE = {str(uuid4()): str(uuid4())}
UNSIGNED = BundleOrigin(is_signed=False, is_own=False, server_name="here.example")
SIGNED = BundleOrigin(is_signed=True, is_own=False, server_name="here.example")
OWN = BundleOrigin(is_signed=True, is_own=True, server_name="here.example")


def make_sender(**texts: Any) -> Sender:
    return Sender(**texts, participant_type="human", is_foreign=False)


@given(st.uuids())
def test_success_new_ids_are_uuids_of_version_8(old: UUID) -> None:
    new = IdMapper(ROOM)(str(old))
    assert str(UUID(new)) == new
    assert (UUID(new).version, UUID(new).variant) == (8, RFC_4122)


@given(st.uuids(), st.uuids())
def test_success_new_ids_differ_by_room_and_by_old_id(one: UUID, two: UUID) -> None:
    new_id = IdMapper(ROOM)
    assert new_id(str(one)) == new_id(str(one)) == IdMapper(ROOM)(str(one))
    assert (new_id(str(one)) == new_id(str(two))) == (one == two)
    assert new_id(str(one)) != IdMapper(OTHER_ROOM)(str(one))


def test_success_new_ids_keep_the_time_of_old_ones() -> None:
    olds = [str(new_id()) for _ in range(500)]
    news = [IdMapper(ROOM)(old) for old in olds]
    assert [new[:13] for new in news] == [old[:13] for old in olds]
    assert len(set(news)) == len(olds)


@given(st.lists(st.uuids() | st.builds(new_id), max_size=5))
def test_success_several_ids_at_once(olds: list[UUID]) -> None:
    mapper = IdMapper(ROOM)
    hexes = mapper.map_to_hex([str(old) for old in olds])
    assert hexes == [mapper(str(old)).replace("-", "") for old in olds]
    for old, new in zip(olds, map(UUID, hexes), strict=True):
        assert (new.version, new.variant) == (8, RFC_4122)
        assert (new.hex[:12] == old.hex[:12]) == (old.hex[12] == "7")


def test_success_new_ids_of_ids_without_a_time_are_random() -> None:
    news = [IdMapper(ROOM)(f"00000000-0000-4000-8000-{number:012x}") for number in range(500)]
    assert len({new[:8] for new in news}) == len(news)


def make_bundle_event(**changes: Any) -> BundleEvent:
    return BundleEvent(**{**make_event(1), "sender_id": SENDER, "content": {}, **changes})


def rewritten(
    content: dict[str, Any],
    event_type: str = "swp.room.message",
    original: dict[str, Any] | None = None,
    origin: BundleOrigin = UNSIGNED,
    senders: dict[str, Any] = ANNA,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    bundle_senders = {SENDER: make_sender(**senders)}
    event = make_bundle_event(
        event_type=event_type, content=deepcopy(content), original_content=deepcopy(original)
    )
    rewriter = EventRewriter(IdMapper(ROOM), senders=bundle_senders, media_ids=HERE, origin=origin)
    rewriter.rewrite(Batch([event]))
    return event.content, event.original_content


@pytest.mark.parametrize(
    ("event_type", "key"),
    [
        ("swp.room.message", "reply_to_event_id"),
        ("swp.room.reaction", "event_id"),
        ("swp.room.redaction", "event_id"),
    ],
)
def test_success_references_are_mapped(event_type: str, key: str) -> None:
    old = str(new_id())
    content, original = rewritten({key: old}, event_type, {key: old})
    assert content[key] == IdMapper(ROOM)(old)
    assert original == {key: IdMapper(ROOM)(old)}


def test_success_references_of_other_types_stay() -> None:
    content = {"event_id": str(new_id()), "reply_to_event_id": str(new_id())}
    assert rewritten(content, "com.example.poll")[0] == {**content, IMPORTED_SENDER: ANNA}


def test_success_stored_media_is_mapped_and_other_media_is_not() -> None:
    (known, here), unknown = next(iter(HERE.items())), str(uuid4())
    content, _ = rewritten({"media_id": known, "thumbnail_id": unknown})
    assert content["media_id"] == here
    assert content["thumbnail_id"] == IdMapper(ROOM)(unknown)


SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    lambda uid: f"{{{uid}}}",
    lambda uid: f"urn:uuid:{uid}",
    lambda uid: uid.replace("-", ""),
    lambda uid: "-".join(uid.replace("-", "")),
    lambda uid: f"{{urn:uuid:{uid.upper()}}}",
]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_success_ids_in_every_spelling_are_mapped(spell: Callable[[str], str]) -> None:
    (known, here), unknown = next(iter(HERE.items())), str(uuid4())
    content = {
        "media_id": spell(known),
        "thumbnail_id": spell(unknown),
        "reply_to_event_id": spell(unknown),
        "files": [{"media_id": spell(known), "more": {"thumbnail_id": spell(known)}}],
    }
    mapped = {
        "media_id": here,
        "thumbnail_id": IdMapper(ROOM)(unknown),
        "reply_to_event_id": IdMapper(ROOM)(unknown),
        "files": [{"media_id": here, "more": {"thumbnail_id": here}}],
    }
    assert rewritten(content, original=content) == ({**mapped, IMPORTED_SENDER: ANNA}, mapped)


def test_success_each_event_of_a_batch_is_rewritten_by_its_own_type() -> None:
    old, other = str(new_id()), str(uuid4())
    given = {"event_id": old, "reply_to_event_id": other, "files": [[{"media_id": old}]]}
    types = ["swp.room.message", "com.example.poll", "swp.room.reaction", "swp.room.message"]
    events = [make_bundle_event(event_type=kind, content=deepcopy(given)) for kind in types]
    events[3].content["reply_to_event_id"] = "x"
    events[3].original_content = deepcopy(given)
    mapper = IdMapper(ROOM)
    sender = {SENDER: make_sender(**ANNA)}
    EventRewriter(mapper, senders=sender, media_ids={}, origin=UNSIGNED).rewrite(Batch(events))
    files = [[{"media_id": mapper(old)}]]
    assert [event.content for event in events] == [
        {**given, "reply_to_event_id": mapper(other), "files": files, IMPORTED_SENDER: ANNA},
        {**given, "files": files, IMPORTED_SENDER: ANNA},
        {**given, "event_id": mapper(old), "files": files, IMPORTED_SENDER: ANNA},
        {"event_id": old, "files": files, IMPORTED_SENDER: ANNA},
    ]
    assert events[3].original_content == {
        **given, "reply_to_event_id": mapper(other), "files": files
    }  # fmt: skip


@pytest.mark.parametrize(
    "value", ["", "cat.png", 7, 2**100, ["x"], {"id": "x"}, True, f" {UUID(int=7)}"]
)
def test_success_values_that_can_not_be_mapped_are_dropped(value: Any) -> None:
    refused = {"media_id": value, "thumbnail_id": value, "reply_to_event_id": value}
    content, original = rewritten(
        {**refused, "body": "x", "a": [[refused]]}, original={**refused, "body": "x"}
    )
    nested = {"reply_to_event_id": value}  # Documented only at the first level.
    assert content == {"body": "x", "a": [[nested]], IMPORTED_SENDER: ANNA}
    assert original == {"body": "x"}


def test_success_no_reference_stays_none() -> None:
    given_content = {"media_id": None, "reply_to_event_id": None}
    assert rewritten(given_content)[0] == {**given_content, IMPORTED_SENDER: ANNA}


EARLIER = {"display_name": "Someone", "fqid": "@some:earlier.example", "more": [1]}


@pytest.mark.parametrize("given_sender", [EARLIER, None, "x", {}, {"fqid": ["@x"]}])
def test_fail_an_unsigned_bundle_proves_no_earlier_sender(given_sender: Any) -> None:
    before = {"body": "x", IMPORTED_SENDER: given_sender}
    after = {"body": "x", IMPORTED_SENDER: ANNA}
    assert rewritten(before, original=before) == (after, after)


def test_success_a_known_key_proves_an_earlier_sender() -> None:
    before = {"body": "x", IMPORTED_SENDER: EARLIER}
    assert rewritten(before, original=before, origin=SIGNED) == (before, before)
    no_object = {"body": "x", IMPORTED_SENDER: None}
    assert rewritten(no_object, origin=SIGNED)[0][IMPORTED_SENDER] == ANNA


@pytest.mark.parametrize(
    "fqid",
    [
        "@anna:here.example",
        "@Anna:HERE.example.",
        "@anna:here.example:443",
        " @an\u200bna: here\u200b.example",
        "@anna:\uff48ere.example",
        "@an\u3164na:here\ufe0f.exam\u034fple",
        "@anna:here\u3002example",
        "@anna:here\uff61example.:443",
        "@anna:here.example:0443",
        "@anna:here.example:443:443",
        "@anna:here.example:",
        "@anna:https://here.example/",
        "@anna:here_.ex~ample",
        "anna:here.example",
        "@@anna:here.example",
        "@anna",
        "",
    ],
)
def test_fail_a_sender_of_this_server_is_unverified(fqid: str) -> None:
    """Each spelling of an address becomes the one that holds and erasures here look for."""
    own = {**ANNA, "fqid": fqid}
    marked = {**own, "fqid": fqid and "@anna:here.example", "unverified": True}
    for origin in (UNSIGNED, SIGNED):
        assert rewritten({}, origin=origin, senders=own)[0] == {IMPORTED_SENDER: marked}
    earlier = {IMPORTED_SENDER: own}
    assert rewritten(earlier, origin=SIGNED)[0] == {IMPORTED_SENDER: marked}
    assert rewritten(earlier, origin=OWN)[0] == earlier
    assert rewritten({}, origin=OWN, senders=own)[0] == earlier


@pytest.mark.parametrize(
    ("fqid", "normal", "is_verified"),
    [
        ("@Anna:Old.example:0443", "@Anna:old.example", True),
        ("@anna:old.example:08448", "@anna:old.example:8448", True),
        ("@anna:[2001:DB8::1]:443", "@anna:[2001:db8::1]", True),
        ("@anna:here.example/x", "@anna:here.example/x", False),
        ("@anna:h\u0435re.example", "@anna:h\u0435re.example", False),
    ],
)
def test_success_a_sender_of_another_server(fqid: str, normal: str, is_verified: bool) -> None:
    marks = {} if is_verified else {"unverified": True}
    given = {**ANNA, "fqid": fqid}
    expected = {IMPORTED_SENDER: {**ANNA, "fqid": normal, **marks}}
    assert rewritten({}, origin=SIGNED, senders=given)[0] == expected


def test_success_the_added_sender_is_short() -> None:
    """A sender of a mebibyte would make a bundle of thousand events a gibibyte of rows."""
    long = dict.fromkeys(ANNA, "x" * 2**20)
    event = make_bundle_event()
    senders = {SENDER: make_sender(**long)}
    rewriter = EventRewriter(IdMapper(ROOM), senders=senders, media_ids={}, origin=UNSIGNED)
    rewriter.rewrite(Batch([event]))
    sender = event.content[IMPORTED_SENDER]
    assert sender.pop("unverified") is True  # The ID names no server.
    assert {key: len(value) for key, value in sender.items()} == {
        "display_name": 300,
        "avatar_url": 0,
        "fqid": 512,
    }


keys = st.text().filter(lambda key: not key.endswith("_id") and key != IMPORTED_SENDER)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
    max_leaves=8,
)


@given(st.dictionaries(keys, json_values))
def test_success_everything_else_stays(content: dict[str, Any]) -> None:
    expected = {IMPORTED_SENDER: ANNA, **content}
    assert rewritten(content, original=content) == (expected, content)

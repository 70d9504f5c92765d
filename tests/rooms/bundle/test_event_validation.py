"""Decoding a batch never accepts what decoding one by one refuses; both return the same."""

from __future__ import annotations

import json
from itertools import accumulate, cycle, islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.event_validation import ValidatingEventDecoder
from rooms.bundle.manifest.events import BundleEvent, iter_batches
from scaiwave.core.errors import ScaiWaveError
from tests.rooms.bundle.factories import WHEN, make_event, make_uid

LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(['":', '" :', "\0", "\ud800", ' a" : b', "\\u0000", "\n:", "  :", '\\":']),
    st.text('\\"u0:', max_size=12),
)
VALUE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", 0, -1, 1.0, True, [], {}, "x", WHEN, make_uid(7), 2**63, 10**30]
)
CHANGES = st.dictionaries(
    st.sampled_from([*make_event(1), "edited_at", "do_not_index", "other"]), ODD
)
SEPARATORS = st.sampled_from(
    [(", ", ": "), (",", ":"), (" , ", " : "), (",\t", "  :"), (",", "\n:"), (",\n", "\n :")]
)
PIECES = st.sampled_from(
    [b'"', b":", b'":', b" ", b",", b"{", b"}", b"[", b"]", b"\\", b"\\u0000", b'"a":1,', b"1e999",
     b"NaN", b"\t", b"\n", b"\xff", b"\0", b"9" * 20, b'"id":"x",', b"-", b"0", b"e"]
)  # fmt: skip


def decode_batch(raw: bytes) -> list[BundleEvent] | None:
    return ValidatingEventDecoder().decode_batch(b"[" + raw + b"]")


def decode_each(raw: bytes) -> list[BundleEvent] | None:
    """Decode the same text, events with commas between them, one by one."""
    stream = JsonStream(iter([b"[" + raw + b"]"]), max_bytes=2**20)
    decoder, events = ValidatingEventDecoder(), []
    try:
        stream.expect(b"[")
        while True:
            events.append(decoder.decode_one(stream))
            if stream.expect(b",", b"]") == b"]":
                stream.expect_end()
                return events
    except (ScaiWaveError, ValueError):
        return None


def write_events(*events: dict[str, Any], separators: tuple[str, str], ascii_only: bool) -> bytes:
    texts = (json.dumps(one, ensure_ascii=ascii_only, separators=separators) for one in events)
    return ",\n".join(texts).encode(errors="surrogatepass")


def assert_agree(raw: bytes) -> None:
    taken = decode_batch(raw)
    if taken is not None:
        assert repr(taken) == repr(decode_each(raw))


@given(st.lists(VALUE, min_size=1, max_size=3), CHANGES, SEPARATORS, st.booleans())
def test_success_values(
    values: list[Any], changes: dict[str, Any], separators: tuple[str, str], ascii_only: bool
) -> None:
    events = [make_event(number, content={"v": one}) for number, one in enumerate(values, 1)]
    events[-1] |= changes
    assert_agree(write_events(*events, separators=separators, ascii_only=ascii_only))


@given(st.data(), SEPARATORS, st.booleans())
def test_success_bytes(data: st.DataObject, separators: tuple[str, str], ascii_only: bool) -> None:
    content = {"body": 'a "b": c', "a": {"b": [1, "x"]}, "id": "x"}
    raw = write_events(
        make_event(1), make_event(2, content=content), separators=separators, ascii_only=ascii_only
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        cut = data.draw(st.integers(0, 4))
        raw = raw[:at] + data.draw(PIECES) + raw[at + cut :]
    assert_agree(raw)


DUPLICATES = (
    b'{"a":1,"a":1}',
    b'{"a":1,"a" :1}',
    b'{"a":1,"a"  :1}',
    b'{"a":1,"a"\n:1}',
    b'{"a":1,"a"\n :1}',
    b'{"a":1,"a" \n :1}',
    b'{"a":1,"a"\t:1}',
    b'{"a":1,"\\u0061":1}',
    b'{"a":{"x":1},"a":{"y":1}}',
    b'{"a":[{"x":1,"x":2}]}',
    b'{"a":"\\":","a":"b"}',
    b'{"a":"\\u0022:","a":"\\u0022:"}',
)


# Escapes before the duplicate: few, and so many that they are counted in another way.
ESCAPES = ("", '\\"', '\\\\"', '\\"' * 2000, '"\\' * 2000, "\u2028" * 2000)


@pytest.mark.parametrize("content", DUPLICATES)
@pytest.mark.parametrize("escapes", ESCAPES, ids=["none", "one", "two", "1", "2", "3"])
def test_fail_duplicate_keys(content: bytes, escapes: str) -> None:
    first = make_event(1, content={"body": escapes})
    raw = write_events(first, make_event(2, content="mark"), separators=(",", ":"), ascii_only=True)
    assert decode_batch(raw.replace(b'"mark"', b"{}")) is not None
    raw = raw.replace(b'"mark"', content)
    assert (decode_batch(raw), decode_each(raw)) == (None, None)


@pytest.mark.parametrize("before", ["", '\\"' * 2000])
@pytest.mark.parametrize("escape", [b"\\u0000", b"\\\\\\u0000", b'\\"\\u0000'])
def test_fail_u_0000(before: str, escape: bytes) -> None:
    event = make_event(1, content={"body": f"{before}mark"})
    raw = write_events(event, separators=(",", ":"), ascii_only=True).replace(b"mark", escape)
    assert (decode_batch(raw), decode_each(raw)) == (None, None)


@pytest.mark.parametrize("key", ["id", "sender_id", "edited_at", "do_not_index", "other"])
def test_fail_duplicate_keys_of_the_event(key: str) -> None:
    one = make_event(1, edited_at=WHEN, do_not_index=True, other="x")
    raw = write_events(one, separators=(",", ":"), ascii_only=True)
    for again in (one[key], None, False):
        twice = raw[:-1] + f',"{key}":{json.dumps(again)}}}'.encode()
        assert (decode_batch(twice), decode_each(twice)) == (None, None)


def test_success_valid_events_take_the_fast_path() -> None:
    """Show that the other tests do test batches: this text is decoded as one."""
    nested = {"a": {"b": [1, 2.5, {"c": None}]}}
    events = [make_event(1, content=nested), make_event(2, content={})]
    events.append(
        make_event(9, edited_at=WHEN, redacted_at=WHEN, event_uuid=make_uid(1), do_not_index=True)
    )
    for separators in ((",", ":"), (", ", ": "), (", ", " : ")):
        raw = write_events(*events, separators=separators, ascii_only=False)
        assert decode_batch(raw) == decode_each(raw)
        assert decode_batch(raw) is not None


@pytest.mark.parametrize("text", ['{"json": "in a text"}', ":-)", " : ", "\\", '\\":', '":"'])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_success_texts_that_look_like_keys_take_the_fast_path(
    text: str, separators: tuple[str, str]
) -> None:
    one = make_event(1, content={"body": text, "list": [text, text]})
    raw = write_events(one, make_event(2), separators=separators, ascii_only=False)
    assert decode_batch(raw) == decode_each(raw)
    assert decode_batch(raw) is not None


def break_lines(*values: Any, separator: str) -> bytes:
    """Write an event with these values in lines that have nothing else."""
    event = json.dumps(make_event(1, content={"values": ["mark"]}))
    lines = separator.join(map(json.dumps, values))
    return event.replace('"mark"', f"\n{lines}\n").encode()


LARGE_IN_LINES = (["x" * 9000] * 8, [{"x": "x" * 9000}] * 8, [["x" * 9000, {}]] * 8)


@pytest.mark.parametrize("values", LARGE_IN_LINES, ids=["texts", "objects", "arrays"])
@pytest.mark.parametrize("separator", [",\n", ",\r\n", "\n,\n"])
@pytest.mark.parametrize("others", [b",\n", b","], ids=["in lines", "in one line"])
def test_fail_large_content_in_short_lines(
    values: list[Any], separator: str, others: bytes
) -> None:
    small = [json.dumps(make_event(number)).encode() for number in range(2, 12)]
    raw = b",\n".join((break_lines(*values, separator=separator), others.join(small)))
    assert (decode_batch(raw), decode_each(raw)) == (None, None)


@pytest.mark.parametrize("values", LARGE_IN_LINES, ids=["texts", "objects", "arrays"])
@pytest.mark.parametrize("separator", [",\n", ",\r\n", ","])
def test_success_events_of_several_lines_take_the_fast_path(
    values: list[Any], separator: str
) -> None:
    small = [json.dumps(make_event(number), indent=1).encode() for number in range(2, 99)]
    first = break_lines(*values[:1], separator=separator)
    raw = separator.encode().join((first, *small))
    assert decode_batch(raw) == decode_each(raw)
    assert decode_batch(raw) is not None


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=40),
    st.sampled_from([",\n", ", ", ",\r\n", ",\n\n ", "\n,\n"]),
    st.lists(st.integers(1, 5000), min_size=1, max_size=5),
)
def test_success_chunks_of_any_size(lengths: list[int], separator: str, sizes: list[int]) -> None:
    """Lines are complete or not, long or short, and some have two events or none."""
    events = [make_event(number, content={"body": "x" * n}) for number, n in enumerate(lengths, 1)]
    text = f"[{separator.join(map(json.dumps, events))}\n]".encode()
    ends = [*accumulate(islice(cycle(sizes), len(text) // min(sizes) + 1))]
    chunks = [text[start:end] for start, end in pairwise([0, *ends]) if start < len(text)]
    stream = JsonStream(iter(chunks), max_bytes=2**20)
    decoder = ValidatingEventDecoder()
    assert [each for batch in iter_batches(stream, decoder) for each in batch] == decode_each(
        text[1:-1]
    )
    stream.expect_end()
    assert (stream.position, decoder.count) == (len(text), len(events))

"""What the formats contain, compared with kept files, and that no event is missing in any.

`python -m tests.rooms.transcripts.test_formats` writes the kept files again: look at the changes.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from rooms.bundle.manifest.schema import TimeWindow
from rooms.errors import TranscriptTooLarge
from rooms.transcripts.timeline import EventSelection
from tests.rooms.bundle.factories import (
    ANNA,
    BO,
    JSON,
    make_event,
    make_media_row,
    make_reaction,
    make_reply,
    make_uid,
)
from tests.rooms.transcripts.factories import (
    DAY,
    PDF,
    START,
    make_message,
    make_other,
    make_sample,
    render,
    render_record,
)
from tests.rooms.transcripts.test_rsmf import read_archive

KEPT = Path(__file__).with_name("golden")
FORMATS = ("html", "text", "csv", "rsmf")
NAMES = {
    "html": ("index.html", "p0001.html", "search/0001.js", "search/w0001.js", "transcript.json"),
    "text": ("transcript.txt",),
    "csv": ("transcript.csv",),
    "rsmf": ("load.csv", f"{make_uid(1)}-2025-11-25.rsmf"),
}
_RELEASE = re.compile(rb"scaiwave [0-9][0-9a-z.]+")
# Of files whose bytes depend on the release or on the version of zlib.
_VARYING = re.compile(rb'[0-9a-f]{64}(?=", *\n *"size|,2025)|"size": \d+')


class ArticleParser(HTMLParser):
    """Collects the IDs of events, and the texts, tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.articles: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags[tag] += 1
        self.attributes |= values.keys()
        if tag == "article":
            self.articles.append((values["id"] or "").removeprefix("e-"))
        self.links += [values[key] or "" for key in ("href", "src") if key in values]

    def handle_data(self, data: str) -> None:
        self.text += data


def mask(name: str, data: bytes) -> bytes:
    if name.endswith(".rsmf"):
        return data.split(b"application/zip")[0].replace(b"\r", b"")
    if name.endswith((".json", "load.csv")):
        data = _VARYING.sub(b"-", data)
    return data


def build_kept() -> dict[Path, bytes]:
    files = {}
    for kind, names in NAMES.items():
        rendered = render(make_sample(), kind)
        for name in names:
            data = _RELEASE.sub(b"scaiwave 0", mask(name, rendered[name]))
            files[KEPT / kind / name] = data
    return files


@pytest.mark.parametrize("kind", FORMATS)
def test_success_files_are_as_they_were(kind: str) -> None:
    for path, data in build_kept().items():
        if path.is_relative_to(KEPT / kind):
            assert data.decode() == path.read_bytes().decode(), path


@pytest.mark.parametrize("kind", FORMATS)
def test_success_bytes_are_stable(kind: str) -> None:
    assert render(make_sample(), kind) == render(make_sample(), kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_success_every_event_is_accounted_for(kind: str) -> None:
    events = render_record(make_sample(), kind)["events"]
    assert (events["read"], events["shown"]) == (30, 25)
    assert (events["shown_with_target"], events["left_out"]) == (5, 0)
    assert events["by_type"]["swp.room.reaction"] == {
        "read": 5, "shown": 1, "shown_with_target": 4, "left_out": 0,
    }  # fmt: skip


def test_success_each_event_stands_alone_on_its_page() -> None:
    files = render(make_sample(), "html")
    page = files["p0001.html"].decode()
    parsed = ArticleParser(page)
    assert len(parsed.articles) == len(set(parsed.articles)) == 25
    for article in page.split("<article")[1:]:
        assert re.search(r"<header><b><bdi>.+</bdi></b> <span><bdi>@.+:.+</bdi></span>", article)
        assert re.search(r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00">', article)
    for link in parsed.links:
        if link.startswith("#n"):
            assert f'<a id="{link[1:]}" href="{link}">#{link[2:]} <time ' in page
        elif not link.startswith(("#", "https://example.com/")):
            assert link.replace("%20", " ") in files


def test_success_links_lead_to_other_pages() -> None:
    events = [make_event(number) for number in range(1, 1400)]
    events += [make_reply(1400, to=1), make_reaction(1401, to=1)]
    events.append(make_other(1402, "swp.room.read_marker", {"event_id": make_uid(0x1001)}))
    files = render(make_sample(events), "html")
    first, second = (ArticleParser(files[f"p000{number}.html"].decode()) for number in (1, 2))
    assert len(first.articles) == 1000
    assert len(second.articles) == 401
    assert second.links.count("p0001.html#n1") == 2
    assert "p0002.html#n1400" in first.links
    assert "👍 1 Anna Berg" in first.text
    assert "Read up to #1 Anna Berg message 1" in second.text
    overview = ArticleParser(files["index.html"].decode()).text
    times = "2025-11-24 16:16:41+00:00 to 2025-11-24 16:23:22+00:00"
    assert f"Page 2 #1001 to #1402: {times}" in overview
    assert all(len(data) <= 600_000 for name, data in files.items() if name.endswith(".html"))


def test_success_pages_end_with_a_day_if_that_leaves_them_full() -> None:
    days = [0] * 600 + [1] * 600 + [2] * 100
    events = [
        make_event(number, origin_ts=START + day * DAY + number)
        for number, day in enumerate(days, 1)
    ]
    files = render(make_sample(events), "html")
    counts = [
        len(ArticleParser(files[f"p000{number}.html"].decode()).articles) for number in (1, 2)
    ]
    assert counts == [600, 700]


def test_success_a_large_page_is_split_by_its_size() -> None:
    noise = Random(1)  # what compresses too well is refused
    events = [make_message(number, noise.randbytes(30_000).hex()) for number in range(1, 31)]
    pages = [data for name, data in render(make_sample(events), "html").items() if name[0] == "p"]
    assert len(pages) == 4
    assert max(map(len, pages)) < 600_000


def test_success_days_and_times_of_a_zone() -> None:
    events = [make_event(1, origin_ts=START + 7 * 3600 + 1800)]
    zone = ZoneInfo("Europe/Amsterdam")
    page = render(make_sample(events), "html", zone=zone)["p0001.html"].decode()
    assert '<time datetime="2025-11-25T00:30:00+01:00">00:30:00</time>' in page
    assert "<span>25 November 2025</span>" in page
    assert f"{make_uid(1)}-2025-11-25.rsmf" in render(make_sample(events), "rsmf", zone=zone)


@pytest.mark.parametrize("kind", FORMATS)
def test_success_times_outside_of_the_calendar(kind: str) -> None:
    # The first and the last second of the years 1 to 9999, of milliseconds, and of a database.
    seconds = (-62_135_596_800, 253_402_300_799, 1_764_000_000_000, -(2**63), 2**63 - 1)
    events = [make_event(number, origin_ts=at) for number, at in enumerate(seconds, 1)]
    for zone in ("America/New_York", "Asia/Tokyo"):
        record = render_record(make_sample(events), kind, zone=ZoneInfo(zone))
        assert record["events"]["shown"] == len(events)


def test_success_a_time_outside_of_the_calendar_is_whole() -> None:
    page = render(make_sample([make_event(1, origin_ts=10**12)]), "html")["p0001.html"].decode()
    assert ">1970 +1000000000000 s</time>" in page


@pytest.mark.parametrize("kind", FORMATS)
def test_success_an_empty_room(kind: str) -> None:
    assert render_record(make_sample([]), kind)["events"]["read"] == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_success_references_to_nothing_and_to_later_events(kind: str) -> None:
    """A bundle may be of a period, and its events may have been made in any order."""
    events = [
        make_reaction(1, to=5),
        make_reply(2, to=900),
        make_reaction(3, to=901),
        make_reaction(4, to=902, kind="swp.room.redaction"),
        make_event(5),
        make_reaction(6, to=1),
        make_other(7, "swp.room.reaction", {"event_id": 5, "emoji": ["x"]}),
        make_message(8, "", content={"body": {"rich": [1]}, "reply_to_event_id": "no ID"}),
        make_message(9, "", content={"_imported_sender": "someone", "mentions": [None, "x"]}),
        make_other(10, "swp.room.member", {"participant_id": 5}),
    ]
    window = {"since": None, "until": "2030-01-01T00:00:00.000000Z"}
    record = render_record(make_sample(events, window=window), kind)
    assert record["events"]["shown"] + record["events"]["shown_with_target"] == 10


def test_success_filter_by_words_with_context() -> None:
    events = [make_message(number, f"number {number}") for number in range(1, 101)]
    events += [make_reaction(101, to=50), make_reaction(102, to=1)]
    selection = EventSelection(words=("NUMBER", "50"), context=2)
    record = render_record(make_sample(events), "text", selection=selection)
    assert record["filter"] == {"participant": None, "words": ["NUMBER", "50"], "context": 2}
    assert record["events"]["shown"] == 5
    assert record["events"]["shown_with_target"] == 1
    assert record["events"]["left_out"] == 96
    page = render(make_sample(events), "html", selection=selection)["p0001.html"].decode()
    assert [a[-3:] for a in ArticleParser(page).articles] == ["030", "031", "032", "033", "034"]
    assert re.findall('id="n([0-9]+)"', page) == ["48", "49", "50", "51", "52"]


@pytest.mark.parametrize("name", ["@bo:chat.example.com", BO, "bo lindqvist"])
def test_success_filter_by_participant(name: str) -> None:
    record = render_record(make_sample(), "csv", selection=EventSelection(participant=name))
    assert record["events"]["by_type"]["swp.room.message"]["shown"] == 5
    # The reaction to a message of Anna, and Anna's to one of Bo.
    assert record["events"]["by_type"]["swp.room.reaction"]["shown"] == 1
    assert record["events"]["by_type"]["swp.room.reaction"]["shown_with_target"] == 1


def test_success_a_period_of_a_bundle() -> None:
    window = TimeWindow("2025-11-25T00:00:00.000000Z", "2025-11-26T00:00:00.000000Z")
    files = render(make_sample(), "html", selection=EventSelection(window))
    events = json.loads(files["transcript.json"])["events"]
    assert (events["shown"], events["left_out"]) == (2, 28)
    assert not [name for name in files if name.startswith("media/")]


def test_success_one_file_with_its_images() -> None:
    files = render(make_sample(), "html", single_file=True)
    assert files.keys() == {"index.html", "transcript.json"}
    parsed = ArticleParser(files["index.html"].decode())
    assert len(parsed.articles) == 25
    outside = [
        link for link in parsed.links if not link.startswith(("#", "data:image/png;base64,"))
    ]
    assert outside == ["https://example.com/draft?a=1&b=2"]


def test_fail_one_file_of_too_many_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rooms.transcripts.html.MAX_SINGLE_EVENTS", 20)
    with pytest.raises(TranscriptTooLarge, match="25 events"):
        render(make_sample(), "html", single_file=True)


def test_success_csv_is_read_by_a_reader() -> None:
    data = render(make_sample(), "csv")["transcript.csv"]
    assert data.startswith(b"\xef\xbb\xbf")
    rows: list[JSON] = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    by_id = {row["event_id"]: row for row in rows}
    assert len(rows) == 25
    assert by_id[make_uid(0x1005)]["reactions"] == (
        "👍 2: @bo:chat.example.com, @layla:peer.example.org"
    )
    redacted = by_id[make_uid(0x1013)]
    assert (redacted["redacted_by"], redacted["redaction_reason"], redacted["text"]) == (
        "'@anna:chat.example.com", "a phone number", "",
    )  # fmt: skip
    assert by_id[make_uid(0x100E)]["attachment_names"] == "launch day.png"


@pytest.mark.parametrize("kind", FORMATS)
def test_success_the_text_of_a_redacted_message_is_not_shown(kind: str) -> None:
    event = make_event(
        1,
        content={"body": "secretword"},
        original_content={"body": "secretword too"},
        edited_at="2025-11-24T16:20:00.000000Z",
        redacted_at="2025-11-24T16:20:00.000000Z",
    )
    files = render(make_sample([event]), kind)
    assert not [name for name, data in files.items() if b"secretword" in data]


def test_success_author_is_shown_for_what_others_redact() -> None:
    events = [
        make_event(1, redacted_at="2025-11-24T16:20:00.000000Z", content={}),
        make_other(2, "swp.room.redaction", {"event_id": make_uid(0x1001), "redacted_by": ANNA},
                   sender_id=BO),
    ]  # fmt: skip
    text = render(make_sample(events), "text")["transcript.txt"].decode()
    assert "[redacted by Anna Berg @anna:chat.example.com]" in text


if __name__ == "__main__":
    for kept, content in build_kept().items():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(content)


@pytest.mark.parametrize("kind", FORMATS)
def test_success_a_membership_is_not_a_template(kind: str) -> None:
    content = {"participant_id": ANNA, "membership": "{0.__class__} {x}"}
    files = render(make_sample([make_other(1, "swp.room.member", content)]), kind)
    if kind != "rsmf":
        assert "Anna Berg has the membership {0.__class__} {x}" in read_all(files)


@pytest.mark.parametrize("kind", ["html", "text", "csv"])
def test_success_parts_that_nothing_else_shows(kind: str) -> None:
    """A file that was removed from the room, and references of another form than expected."""
    gone = make_uid(0xABC)
    odd = {"mentions": [7], "reply_to_event_id": "no ID"}
    events = [
        make_message(1, "The contract", content={"msgtype": "swp.media", "media_id": gone}),
        make_message(2, "Odd", content={"thumbnail_id": {"x": 1}, **odd}),
        make_message(3, "Hello", content={"mentions": [BO]}),
    ]
    text = html.unescape(read_all(render(make_sample(events), kind))).replace('""', '"')
    assert gone in text
    assert text.count("not attached to the room") == 2
    assert "no ID" in text
    assert re.search(r'"mentions": ?\[\s*7\s*\]', text)
    assert (BO if kind == "csv" else "Bo Lindqvist") in text


def test_success_all_of_a_message_before_its_edit() -> None:
    """Its file, the reply and what is in keys of no known meaning."""
    contract = make_media_row(PDF, "contract.pdf", mime_type="application/pdf")
    original = {"body": "The old text", "caption": "Page 4", "media_id": contract["media_id"]}
    changed = make_message(
        2,
        "The new text",
        original_content={**original, "reply_to_event_id": make_uid(0x1001), "mentions": [BO]},
        edited_at="2025-11-24T16:01:40.000000Z",
    )
    bundle = make_sample([make_event(1), changed])
    files = {kind: render(bundle, kind) for kind in FORMATS}
    (day,) = (data for name, data in files["rsmf"].items() if name.endswith(".rsmf"))
    files["rsmf"] = {"": read_archive(day).read("rsmf_manifest.json")}
    for rendered in files.values():
        text = re.sub(r'\\?"|\s+', "", html.unescape(read_all(rendered)))
        for part in ("Theoldtext", "contract.pdf", "caption:Page4", f"mentions:[{BO}]"):
            assert part in text
        assert f"reply_to_event_id:{make_uid(0x1001)}" in text


def test_success_the_number_of_an_event_is_the_same_in_every_format() -> None:
    text = render(make_sample(), "text")["transcript.txt"].decode()
    numbers = dict(re.findall(r"^[-0-9]+ [:0-9]+Z  #([0-9]+)  ([-0-9a-f]+)  @", text, re.MULTILINE))
    assert len(numbers) == 25
    page = render(make_sample(), "html")["p0001.html"].decode()
    assert dict(re.findall('id="e-(.+?)".*?id="n(.+?)"', page)) == {
        event_id: number for number, event_id in numbers.items()
    }
    data = render(make_sample(), "csv")["transcript.csv"].decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(data))
    assert {row["number"]: row["event_id"] for row in rows} == numbers
    assert "An apostrophe before =" in str(render_record(make_sample(), "csv")["notes"])


def test_success_csv_names_what_is_missing() -> None:
    data = render(make_sample(), "csv")["transcript.csv"].decode("utf-8-sig")
    names = [row["attachment_names"] for row in csv.DictReader(io.StringIO(data))]
    assert "invoice.exe (missing: infected)" in names


def test_success_first_text_of_an_edited_message_is_found() -> None:
    selection = EventSelection(words=("secnd",))
    assert render_record(make_sample(), "html", selection=selection)["events"]["shown"] == 1
    assert b"secnd paragraf" in render(make_sample(), "html")["search/0001.js"]


def read_all(files: dict[str, bytes]) -> str:
    return b"\n".join(files.values()).decode(errors="replace")

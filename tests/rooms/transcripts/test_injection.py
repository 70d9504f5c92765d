# ruff: noqa: E501 — a list of long strings
"""What people wrote stays text, in every place of every format."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from tests.rooms.bundle.factories import (
    ANNA,
    JSON,
    ROOM,
    make_event,
    make_media_row,
    make_sender,
    make_uid,
)
from tests.rooms.transcripts.factories import make_message, make_other, make_sample, render
from tests.rooms.transcripts.test_formats import ArticleParser

SCRIPT = "alert(document.domain)"
INJECTIONS = [
    f"<script>{SCRIPT}</script>", f"</script><script>{SCRIPT}</script>", f"<img src=x onerror={SCRIPT}>",
    f"<svg onload={SCRIPT}>", f"<svg><script>{SCRIPT}</script></svg>", f"<body onload={SCRIPT}>",
    f"<iframe src=javascript:{SCRIPT}>", f"<iframe srcdoc='<script>{SCRIPT}</script>'>",
    f"<object data=javascript:{SCRIPT}>", f"<embed src=javascript:{SCRIPT}>",
    f"<a href=javascript:{SCRIPT}>x</a>", f"[x](javascript:{SCRIPT})", f"[x](JaVaScRiPt:{SCRIPT})",
    f"[x](java\tscript:{SCRIPT})", f"[x](&#106;avascript:{SCRIPT})", f"[x](data:text/html,{SCRIPT})",
    f"[x](vbscript:{SCRIPT})", "[x](file:///etc/passwd)", f"<javascript:{SCRIPT}>",
    "![x](https://evil.example.com/a.png)", f"![x](javascript:{SCRIPT})", "![x][y]\n\n[y]: https://evil.example.com",
    f"[x]: javascript:{SCRIPT}\n\n[x]", f'[x](https://a.example.com "\\" onclick={SCRIPT}")',
    f'https://a.example.com/"onmouseover="{SCRIPT}', f"https://a.example.com/'onmouseover='{SCRIPT}",
    "https://a.example.com/<b>", f"`<script>{SCRIPT}</script>`", f"```\n</pre><script>{SCRIPT}</script>\n```",
    f"```<script>{SCRIPT}</script>\nx\n```", f'```" onclick="{SCRIPT}\nx\n```', f"> <script>{SCRIPT}</script>",
    f"| a |\n|---|\n| <script>{SCRIPT}</script> |", f"# <script>{SCRIPT}</script>", f"* <img src=x onerror={SCRIPT}>",
    f'" onmouseover="{SCRIPT}', f"' onmouseover='{SCRIPT}", f'"><script>{SCRIPT}</script>', f"'><script>{SCRIPT}</script>",
    f"--><script>{SCRIPT}</script>", f"]]><script>{SCRIPT}</script>", f"</title><script>{SCRIPT}</script>",
    f"</style><script>{SCRIPT}</script>", f"</textarea><script>{SCRIPT}</script>", f"</article><script>{SCRIPT}</script>",
    "<meta http-equiv=refresh content=0;url=https://evil.example.com>", "<base href=https://evil.example.com>",
    "<increment rel=stylesheet href=https://evil.example.com>", "<style>@import 'https://evil.example.com'</style>",
    "<form action=https://evil.example.com><input name=q></form>", f"<math><mi xlink:href=javascript:{SCRIPT}>",
    f"<details open ontoggle={SCRIPT}>", f"<marquee onstart={SCRIPT}>", "{{constructor.constructor('x')()}}",
    "\u2028alert(1)\u2029", "\u202e\u2066gnp.exe\u2069", "=cmd|' /C calc'!A0", "@SUM(1+1)", "+1+1;=2", "-2+3",
    "\t=1+1", "\r=1+1", "\uff1d1+1", '",=1+1,"', "%00%0d%0aSet-Cookie: x", "a\x00b".replace("\0", "\x01"),
    "<" * 500, "[" * 500, "*" * 500, "a\n#1\n0 0 0\tforged",
]  # fmt: skip
BAD_HREF = re.compile(
    r"\s*(?!https?://|mailto:|#|p\d{4}\.html|index\.html|style\.css|app\.js|media/)"
)
TAGS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "nav", "span", "b",
    "form", "input", "div", "main", "h1", "small", "section", "h2", "article", "bdi", "time", "p",
    "br", "ul", "li", "ol", "details", "summary", "code", "figure", "figcaption", "pre", "img", "q",
    "em", "strong", "s", "blockquote", "footer", "table", "thead", "tbody", "tr", "th", "td", "hr",
    "dl", "dt", "dd", "caption",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "rel", "href", "nonce", "src", "defer",
    "data-shards", "data-zone", "class", "type", "id", "placeholder", "aria-label", "autocomplete", "role",
    "aria-live", "hidden", "tabindex", "datetime", "dir", "loading", "alt", "download", "data-i",
    "target", "scope", "start", "style",
}  # fmt: skip


def make_hostile(*texts: str) -> bytes:
    """Return a bundle with the first text in every place that someone can choose.

    Events have the others too.
    """
    events, media = [], []
    for start, text in enumerate(texts):
        more, files = make_hostile_events(text, start * 14)
        events += more
        media += files
    shown = texts[0]
    workspace = {"id": make_uid(2), "slug": shown[:200], "name": shown[:500]}
    return make_sample(
        events,
        media=media,
        senders={ANNA: make_sender(shown[:300], fqid=f"@{shown[:200]}:chat.example.com")},
        room={**ROOM, "name": shown[:1000], "topic": shown, "workspace": workspace},
        server_name=shown[:255],
    )


def make_hostile_events(shown: str, start: int) -> tuple[list[JSON], list[JSON]]:
    """Return events from the number after `start`, and their attachments."""
    picture = make_media_row(b"x" * (100 + start), shown[:200] or "x", missing="lost")
    stored = make_media_row(b"x" * (101 + start), f"{shown[:150]}.html", missing="lost")
    sender = {"display_name": shown[:300], "avatar_url": "", "fqid": f"@{shown[:200]}:x"}
    code = {"msgtype": "swp.code", "language": shown, "code": shown}
    return [
        make_message(start + 1, shown),
        make_message(start + 2, shown, content=code),
        make_message(start + 3, shown, content={"media_id": picture["media_id"], shown or "k": {shown: 1}}),
        make_message(start + 4, "x", content={"_imported_sender": sender, "mentions": [shown, ANNA]}),
        make_message(start + 5, "x", original_content={"body": shown}, edited_at="2025-11-24T16:01:40.000000Z"),
        make_other(start + 6, "swp.room.reaction", {"event_id": make_uid(0x1001 + start), "emoji": shown}),
        make_event(start + 7, redacted_at="2025-11-24T16:01:40.000000Z", content={}),
        make_other(start + 8, "swp.room.redaction", {"event_id": make_uid(0x1007 + start), "reason": shown}),
        make_other(start + 9, "swp.room.name", {"name": shown}),
        make_other(start + 10, "swp.room.topic", {"topic": shown}),
        make_other(start + 11, "swp.room.member", {"participant_id": shown, "membership": shown}),
        make_other(start + 12, f"x{shown}"[:100], {"key": shown, shown: [shown]}),
        make_message(start + 13, shown, content={"reply_to_event_id": make_uid(0x1001 + start), "msgtype": shown}),
        make_message(start + 14, "", content={"media_id": stored["media_id"]}),
    ], [picture, stored]  # fmt: skip


@pytest.mark.parametrize("number", range(len(INJECTIONS)))
def test_success_html_has_no_other_elements(number: int) -> None:
    text = INJECTIONS[number]
    files = render(make_hostile(text), "html")
    for name in ("index.html", "p0001.html"):
        parsed = ArticleParser(files[name].decode())
        assert parsed.tags.keys() <= TAGS
        assert parsed.attributes <= ATTRIBUTES
        assert (parsed.tags["script"], parsed.tags["link"]) == (1, 1)
        assert not [link for link in parsed.links if BAD_HREF.match(link)]
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", parsed.text)
    assert "style=" not in files["p0001.html"].decode().replace("style=&", "")
    script = files["search/0001.js"].decode()
    names, body = json.loads(f"[{script.removeprefix('register(1,').strip().removesuffix(')')}]")
    assert len(body.split("\n")) == 13  # a line for the page, and one for each event shown
    assert len(names) >= 1


@pytest.mark.parametrize("number", range(len(INJECTIONS)))
def test_success_other_formats_have_no_controls(number: int) -> None:
    bundle = make_hostile(INJECTIONS[number])
    text = render(bundle, "text")["transcript.txt"].decode()
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    lines = text.split("\n\n", 1)[1].splitlines()
    assert sum(line.startswith("2025-11-24 16:00:") for line in lines) == 12
    assert all(line.startswith(("2025-11-24 16:00:", "    ")) for line in lines)
    data = render(bundle, "csv")["transcript.csv"].decode("utf-8-sig")
    rows: list[JSON] = list(csv.DictReader(io.StringIO(data)))
    assert len(rows) == 12
    for row in rows:
        assert None not in row
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))
            assert not re.search("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cell)


def test_success_there_are_many() -> None:
    assert len(INJECTIONS) >= 60
    assert len(set(INJECTIONS)) == len(INJECTIONS)

"""Write Markdown: escape what would be read as markup, quote, and replace names of emoji."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from rooms.conversion.json_rows import clean_text, only_objects

_MAX_SHOWN_URL_CHARS = 300
# What begins or ends markup where it stands. A single underscore inside a word does not.
_MARKUP = re.compile(
    r"[*`\\]|~~|\[(?=[^\]\n]{0,300}\]\()|(?<![^\W_])_|_(?![^\W_])|^(?=#{1,6} )|^(?=>)", re.MULTILINE
)
_EMOJI = re.compile(r"(?<![\w:]):([a-z0-9_+'-]{1,64})(?:::?skin-tone-([2-6]))?:(?!\w)")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n`]*$", re.MULTILINE)
_TONES = ("light", "medium_light", "medium", "medium_dark", "dark")
# The modifiers begin at U+1F3FB, which is type 1–2 on the scale of Fitzpatrick: Slack's 2.
_SKIN_TONES = {
    f"{prefix}{name}": chr(0x1F3FB + number)
    for number, tone in enumerate(_TONES)
    for prefix, name in (("::skin-tone-", str(number + 2)), ("_", f"{tone}_skin_tone"))
}
# Slack writes the tone as a number, and Mattermost as a word.
_TONE = re.compile(r"(.+?)(::skin-tone-[2-6]|_(?:(?:medium_)?(?:light|dark)|medium)_skin_tone)")
# Lower characters have names such as SPACE or COLON, which are no emoji.
_FIRST_PICTURE = "\U0001f300"
_FLAG = re.compile(r"flag-([a-z]{2})")
# `female-technologist` is `woman_technologist` in Rich, but `male_sign` is a sign.
_GENDER = re.compile(r"\b(?:fe)?male(?=_(?!sign))")
# Names that Rich does not have.
_MORE_EMOJI = {
    "simple_smile": "🙂", "shrug": "🤷", "facepalm": "🤦", "face_palm": "🤦", "us": "🇺🇸",
    "gb": "🇬🇧", "de": "🇩🇪", "fr": "🇫🇷", "nl": "🇳🇱", "es": "🇪🇸", "it": "🇮🇹", "jp": "🇯🇵",
    "cn": "🇨🇳", "kr": "🇰🇷", "ru": "🇷🇺", "upside_down_face": "🙃", "mrs_claus": "🤶",
    "the_horns": "🤘", "medal": "🏅", "first_place_medal": "🥇", "second_place_medal": "🥈",
    "third_place_medal": "🥉", "champagne": "🍾", "hash": "#️⃣",
    "keycap_star": "*️⃣", "hand_with_index_and_middle_fingers_crossed": "🤞", "spock-hand": "🖖",
    "left-facing_fist": "🤛", "right-facing_fist": "🤜", "star-struck": "🤩",
    "zipper_mouth_face": "🤐", "rain_cloud": "🌧️", "octagonal_sign": "🛑", "people_hugging": "🫂",
    "heart_on_fire": "❤️‍🔥", "mending_heart": "❤️‍🩹", "technologist": "🧑‍💻",
    "flag-england": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
}  # fmt: skip


def escape(text: str) -> str:
    """Escape characters that Markdown would read as markup."""
    return _MARKUP.sub(lambda match: "\\" + match[0], text)


def join_lines(*texts: str) -> str:
    """Return the texts that are not empty, one below the other."""
    return "\n".join(filter(None, texts))


def quote(text: str) -> str:
    """Return the text as a block quote."""
    return "> " + text.replace("\n", "\n> ")


def code_span(text: str) -> str:
    """Return code in a line, between more backticks than it contains in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def code_block(text: str, language: str = "") -> str:
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.removeprefix(chr(10)).removesuffix(chr(10))}\n{fence}"


def link(url: str, label: str = "") -> str:
    """Return a link, or plain text if the URL has another scheme than a chat needs."""
    url = url.strip().replace("<", "%3C").replace(">", "%3E").replace(" ", "%20")
    if not url.lower().startswith(("http://", "https://", "mailto:", "tel:")):
        shown = escape(url[:_MAX_SHOWN_URL_CHARS])
        return f"{label} ({shown})" if label and shown and label != shown else label or shown
    if not label or label == url:
        return f"<{url}>" if "_" in url or "*" in url or url.startswith("mailto:") else url
    return f"[{label}]({url.replace('(', '%28').replace(')', '%29')})"


def format_card(
    *,
    text: str,
    before: str = "",
    author: str = "",
    title: str = "",
    url: str = "",
    fields: Iterable[tuple[str, str]] = (),
    footer: str = "",
) -> str:
    """Return an attachment or a preview as a block quote. All but `url` are Markdown."""
    heading = f"**{title}**" if title else ""
    if url:
        heading = link(url, heading)
    lines = [author, heading, text, *(f"**{name}**: {value}" for name, value in fields), footer]
    quoted = quote(join_lines(*lines)) if any(lines) else ""
    return "\n".join(filter(None, (before, quoted)))


def format_attachment(card: dict[str, Any], text: str, convert: Callable[[object], str]) -> str:
    """Return an attachment of a message of Slack or Mattermost, which have the same form.

    `text` is Markdown; `convert` makes it of other texts.
    """
    labels = [
        link(
            clean_text(button.get("url")), f"[{convert(button.get('text') or button.get('name'))}]"
        )
        for button in only_objects(card.get("actions"))
    ]
    if image := strip_query(card.get("image_url")):
        labels.append(link(image, "[image]"))
    author = escape(clean_text(card.get("author_name") or card.get("author_subname")))
    return format_card(
        before=convert(card.get("pretext")),
        author=link(clean_text(card.get("author_link")), author),
        title=convert(card.get("title")),
        url=clean_text(card.get("title_link")),
        text="\n".join(filter(None, (text, " ".join(labels)))),
        fields=[
            (convert(field.get("title")), convert(field.get("value")))
            for field in only_objects(card.get("fields"))
        ],
        footer=convert(card.get("footer")),
    )


def strip_query(url: object) -> str:
    """Return a URL of a file without its query, fragment and credentials: they may be secrets."""
    try:
        parts = urlsplit(clean_text(url, 2000))
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else ""


@lru_cache(10_000)
def get_emoji(name: str) -> str | None:
    """Return the characters of an emoji by the name that chat systems give it."""
    from rich.emoji import Emoji, NoEmoji

    base, tone = toned.groups() if (toned := _TONE.fullmatch(name)) else (name, "")
    if flag := _FLAG.fullmatch(base):
        return "".join(chr(0x1F1E6 + ord(letter) - ord("a")) for letter in flag[1])
    found = _MORE_EMOJI.get(base)
    if found is None:
        words = base if base in ("+1", "-1") else base.replace("-", "_")
        try:
            found = str(Emoji(_GENDER.sub(lambda m: "woman" if m[0] == "female" else "man", words)))
        except NoEmoji:
            # Many newer ones have the name of their character.
            try:
                found = unicodedata.lookup(words.replace("_", " "))
            except KeyError:
                return None
            if found < _FIRST_PICTURE:
                return None
    return found + _SKIN_TONES.get(tone, "")


def replace_emoji(text: str) -> str:
    """Replace names such as `:tada:` in a text without code. Unknown names stay."""
    if ":" not in text:
        return text
    return _EMOJI.sub(
        lambda match: (
            get_emoji(f"{match[1]}::skin-tone-{match[2]}" if match[2] else match[1]) or match[0]
        ),
        text,
    )


def split_code(text: str) -> list[tuple[bool, str]]:
    """Split CommonMark into parts that are code, with their backticks, and parts that are not."""
    if "`" not in text and "~~~" not in text:
        return [(False, text)]
    parts: list[tuple[bool, str]] = []
    position = 0
    while fence := _FENCE.search(text, position):
        parts += split_spans(text[position : fence.start()])
        mark = fence[1]
        closing = re.compile(
            rf"^ {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$", re.MULTILINE
        ).search(text, fence.end())
        position = closing.end() if closing else len(text)
        parts.append((True, text[fence.start() : position]))
    return parts + split_spans(text[position:])


def split_spans(text: str, longest: int = 2**30) -> list[tuple[bool, str]]:
    """Split at code spans: a run of backticks up to the next run of the same length.

    Runs of `longest` backticks or more count as equal, as in Discord, where three are a fence.
    """
    parts: list[tuple[bool, str]] = []
    runs = [(match.start(), match.end()) for match in re.finditer("`+", text)]
    following: dict[int, deque[int]] = {}
    for index, (start, end) in enumerate(runs):
        following.setdefault(min(end - start, longest), deque()).append(index)
    position, index = 0, 0
    while index < len(runs):
        start, end = runs[index]
        same = following[min(end - start, longest)]
        while same and same[0] <= index:
            same.popleft()
        if not same:
            index += 1
            continue
        closing = same[0]
        parts += [(False, text[position:start]), (True, text[start : runs[closing][1]])]
        position, index = runs[closing][1], closing + 1
    return [*parts, (False, text[position:])]

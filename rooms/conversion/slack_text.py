"""Convert the texts of Slack to Markdown: mrkdwn, blocks, and attachments of messages.

https://docs.slack.dev/messaging/formatting-message-text and docs.slack.dev/reference/block-kit
describe them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rooms.conversion.json_rows import clean_text, get_list, get_object, only_objects
from rooms.conversion.markdown import (
    code_block,
    code_span,
    escape,
    format_attachment,
    get_emoji,
    join_lines,
    link,
    quote,
    replace_emoji,
    strip_query,
)

# Code and references, inside which nothing is markup. They are replaced by a mark and their number
# while the rest is converted.
_ATOM = re.compile(r"```(.+?)```|`([^`\n]+)`|<([^<>\n]+)>", re.DOTALL)
_MARK = re.compile("\ufdd0([0-9]+)\ufdd1")
_MARKS = re.compile("[\ufdd0\ufdd1]")
_EMPHASIS = re.compile(
    r"(?<![^\W_])(?:\*([^\s*](?:[^*\n]*[^\s*])?)\*"
    r"|_([^\s_](?:[^_\n]*[^\s_])?)_|~([^\s~](?:[^~\n]*[^\s~])?)~)(?![^\W_])"
)
_WRAPS = ("**", "*", "~~")
_SPECIAL = re.compile(r"[*_~`<>&:\\#\[\ufdd0\ufdd1]")
_MAX_DEPTH = 20
_CODE_POINT = re.compile("[0-9a-f]{2,4}|1[0-9a-f]{4}")
_CONTAINERS = {"section", "context", "actions", "input", "context_actions", "table"}


@dataclass(frozen=True)
class SlackText:
    """Converts mrkdwn. The functions return the name of a person or a channel by its ID.

    The IDs of people that texts mention are appended to `mentions`.
    """

    get_person: Callable[[str], str]
    get_channel: Callable[[str], str]

    def convert(self, text: str, mentions: list[str]) -> str:
        """Convert mrkdwn."""
        if not _SPECIAL.search(text):
            return text
        atoms: list[str] = []

        def take(match: re.Match[str]) -> str:
            block, code, reference = match.groups()
            if block is not None:
                atoms.append(f"\n{code_block(_unescape(block))}\n")
            elif code is not None:
                atoms.append(code_span(_unescape(code)))
            else:
                atoms.append(self._convert_reference(reference, mentions))
            return f"\ufdd0{len(atoms) - 1}\ufdd1"

        marked = _ATOM.sub(take, _MARKS.sub("\ufffd", text))

        def restore(part: str) -> str:
            return _MARK.sub(lambda match: atoms[int(match[1])], _emphasise(part))

        return _convert_quotes(marked, restore)

    def _convert_reference(self, reference: str, mentions: list[str]) -> str:
        target, _, label = reference.partition("|")
        label = _unescape(label)
        match target[0]:
            case "@":
                mentions.append(target[1:])
                return "@" + escape(self.get_person(target[1:]) or label or target[1:])
            case "#":
                return "#" + escape(label or self.get_channel(target[1:]) or target[1:])
            case "!":
                if label and not label.isalpha():
                    return escape(label)
                # Such as `here`, `subteam^S1` or `here|here`.
                return f"@{escape(target[1:].removeprefix('subteam^').partition('^')[0])}"
        url = _unescape(target)
        return link(url, "" if label == url.removeprefix("mailto:") else escape(label))


@dataclass(frozen=True)
class SlackBlocks:
    """Converts the blocks and attachments of a message. `note` gets the lost parts."""

    text: SlackText
    mentions: list[str]
    note: Callable[[str], None]

    def convert(self, blocks: object, skipped: str = "") -> str:
        """Convert blocks. Blocks of the type `skipped` are left out."""
        parts = [
            self._convert_block(block, 0)
            for block in (blocks if isinstance(blocks, list) else ())
            if not skipped or not isinstance(block, dict) or block.get("type") != skipped
        ]
        return join_lines(*parts)

    def _convert_block(self, block: Any, depth: int) -> str:
        if not isinstance(block, dict) or depth > _MAX_DEPTH:
            self.note("block of an unknown form")
            return ""
        kind = clean_text(block.get("type"), 40)
        if kind.startswith("rich_text"):
            return self._convert_rich_text(kind, block, depth)
        if (simple := self._convert_simple(kind, block)) is not None:
            if kind in ("image", "video") and not block.get(f"{kind}_url"):
                self.note("picture of a block that is not in the export")
            return simple
        if kind not in _CONTAINERS:
            self.note(f"block of the type {kind}, of which only known texts are carried")
        parts = [self._convert_object(block.get(key)) for key in ("text", "label")]
        for key, separator in (("fields", "\n"), ("elements", " "), ("blocks", "\n")):
            items = get_list(block, key)
            converted = (self._convert_block(item, depth + 1) for item in items)
            parts.append(separator.join(filter(None, converted)))
        for row in get_list(block, "rows"):
            cells = row if isinstance(row, list) else [row]
            parts.append(" | ".join(self._convert_block(cell, depth + 1) for cell in cells))
        if block.get("accessory"):
            parts.append(self._convert_block(block["accessory"], depth + 1))
        return join_lines(*parts)

    def _convert_simple(self, kind: str, block: dict[str, Any]) -> str | None:
        """Return the text of a block without others inside; None for other blocks."""
        match kind:
            case "header":
                text = self._convert_object(block.get("text"))
                return f"**{text}**" if text else ""
            case "divider":
                return "---"
            case "markdown":
                return clean_text(block.get("text"))
            case "mrkdwn" | "plain_text" | "raw_text":
                return self._convert_object(block)
            case "image" | "video":
                title = self._convert_object(block.get("title"))
                label = f"[{kind}: {title or escape(clean_text(block.get('alt_text')))}]"
                return link(strip_query(block.get(f"{kind}_url")), label)
            case "button":
                label = self._convert_object(block.get("text"))
                return link(clean_text(block.get("url")), f"[{label}]")
            case "call":
                call = get_object(get_object(block, "call"), "v1")
                name = escape(clean_text(call.get("name"), 300))
                return link(strip_query(call.get("join_url")), f"[call: {name}]")
        return None

    def _convert_rich_text(self, kind: str, block: dict[str, Any], depth: int) -> str:
        if kind == "rich_text_preformatted":
            items = only_objects(block.get("elements"))
            return code_block("".join(clean_text(i.get("text") or i.get("url")) for i in items))
        if kind in ("rich_text_section", "rich_text_quote"):
            items = only_objects(block.get("elements"))
            text = "".join(map(self._convert_element, items))
            return quote(text) if kind == "rich_text_quote" else text
        lines = [self._convert_block(item, depth + 1) for item in get_list(block, "elements")]
        if block.get("type") == "rich_text":
            return join_lines(*lines)
        indent = block.get("indent")
        space = "    " * (min(indent, 8) if isinstance(indent, int) else 0)
        is_ordered = block.get("style") == "ordered"
        offset = block.get("offset")
        first = 1 + offset if isinstance(offset, int) else 1
        return "\n".join(
            f"{space}{f'{number}.' if is_ordered else '-'} {line}"
            for number, line in enumerate(lines, first)
        )

    def _convert_element(self, item: dict[str, Any]) -> str:
        text = clean_text(item.get("text"))
        kind = clean_text(item.get("type"), 40)
        if kind == "text":
            converted = escape(text)
        elif kind == "link":
            converted = link(clean_text(item.get("url")), escape(text))
        elif (name := self._name_element(kind, item)) is not None:
            converted = name
        else:
            self.note(f"text element of the type {kind}")
            converted = escape(text or clean_text(item.get("value")))
        style = get_object(item, "style")
        if not style or not converted.strip():
            return converted
        if style.get("code"):
            return code_span(text or converted)
        for name, wrap in (("strike", "~~"), ("italic", "*"), ("bold", "**")):
            if style.get(name):
                stripped = converted.strip()
                converted = converted.replace(stripped, f"{wrap}{stripped}{wrap}", 1)
        return converted

    def _name_element(self, kind: str, item: dict[str, Any]) -> str | None:
        """Return how a person, a channel, a group, an emoji or a date is written."""
        match kind:
            case "user":
                person = clean_text(item.get("user_id"), 100)
                self.mentions.append(person)
                return "@" + escape(self.text.get_person(person) or person)
            case "channel":
                channel = clean_text(item.get("channel_id"), 100)
                return "#" + escape(self.text.get_channel(channel) or channel)
            case "emoji":
                name = clean_text(item.get("name"), 100)
                return get_emoji(name) or _decode_emoji(item.get("unicode")) or f":{name}:"
            case "broadcast" | "usergroup":
                return f"@{clean_text(item.get('range') or item.get('usergroup_id'), 100)}"
            case "date":
                return escape(clean_text(item.get("fallback")))
            case "color":
                return clean_text(item.get("value"))
        return None

    def _convert_object(self, value: Any) -> str:
        """Convert a text object of Block Kit, or a plain text."""
        if isinstance(value, dict):
            text = clean_text(value.get("text"))
            if value.get("type") == "mrkdwn":
                return self.text.convert(text, self.mentions)
            return replace_emoji(escape(text))
        return self.text.convert(clean_text(value), self.mentions)

    def convert_attachment(self, card: dict[str, Any]) -> str:
        def convert(text: object) -> str:
            return self.text.convert(clean_text(text), self.mentions)

        texts = [convert(card.get("text")), self.convert(card.get("blocks"))]
        if not texts[0]:
            texts += (
                self.convert(item["message"].get("blocks"))
                for item in only_objects(card.get("message_blocks"))
                if isinstance(item.get("message"), dict)
            )
        text = join_lines(*texts)
        if not text and not card.get("fields") and not card.get("title"):
            text = convert(card.get("fallback")) or link(clean_text(card.get("from_url")))
        if not card.get("image_url") and card.get("thumb_url"):
            self.note("small picture of a preview")
        return format_attachment(card, text, convert)


def _decode_emoji(value: object) -> str:
    """Return the characters of code points such as `1f44b-1f3fb`."""
    codes = clean_text(value, 100).split("-")
    if not all(map(_CODE_POINT.fullmatch, codes)):
        return ""
    return "".join(chr(int(code, 16)) for code in codes)


def _emphasise(text: str) -> str:
    """Convert bold, italic and struck text, and escape the rest."""
    parts, position = [], 0
    for match in _EMPHASIS.finditer(text):
        parts.append(_convert_plain(text[position : match.start()]))
        wrap = _WRAPS[(match.lastindex or 1) - 1]
        parts.append(f"{wrap}{_emphasise(match[match.lastindex or 1])}{wrap}")
        position = match.end()
    parts.append(_convert_plain(text[position:]))
    return "".join(parts)


def _convert_plain(text: str) -> str:
    return replace_emoji(escape(_unescape(text)))


def _convert_quotes(text: str, convert: Callable[[str], str]) -> str:
    """Convert the text, line by line where a line is a quote."""
    if "&gt;" not in text:
        return _trim(convert(text))
    parts: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("&gt;&gt;&gt;"):
            rest = "\n".join([line.removeprefix("&gt;&gt;&gt;").lstrip(" "), *lines[number + 1 :]])
            parts.append(quote(_trim(convert(rest))))
            break
        if line.startswith("&gt;"):
            parts.append(quote(_trim(convert(line.removeprefix("&gt;").lstrip(" ")))))
        else:
            # A line after a quote would belong to it.
            if parts and parts[-1].startswith("> ") and line:
                parts.append("")
            parts.append(convert(line))
    return _trim("\n".join(parts))


def _trim(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def _unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

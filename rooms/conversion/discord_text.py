"""Convert the texts of Discord to Markdown.

Discord's Markdown is nearly ours. An export has names in place of mentions, unless it was made with
`--markdown false`: then it has the tokens of https://docs.discord.com/developers/reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rooms.conversion.markdown import code_block, quote, split_spans

_TOKEN = re.compile(
    r"<(?:@!?(?P<user>\d{1,20})|@&(?P<role>\d{1,20})|#(?P<channel>\d{1,20})"
    r"|a?:(?P<emoji>\w{1,64}):\d{1,20}|t:(?P<time>-?\d{1,13})(?::\w)?"
    r"|/(?P<command>[^:<>\n]{1,100}):\d{1,20}|id:(?P<page>\w{1,40}))>"
)
_UNDERLINE = re.compile(r"(?<!\\)__(?=\S)(?P<text>[^_\n]+)(?<=\S)__")
_FENCE = "```"
_LANGUAGE = re.compile(r"([\w+.#-]+)\n")
_LONG_QUOTE = re.compile(r"^(?:>>> )+", re.MULTILINE)
_SMALL = re.compile(r"^-# ", re.MULTILINE)
_SPECIAL = re.compile(r"[<_>`]|^-#", re.MULTILINE)


@dataclass(frozen=True)
class DiscordText:
    """Converts texts. The functions return the name of a person or channel by its ID, or "".

    `roles` are names in Markdown by ID, and may grow.
    """

    get_person: Callable[[str], str]
    get_channel: Callable[[str], str]
    roles: Mapping[str, str]

    def convert(self, text: str, mentions: list[str]) -> str:
        """Convert a text. The IDs of people in it are appended to `mentions`."""
        if not _SPECIAL.search(text):
            return text
        parts: list[str] = []
        done = 0
        for is_code, part in split_spans(text, len(_FENCE)):
            if not is_code and (match := _LONG_QUOTE.search(part)):
                # The rest of the text is a quote.
                parts.append(self.convert(part[: match.start()], mentions))
                rest = _LONG_QUOTE.sub("", text[done + match.end() :])
                return "".join(parts) + quote(self.convert(rest, mentions))
            done += len(part)
            if is_code:
                is_block = part.startswith(_FENCE)
                parts.append(_format_block(part, text, done) if is_block else part)
                continue
            converted = _TOKEN.sub(lambda match: self._convert_token(match, mentions), part)
            # Markdown has no underlined text.
            parts.append(_SMALL.sub("", _UNDERLINE.sub(r"*\g<text>*", converted)))
        return "".join(parts)

    def _convert_token(self, match: re.Match[str], mentions: list[str]) -> str:
        value = match[match.lastgroup or 0]
        match match.lastgroup:
            case "user":
                mentions.append(value)
                return f"@{self.get_person(value) or value}"
            case "role":
                return f"@{self.roles.get(value, value)}"
            case "channel":
                return f"#{self.get_channel(value) or value}"
            case "emoji":
                return f":{value}:"
            case "time":
                try:
                    return f"{datetime.fromtimestamp(int(value), UTC):%Y-%m-%d %H:%M} UTC"
                except (ValueError, OverflowError, OSError):
                    return str(int(value))
            case "command":
                return f"/{value}"
        return f"#{value}"


def _format_block(part: str, text: str, end: int) -> str:
    """Return a block of code in lines of its own: Discord's may begin and end inside a line."""
    code = part.removeprefix(_FENCE).removesuffix(_FENCE)
    if (language := _LANGUAGE.match(code)) is not None:
        code = code[language.end() :]
    if not code.strip("\n"):
        return part
    start = end - len(part)
    before = "\n" if start and text[start - 1] != "\n" else ""
    after = "\n" if end < len(text) and text[end] != "\n" else ""
    return f"{before}{code_block(code.strip(chr(10)), language[1] if language else '')}{after}"
